"""The queue for scripts: carry on, check, encode again, pause, cancel and priority of one video, as JSON."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from flask import Blueprint, Response, jsonify, request

from jobs.layout import Priority
from jobs.states import IllegalMove

from ...config import settings
from ...errors import Problem
from ...extensions import db, limiter
from ...models import Encode
from ...services import control, reencode, repair, wakeup

blueprint = Blueprint("admin_queue_api", __name__, url_prefix="/api/videos/<int:video_id>")
limiter.limit(lambda: settings().rate_limit_admin_default)(blueprint)

T = TypeVar("T")
ALL = "all"
SIMPLE: dict[str, tuple[Callable[[int], None], str]] = {
    "retry": (control.retry_encode, "Encoding goes on from what was kept."),
    "pause": (control.pause_encode, "Paused. What is finished is kept."),
    "resume": (control.resume_encode, "It goes on."),
    "cancel": (control.cancel_encode, "Encoding was cancelled. What is finished is kept."),
}


@blueprint.post("/<any(retry, pause, resume, cancel):verb>")
def simple(video_id: int, verb: str) -> Response:
    call, message = SIMPLE[verb]
    _guarded(lambda: call(_encode_of(video_id)))
    return _done(video_id, message)


@blueprint.post("/priority")
def set_priority(video_id: int) -> Response:
    priority = _priority(_body())
    encode_id = _encode_of(video_id)
    _guarded(lambda: control.prioritise(encode_id, priority))
    return _done(video_id, f"It waits at {priority.word} priority now.", priority=priority.word)


@blueprint.post("/retranscode")
def encode_again(video_id: int) -> Response:
    """A finished film gets a new encode beside what plays; one that is not finished goes on."""
    body = _body()
    names, priority = _qualities(body), _priority(body)
    if not _is_finished(_watched(video_id)):
        queued = _guarded(lambda: repair.make_again(_watched(video_id), names, priority))
        return _done(video_id, _made(queued, "made"), qualities_queued=queued)
    queued = _guarded(lambda: reencode.encode_again(video_id, names, priority))
    sentence = f"{_made(queued, 'encoded again')} Viewers get what there is until all of it is whole."
    return _done(video_id, sentence, qualities_queued=queued)


@blueprint.post("/check")
def check_files(video_id: int) -> Response:
    """Segments of a finished film that are missing or damaged are made again in place; what is whole is not touched."""
    names = _qualities(_body())
    queued = _guarded(lambda: repair.make_again(_watched(video_id), names))
    sentence = (
        _made(queued, "made again") if queued else "Every rung is whole and plays. Nothing was changed."
    )
    return _done(video_id, sentence, qualities_queued=queued)


def _made(names: list[str], done: str) -> str:
    return f"{', '.join(names)} {'is' if len(names) == 1 else 'are'} {done}."


def _is_finished(encode_id: int) -> bool:
    return db.session.get_one(Encode, encode_id).state == "done"


def _watched(video_id: int) -> int:
    return _known(control.watched_encode(video_id))


def _encode_of(video_id: int) -> int:
    return _known(control.current_encode(video_id))


def _known(encode_id: int | None) -> int:
    if encode_id is None:
        raise Problem(404, "not_found", "There is no video with this number.")
    return encode_id


def _guarded(call: Callable[[], T]) -> T:
    try:
        return call()
    except reencode.NotAgain as error:
        raise Problem(409, error.code, str(error)) from None
    except IllegalMove as error:
        sentence = f"That is not possible now: {error}. Nothing was changed."
        raise Problem(409, "not_possible_now", sentence) from None


def _body() -> dict[str, Any]:
    body = request.get_json(silent=True)
    if not isinstance(body, dict):
        raise Problem(400, "bad_request", "Send a JSON object. Nothing was changed.")
    return body


def _priority(body: dict[str, Any]) -> Priority:
    try:
        return Priority.of(str(body.get("priority", "normal")))
    except KeyError:
        raise _invalid("priority", "must be high, normal or low") from None


def _qualities(body: dict[str, Any]) -> frozenset[str] | None:
    """None: all of them."""
    names = body.get("qualities", [ALL])
    if not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names):
        raise _invalid("qualities", "must be a list of names such as 720p, or of the one word all")
    return None if ALL in names else frozenset(names)


def _invalid(name: str, message: str) -> Problem:
    return Problem(422, "invalid", [{"loc": ["body", name], "msg": message}])


def _done(video_id: int, message: str, **more: Any) -> Response:
    wakeup.ring(())
    return jsonify(status="ok", video_id=video_id, message=message, **more)
