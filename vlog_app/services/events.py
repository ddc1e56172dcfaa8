"""What happened to a video, kept in order: the page shows it, the live hub wakes by it."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import bindparam, delete, func, insert, select
from sqlalchemy.orm import Session

from ..extensions import Writing, news_of, transaction
from ..models import Event
from ..models.types import table_of
from ..statements import Statement


class EventKind(StrEnum):
    UPLOADED = "uploaded"
    STARTED = "started"  # an attempt began; data: worker, renditions, first, end
    PROGRESS = "progress"  # numbers moved; data: nothing
    SEGMENT = "segment"  # data: rendition, index
    RENDITION = "rendition"  # a rendition is whole; data: rendition
    VIEWABLE = "viewable"
    READY = "ready"  # data: generation, of one that took another's place
    LOST = "lost"  # a worker vanished with a lease; data: worker, kept
    TROUBLE = "trouble"  # an attempt failed and is tried again; data: message, wait_s
    FAILED = "failed"  # for good; data: message
    DEMAND = "demand"  # a viewer asked for a part that is not made; data: segment
    CANCELLED = "cancelled"  # data: generation, of one that was made beside another
    RETRIED = "retried"
    PAUSED = "paused"
    RESUMED = "resumed"
    PRIORITY = "priority"  # data: priority, a word
    UNCOPIED = "uncopied"  # the source could not be copied, its rung is encoded; data: rendition
    AGAIN = "again"  # it is encoded again, beside what plays; data: generation, renditions
    EDITED = "edited"
    POSTER = "poster"


#: Kinds that come in numbers and say nothing tomorrow.
FLEETING = (EventKind.PROGRESS, EventKind.SEGMENT, EventKind.DEMAND)
FLEETING_KEPT = 20_000  # rows


_RECORD = Statement(
    insert(table_of(Event))
    .values({name: bindparam(name) for name in ("video_id", "kind", "data", "created_at")})
    .inline()
)


def record(session: Writing, video_id: int, kind: EventKind, now: datetime, **data: Any) -> None:
    """Call inside a transaction: it is told after the commit."""
    values = {"video_id": video_id, "kind": kind.value, "data": data, "created_at": now}
    _RECORD.written(session.connection(), **values)
    news_of(session).videos.add(video_id)


def was_ready(session: Session, video_id: int) -> bool:
    """Has every rung of it been there before?"""
    query = select(Event.id).where(Event.video_id == video_id, Event.kind == EventKind.READY)
    return session.scalar(query.limit(1)) is not None


def forget_old_events() -> int:
    """Drop fleeting events but the newest; returns how many went."""
    with transaction() as session:
        newest = session.scalar(select(func.max(Event.id))) or 0
        old = delete(Event).where(
            Event.id < newest - FLEETING_KEPT, Event.kind.in_([k.value for k in FLEETING])
        )
        return session.execute(old).rowcount  # type: ignore[attr-defined,no-any-return]
