"""Encoding a film again: which rungs, at which priority. The page asks before anything is begun."""

from __future__ import annotations

from flask import Response, abort, render_template, request, url_for

from encoder.model import EncodePlan, RenditionPlan
from jobs.layout import Priority

from ...extensions import db
from ...fragments import see_other
from ...models import Video
from ...services import reencode, wakeup
from .blueprint import blueprint

STREAMS = {"ts": "HLS in MPEG-TS", "cmaf": "HLS and DASH in CMAF"}


@blueprint.get("/videos/<int:video_id>/reencode")
def choose_rungs(video_id: int) -> str | tuple[str, int]:
    return _page(_video_or_404(video_id), chosen=None, problem="")


@blueprint.post("/videos/<int:video_id>/reencode")
def encode_again(video_id: int) -> Response | tuple[str, int] | str:
    video = _video_or_404(video_id)
    names = None if "all" in request.form else request.form.getlist("rung")
    try:
        priority = Priority.of(request.form.get("priority", Priority.NORMAL.word))
        reencode.encode_again(video_id, names, priority)
    except KeyError:
        abort(422)
    except reencode.NotAgain as error:
        return _page(video, chosen=names, problem=str(error))
    wakeup.ring(())
    return see_other(url_for("admin.video", video_id=video_id))


def _page(video: Video, *, chosen: list[str] | None, problem: str) -> str | tuple[str, int]:
    """`chosen` None: everything. Without a choice there is only the sentence that says why."""
    try:
        choice = reencode.choice_for(video.id)
    except reencode.NotAgain as error:
        choice, problem = None, problem or str(error)
    page = render_template(
        "admin/reencode.html",
        video=video,
        choice=choice,
        chosen=chosen,
        problem=problem,
        rungs=_rungs(choice.plan) if choice else [],
        made_as=_made_as(choice.plan) if choice else "",
    )
    return (page, 409) if problem else page


def _rungs(plan: EncodePlan) -> list[tuple[RenditionPlan, str]]:
    """Each with what people call it, highest first."""
    return [(row, _called(plan, row)) for row in plan.renditions]


def _called(plan: EncodePlan, row: RenditionPlan) -> str:
    if row in plan.tracks:
        return "Sound" if len(plan.tracks) == 1 else f"Sound, track {plan.audio.index(row) + 1}"
    return row.name.partition("-")[0]


def _made_as(plan: EncodePlan) -> str:
    seconds = f"{plan.segment_s:.2f}".rstrip("0").rstrip(".")
    return f"{STREAMS[plan.container]}, in segments of {seconds} s"


def _video_or_404(video_id: int) -> Video:
    video = db.session.get(Video, video_id)
    if video is None or video.deleted_at is not None:
        abort(404)
    return video
