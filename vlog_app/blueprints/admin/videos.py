"""The owner's list of videos and the page of one."""

from __future__ import annotations

from datetime import UTC, datetime

from flask import Response, abort, render_template, request, url_for

from jobs.states import IllegalMove

from ...extensions import limiter
from ...fragments import render_block, see_other
from ...services import catalog, control
from ...services.reencode import NotAgain
from . import queries
from .blueprint import blueprint
from .words import tell

SEARCH_MAX = 200
LAST_PAGE = 100_000


@blueprint.get("/")
def home() -> Response:
    return see_other(url_for("admin.videos"))


@blueprint.get("/videos")
def videos() -> str:
    tab = request.args.get("show", "all")
    page = request.args.get("page", 1, type=int)
    if tab not in queries.TABS or not 1 <= page <= LAST_PAGE:
        abort(404)
    search = request.args.get("search", "").strip()[:SEARCH_MAX].replace("\0", "")
    return render_template("admin/videos.html", table=queries.videos_page(tab, search, page, _now()))


@blueprint.get("/videos/<int:video_id>/state")
@limiter.exempt  # asked for whenever the video changes, at most every two seconds
def video_state(video_id: int) -> str:
    row = queries.video_row(video_id, _now())
    if row is None:
        abort(404)
    return render_block("admin/videos.html", "state_cell", row=row)


@blueprint.get("/videos/<int:video_id>")
def video(video_id: int) -> str:
    return _video_page(_page_or_404(video_id))


@blueprint.post("/videos/<int:video_id>")
def edit_video(video_id: int) -> str | Response | tuple[str, int]:
    page = _page_or_404(video_id)
    title, description = request.form.get("title", ""), request.form.get("description", "")
    problems = catalog.check_words(title, description)
    if problems:
        return _video_page(page, words={"title": title, "description": description}, problems=problems), 422
    catalog.describe(video_id, title, description)
    return see_other(url_for("admin.video", video_id=video_id, saved=1))


@blueprint.get("/videos/<int:video_id>/encoding")
@limiter.exempt  # asked for whenever the video changes, at most every second
def video_encoding(video_id: int) -> str:
    page = _page_or_404(video_id)
    return render_block("admin/video.html", "encoding", page=page, told=tell(page.events), now=_now())


@blueprint.get("/videos/<int:video_id>/actions")
@limiter.exempt  # asked for like the part above
def video_actions(video_id: int) -> Response | str:
    """The buttons; nothing when they are those that the page has."""
    page = _page_or_404(video_id)
    if page.stands == request.args.get("stands"):
        return Response(status=204)
    return render_block("admin/video.html", "actions", page=page)


@blueprint.post("/videos/<int:video_id>/cancel")
def cancel_encoding(video_id: int) -> Response:
    return _act(video_id, control.cancel_encode)


@blueprint.post("/videos/<int:video_id>/retry")
def retry_encoding(video_id: int) -> Response:
    return _act(video_id, control.retry_encode)


def _act(video_id: int, verb: queries.EncodeVerb) -> Response:
    """A button pressed on an older view of the page does nothing; the page then shows what is true now."""
    page = _page_or_404(video_id)
    if page.encode is not None:
        try:
            verb(page.encode.id)
        except NotAgain:
            return see_other(url_for("admin.choose_rungs", video_id=video_id))  # it says why not
        except IllegalMove:
            return see_other(url_for("admin.video", video_id=video_id, late=1))
    return see_other(url_for("admin.video", video_id=video_id))


def _page_or_404(video_id: int) -> queries.VideoPage:
    page = queries.video_page(video_id, _now())
    if page is None:
        abort(404)
    return page


def _video_page(
    page: queries.VideoPage, *, words: dict[str, str] | None = None, problems: dict[str, str] | None = None
) -> str:
    words = words or {"title": page.video.title, "description": page.video.description}
    return render_template(
        "admin/video.html",
        page=page,
        told=tell(page.events),
        words=words,
        problems=problems or {},
        saved="saved" in request.args,
        late="late" in request.args,
        whole="whole" in request.args,
        now=_now(),
    )


def _now() -> datetime:
    return datetime.now(UTC)
