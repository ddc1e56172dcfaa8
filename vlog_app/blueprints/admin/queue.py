"""The queue page: what runs, what waits, and the buttons that change it. Every button is a form; scripts only spare
the page load.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

from flask import Response, abort, render_template, request, url_for

from jobs.layout import Priority
from jobs.states import IllegalMove

from ...errors import Problem
from ...extensions import limiter
from ...fragments import local_path, render_block, see_other
from ...services import control, repair, wakeup, workers
from ...services.reencode import NotAgain
from .blueprint import blueprint
from .board import read_board

WORKER_VERBS: dict[str, Callable[[str], bool]] = {
    "pause": workers.pause_worker,
    "drain": workers.drain_worker,
    "resume": workers.resume_worker,
}
VIDEO_VERBS: dict[str, Callable[[int], None]] = {
    "pause": control.pause_encode,
    "resume": control.resume_encode,
    "retry": control.retry_encode,
}


@blueprint.get("/queue")
def queue() -> str:
    return render_template(
        "admin/queue.html", board=read_board(_now()), now=_now(), late="late" in request.args
    )


@blueprint.get("/queue/board")
@limiter.exempt  # asked for whenever something changes, at most every two seconds
def queue_board() -> str:
    return render_block("admin/queue.html", "board", board=read_board(_now()), now=_now())


@blueprint.post("/queue/pause")
def pause_queue() -> Response:
    control.pause_queue()
    return _back()


@blueprint.post("/queue/resume")
def resume_queue() -> Response:
    control.resume_queue()
    return _back()


@blueprint.post("/queue/retry-failed")
def retry_failed() -> Response:
    control.retry_failed()
    return _back()


@blueprint.post("/queue/workers/<any(pause, drain, resume):verb>")
def hold_worker(verb: str) -> Response:
    if not WORKER_VERBS[verb](request.form.get("worker_id", "")[:64]):
        abort(404)
    return _back()


@blueprint.post("/queue/videos/<int:video_id>/priority")
def set_priority(video_id: int) -> Response:
    try:
        priority = Priority.of(request.form.get("priority", ""))
    except KeyError:
        abort(422)
    return _act(video_id, lambda encode_id: control.prioritise(encode_id, priority))


@blueprint.post("/queue/videos/<int:video_id>/<any(pause, resume, retry):verb>")
def hold_video(video_id: int, verb: str) -> Response:
    return _act(video_id, VIDEO_VERBS[verb])


@blueprint.post("/queue/videos/<int:video_id>/check")
def check_files(video_id: int) -> Response:
    """Look into a finished film, and make again what is missing or damaged."""
    encode_id = control.watched_encode(video_id)
    if encode_id is None:
        abort(404)
    page = url_for("admin.video", video_id=video_id)
    try:
        names = repair.make_again(encode_id, None)
    except IllegalMove as error:
        raise Problem(409, "not_possible_now", f"That is not possible now: {error}.") from None
    wakeup.ring(())
    return see_other(page if names else f"{page}?whole=1")


def _act(video_id: int, verb: Callable[[int], None]) -> Response:
    """A button on an older view of the page does nothing; the page then shows what is true now."""
    encode_id = control.current_encode(video_id)
    if encode_id is None:
        abort(404)
    try:
        verb(encode_id)
    except NotAgain:
        return see_other(url_for("admin.choose_rungs", video_id=video_id))  # it says why not
    except IllegalMove:
        return _back(late=True)
    return _back()


def _back(*, late: bool = False) -> Response:
    wakeup.ring(())
    target = local_path(request.form.get("next"), url_for("admin.queue"))
    return see_other(f"{target}{'&' if '?' in target else '?'}late=1" if late else target)


def _now() -> datetime:
    return datetime.now(UTC)
