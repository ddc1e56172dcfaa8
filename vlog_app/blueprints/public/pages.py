"""The public pages: home and watch."""

from __future__ import annotations

from datetime import UTC, datetime

from flask import Blueprint, Response, abort, make_response, render_template, request, url_for

from ...config import settings
from ...extensions import limiter
from ...fragments import choose_theme, render_block
from . import queries

LAST_PAGE = 10_000

blueprint = Blueprint("public", __name__)
limiter.limit(lambda: settings().rate_limit_public_default)(blueprint)


@blueprint.get("/")
def home() -> str:
    page = request.args.get("page", 1, type=int)
    if not 1 <= page <= LAST_PAGE:
        abort(404)
    found = queries.home_page(page, datetime.now(UTC))
    if page > 1 and not found.cards:
        abort(404)
    return render_template("public/home.html", home=found)


@blueprint.get("/watch/<slug>")
def watch(slug: str) -> str:
    now = datetime.now(UTC)
    page = _page_or_404(slug, now)
    return render_template(
        "public/watch.html", page=page, player=page.player, related=queries.related(page.video.id, now)
    )


@blueprint.get("/watch/<slug>/state")
@limiter.exempt  # asked for every few seconds while a video encodes
def watch_state(slug: str) -> Response:
    """The line that says how far the encode is; once the video can be played, tells the waiting page to reload."""
    page = _page_or_404(slug, datetime.now(UTC))
    answer = make_response(render_block("public/watch.html", "watch_state", page=page))
    if page.is_playable and "waiting" in request.args:
        answer.headers["HX-Refresh"] = "true"
    return answer


@blueprint.post("/theme")
def theme() -> Response:
    return choose_theme(url_for("public.home"))


def _page_or_404(slug: str, now: datetime) -> queries.WatchPage:
    page = queries.watch_page(slug, now)
    if page is None:
        abort(404)
    return page
