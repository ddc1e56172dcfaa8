"""The workers: who is here, and when each was heard last."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy.orm import Session

from jobs.contract import WorkerInfo

from ..extensions import transaction
from ..models import Worker
from .clock import database_now


def greet(worker: WorkerInfo) -> None:
    """A worker starts, for the first time or again."""
    with transaction() as session:
        now = database_now(session)
        row = _row(session, worker, now)
        row.name, row.facts = worker.name, dict(worker.facts)
        row.started_at, row.stopped_at = now, None
        row.drain_requested_at = None  # it was asked to make room for this very start


def beat(worker: WorkerInfo) -> None:
    with transaction() as session:
        row = _row(session, worker, database_now(session))
        if row.facts != dict(worker.facts):
            row.facts = dict(worker.facts)


def farewell(worker: WorkerInfo) -> None:
    with transaction() as session:
        now = database_now(session)
        _row(session, worker, now).stopped_at = now


def _row(session: Session, worker: WorkerInfo, now: datetime) -> Worker:
    row = session.get(Worker, worker.id)
    if row is None:
        row = Worker(id=worker.id, name=worker.name, started_at=now, heartbeat_at=now)
        session.add(row)
    row.heartbeat_at = now
    return row
