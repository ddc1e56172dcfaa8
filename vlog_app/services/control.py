"""What a person asks of the queue: cancel, carry on, pause, put first or last. Every verb is guarded: one that comes
too late raises IllegalMove and changes nothing.
"""

from __future__ import annotations

from contextlib import suppress

from sqlalchemy.orm import Session

from jobs.layout import Priority
from jobs.states import IllegalMove

from ..extensions import db, transaction
from ..models import Encode, Hold, Video
from .clock import database_now
from .encodes import end_encode
from .events import EventKind, record
from .generations import current_encodes, plays
from .places import put_in_place
from .queue import stop_jobs, take_up_again
from .reencode import encode_again
from .workers import QUEUE

UNFINISHED = ("planned", "encoding", "viewable")
STOPPED = ("failed", "cancelled")


def current_encode(video_id: int) -> int | None:
    """The encode a person means: the one that is made beside what viewers get, or failed there; else what viewers
    get. None when there is no such video.
    """
    query = current_encodes().with_only_columns(Encode.id).where(Video.id == video_id)
    return db.session.scalar(query.limit(1))


def watched_encode(video_id: int) -> int | None:
    """The encode that viewers get; None when there is no such video."""
    mine = Video.id == video_id, Encode.generation == Video.generation
    return db.session.scalar(current_encodes().with_only_columns(Encode.id).where(*mine))


def cancel_encode(encode_id: int) -> None:
    """Stop an encode that is not finished. What is done is kept; of one that is made beside another nothing is, and
    one that failed there is not spoken of any more.
    """
    with transaction() as session:
        encode = session.get_one(Encode, encode_id, with_for_update=True)
        is_beside = not plays(session, encode)
        _require_state(encode, (*UNFINISHED, "failed") if is_beside else UNFINISHED)
        now = database_now(session)
        stop_jobs(session, encode.id, now)
        sentence = "Encoding was stopped. What is finished is kept."
        end_encode(session, encode, "cancelled", "cancelled", sentence, now)
        about = {"generation": encode.generation} if is_beside else {}
        record(session, encode.video_id, EventKind.CANCELLED, now, **about)


def retry_encode(encode_id: int) -> None:
    """Go on with a failed or cancelled encode, from what is done. One that failed beside another begins anew."""
    with transaction() as session:
        encode = _in_state(session, encode_id, STOPPED)
        if plays(session, encode):
            take_up_again(session, encode, database_now(session))
            return
        anew = encode.video_id, encode.rungs, Priority(encode.priority)
    encode_again(*anew)  # looks at the source, which takes longer than anything should be locked


def retry_failed() -> int:
    """Go on with every encode that failed and that nothing better has replaced; returns how many."""
    failed = db.session.scalars(current_encodes().where(Encode.state == "failed")).all()
    numbers = [encode.id for encode in failed]
    db.session.rollback()
    return sum(_is_taken_up(number) for number in numbers)


def _is_taken_up(encode_id: int) -> bool:
    with suppress(IllegalMove):  # its source may be gone, or somebody was quicker: the others go on
        retry_encode(encode_id)
        return True
    return False


def pause_encode(encode_id: int) -> None:
    """No more jobs of this encode are handed out; those that run are given back at their next segment."""
    with transaction() as session:
        encode = _in_state(session, encode_id, UNFINISHED)
        if encode.paused_at is not None:
            raise IllegalMove("the encode is paused")
        now = database_now(session)
        encode.paused_at = now
        put_in_place(session, encode)
        record(session, encode.video_id, EventKind.PAUSED, now)


def resume_encode(encode_id: int) -> None:
    with transaction() as session:
        encode = _in_state(session, encode_id, UNFINISHED)
        if encode.paused_at is None:
            raise IllegalMove("the encode is not paused")
        encode.paused_at = None
        put_in_place(session, encode)
        record(session, encode.video_id, EventKind.RESUMED, database_now(session))


def prioritise(encode_id: int, priority: Priority) -> None:
    """Put an unfinished encode among those of another priority. Doing it twice changes nothing more."""
    with transaction() as session:
        encode = _in_state(session, encode_id, UNFINISHED)
        if encode.priority == priority:
            return
        encode.priority = int(priority)
        put_in_place(session, encode)
        record(session, encode.video_id, EventKind.PRIORITY, database_now(session), priority=priority.word)


def pause_queue() -> None:
    """No new job is handed out, whatever it is for; what runs is finished."""
    with transaction() as session:
        if session.get(Hold, QUEUE) is None:
            session.add(Hold(name=QUEUE, since=database_now(session)))


def resume_queue() -> None:
    with transaction() as session:
        hold = session.get(Hold, QUEUE)
        if hold is not None:
            session.delete(hold)


def _in_state(session: Session, encode_id: int, states: tuple[str, ...]) -> Encode:
    encode = session.get_one(Encode, encode_id, with_for_update=True)
    _require_state(encode, states)
    return encode


def _require_state(encode: Encode, states: tuple[str, ...]) -> None:
    if encode.is_over and encode.state != "failed":
        raise IllegalMove("another encode took its place")
    if encode.state not in states:
        raise IllegalMove(f"the encode is {encode.state}")
