"""Where an encode and its video stand: can it be watched, has it ended? What becomes of its jobs is the queue's."""

from __future__ import annotations

import re
from datetime import datetime

from sqlalchemy import or_, select, tuple_
from sqlalchemy.orm import Session

from ..models import Encode, Rendition, Segment, Video
from .events import EventKind, record, was_ready
from .generations import plays

UNTOUCHED = "What viewers get is kept as it was; the unfinished encode is cleared away."


def end_encode(session: Session, encode: Encode, state: str, code: str, message: str, now: datetime) -> None:
    encode.state, encode.error_code, encode.finished_at = state, code, now
    encode.error_message = message[:500]
    if not plays(session, encode):
        encode.error_message = _about_one_beside(message)
        return  # viewers have another one
    video = session.get_one(Video, encode.video_id)
    # A finished film of which a part could not be made again goes on playing without that part.
    video.state = "viewable" if was_ready(session, encode.video_id) else "failed"
    video.error_code, video.error_message = code, message[:500]


def _about_one_beside(message: str) -> str:
    """Nothing is kept of an encode that was made beside another, and nothing is lost."""
    sentences = [each for each in re.split(r"(?<=\.) ", message) if "kept" not in each]
    return f"{' '.join(sentences)[:350]} {UNTOUCHED}".strip()


def begin_again(session: Session, encode: Encode) -> None:
    """It goes on after it had ended."""
    encode.state, encode.finished_at, encode.paused_at = "encoding", None, None
    encode.error_code = encode.error_message = None
    if plays(session, encode):
        video = session.get_one(Video, encode.video_id)
        video.state, video.error_code, video.error_message = "processing", None, None


def update_viewable(session: Session, encode: Encode, now: datetime) -> None:
    """A video is viewable once some rung and its sound have begun; one that carries its sound itself is enough."""
    if encode.state != "encoding" or not _has_begun(session, encode):
        return
    encode.state = "viewable"
    if plays(session, encode):
        session.get_one(Video, encode.video_id).state = "viewable"
        record(session, encode.video_id, EventKind.VIEWABLE, now)


def no_longer_viewable(session: Session, encode: Encode) -> None:
    """What could be watched has gone: until something else has begun there is nothing to watch."""
    if encode.state == "viewable" and not _has_begun(session, encode):
        encode.state = "encoding"
        session.get_one(Video, encode.video_id).state = "processing"


def _has_begun(session: Session, encode: Encode) -> bool:
    foreign = select(Rendition.id).where(Rendition.encode_id == encode.id, Rendition.origin == "foreign")
    if session.scalar(foreign.limit(1)) is not None:
        return True
    is_begun = tuple_(Rendition.id, 0).in_(select(Segment.rendition_id, Segment.index))
    begun = select(Rendition.kind).where(
        Rendition.encode_id == encode.id, or_(is_begun, Rendition.index.is_not(None))
    )
    planned = set(session.scalars(select(Rendition.kind).where(Rendition.encode_id == encode.id)))
    return set(session.scalars(begun)) == planned
