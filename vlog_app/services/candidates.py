"""Which job a worker is offered: the most wanted one its slot can take, by the order of `services.places`.

Two rules bend that order a little. A worker stays with the film whose source it has, for a few turns. And a worker
without a GPU leaves encoding that nobody waits for to an idle GPU, for a few seconds.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, Select, func, or_, select
from sqlalchemy.orm import Session

from jobs.contract import Slot, WorkerInfo
from jobs.layout import ENCODE, TAKES_TURNS, WHOLE, Priority, Rank, place_of
from jobs.states import JobState

from ..config import settings
from ..models import Attempt, Job, Worker
from .clock import database_now
from .worker_facts import encodes_on_gpu, slots_of
from .workers import failed_lately, is_probe, may_take

STAY_TURNS = 3  # a film may be this much ahead of the one whose turn it is, for a worker that has its source


def find_candidate(session: Session, worker: WorkerInfo, slot: Slot, job_id: int | None = None) -> Job | None:
    """The job to lease next, or only that one, locked where the database can lock a row; None when there is nothing
    for this slot.
    """
    now = database_now(session)
    row = session.get(Worker, worker.id)
    if not may_take(session, row, now):
        return None
    wanted = _fitting(session, row.facts if row and not worker.facts else worker.facts, worker.id, slot, now)
    if job_id is not None:
        return _first(session, wanted.where(Job.id == job_id))
    if is_probe(row):
        # Another film says more about the worker than the one it has failed on.
        elsewhere = wanted.where(Job.video_id.not_in(failed_lately(session, worker.id)))
        return _first(session, elsewhere) or _first(session, wanted)
    return _near(session, wanted, worker.id) or _first(session, wanted)


def anything_for(session: Session, slot: Slot) -> bool:
    """Is there a queued job of this slot's, whoever may have it? One statement: what a poll of an idle site costs."""
    return session.execute(_queued_for(slot).with_only_columns(Job.id).limit(1)).first() is not None


def _queued_for(slot: Slot) -> Select[Job]:
    first, last = place_of(slot.min_rank, Priority.HIGH), place_of(slot.max_rank, Priority.LOW)
    return select(Job).where(
        Job.state == JobState.QUEUED,
        Job.place.between(first, last),
        Job.kind.in_(slot.kinds),
        Job.rank.between(slot.min_rank, slot.max_rank),
    )


def _fitting(
    session: Session, facts: Mapping[str, object], worker_id: str, slot: Slot, now: datetime
) -> Select[Job]:
    query = _queued_for(slot).where(Job.not_before_at <= now)
    if ENCODE in slot.kinds and _leaves_work_to_a_gpu(session, facts, worker_id, slot, now):
        query = query.where(_is_not_for_a_gpu_yet(now))
    return query


def _is_not_for_a_gpu_yet(now: datetime) -> ColumnElement[bool]:
    since = now - timedelta(seconds=settings().gpu_head_start)
    return or_(Job.kind != ENCODE, Job.rank < Rank.FIRST, Job.not_before_at <= since)


def _first(session: Session, query: Select[Job]) -> Job | None:
    in_order = query.order_by(Job.place, Job.turn, Job.id).limit(1)
    return session.scalars(in_order.with_for_update(skip_locked=True)).first()


def _near(session: Session, wanted: Select[Job], worker_id: str) -> Job | None:
    """The next piece of the film this worker encoded last, when that is not far ahead of its turn."""
    video_id = _last_video(session, worker_id)
    if video_id is None:
        return None
    columns = wanted.with_only_columns(Job.place, Job.turn, Job.video_id, Job.rank)
    best = session.execute(columns.order_by(Job.place, Job.turn, Job.id).limit(1)).first()
    if best is None or best.video_id == video_id or best.rank not in TAKES_TURNS:
        return None
    in_reach = Job.turn.between(best.turn, best.turn + STAY_TURNS)
    return _first(session, wanted.where(Job.place == best.place, in_reach, Job.video_id == video_id))


def _last_video(session: Session, worker_id: str) -> int | None:
    query = (
        select(Job.video_id)
        .join(Attempt, Attempt.job_id == Job.id)
        .where(Attempt.worker_id == worker_id, Job.kind == ENCODE)
        .order_by(Attempt.id.desc())
        .limit(1)
    )
    return session.scalar(query)


def _leaves_work_to_a_gpu(
    session: Session, facts: Mapping[str, object], worker_id: str, slot: Slot, now: datetime
) -> bool:
    if settings().gpu_head_start <= 0 or slot.max_rank < Rank.FIRST or encodes_on_gpu(facts):
        return False
    return is_gpu_idle(session, worker_id, now)


def is_gpu_idle(session: Session, but: str, now: datetime) -> bool:
    """Is there a worker, another than `but`, that could encode on a GPU at once?"""
    since = now - timedelta(seconds=2 * settings().worker_heartbeat_interval)
    here = (
        Worker.id != but,
        Worker.heartbeat_at > since,
        Worker.stopped_at.is_(None),
        Worker.paused_at.is_(None),
        Worker.drain_requested_at.is_(None),
    )
    others = [other for other in session.scalars(select(Worker).where(*here)) if has_gpu(other)]
    busy = _encodes_running(session) if others else {}
    return any(busy.get(other.id, 0) < slots_of(other.facts) for other in others)


def has_gpu(worker: Worker) -> bool:
    """By what it found on its host, or, for a worker of an existing installation, by its word."""
    return encodes_on_gpu(worker.facts) or worker.capabilities.get("hwaccel_enabled") is True


def _encodes_running(session: Session) -> dict[str, int]:
    """Worker -> encodes it runs that nobody waits for."""
    running = Job.state == JobState.LEASED, Job.kind.in_((ENCODE, WHOLE)), Job.rank >= Rank.FIRST
    query = select(Job.worker_id, func.count(Job.id)).where(*running).group_by(Job.worker_id)
    return {worker_id: number for worker_id, number in session.execute(query) if worker_id}
