"""The lease on housekeeping: however many schedulers and messages there are, a chore is done once per interval."""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import select, update
from sqlalchemy.exc import IntegrityError

from ..extensions import db, transaction
from ..models import Chore
from .clock import database_now


def take(name: str, every_s: float, *, late_s: float = 0.0, at_once: bool = False) -> float:
    """0 when it is the caller's to do now, else in how many seconds to ask again.

    `late_s`: let others have it for that long after it is due; negative takes it that much early. `at_once` takes it
    whenever it was done last: what a crash left behind should not wait.
    """
    due_at = db.session.scalar(select(Chore.due_at).where(Chore.name == name))
    now = database_now(db.session())
    limit = now - timedelta(seconds=late_s)
    db.session.rollback()
    if due_at is None:
        return 0.0 if _begin(name, now, every_s) else every_s
    if due_at > limit and not at_once:
        return min(every_s, (due_at - limit).total_seconds())
    return 0.0 if _move(name, due_at, now, every_s) else every_s


def _begin(name: str, now: datetime, every_s: float) -> bool:
    try:
        with transaction() as session:
            session.add(Chore(name=name, due_at=now + timedelta(seconds=every_s)))
    except IntegrityError:
        return False
    return True


def _move(name: str, due_at: datetime, now: datetime, every_s: float) -> bool:
    """False when somebody else was first."""
    with transaction() as session:
        guarded = update(Chore).where(Chore.name == name, Chore.due_at == due_at)
        moved = session.execute(guarded.values(due_at=now + timedelta(seconds=every_s)))
        return bool(moved.rowcount == 1)  # type: ignore[attr-defined]
