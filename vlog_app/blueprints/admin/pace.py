"""How long the queue takes at the pace of the last minutes."""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import func, or_, select

from ...extensions import db
from ...models import Attempt, Encode, Rendition
from ...services.control import UNFINISHED

WINDOW_S = 600.0
ENOUGH = 10  # segments; fewer say nothing about a pace
SHORTEST_S = 5.0


def time_to_clear(now: datetime) -> float | None:
    """Seconds until every film that is not paused is finished; None while there is too little to judge by."""
    since = now - timedelta(seconds=WINDOW_S)
    recent = or_(Attempt.ended_at.is_(None), Attempt.ended_at > since)
    query = select(func.sum(Attempt.segments_done), func.min(Attempt.started_at))
    made, began = db.session.execute(query.where(recent, Attempt.segments_done > 0)).one()
    if began is None or made < ENOUGH:
        return None
    span_s = max(SHORTEST_S, (now - began).total_seconds())
    return float(_segments_left() * span_s / made)


def _segments_left() -> int:
    query = (
        select(func.coalesce(func.sum(Rendition.planned_segments - Rendition.done_segments), 0))
        .join(Encode, Encode.id == Rendition.encode_id)
        .where(Encode.state.in_(UNFINISHED), Encode.paused_at.is_(None))
    )
    return int(db.session.scalar(query) or 0)
