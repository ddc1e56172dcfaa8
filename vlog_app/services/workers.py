"""May this worker have work? Pauses by a person, draining, and the quarantine of one that keeps failing.

A worker that fails on several videos in a row is at fault, not they: it is paused, and the attempts are given back.
After a wait it may try one job. When that goes well it is back; when not, the next wait is twice as long.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, fields
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import bindparam, exists, select, update
from sqlalchemy.orm import Session

from encoder.errors import StorageDenied, StorageFull
from jobs.contract import Failure
from jobs.states import AttemptOutcome, JobState, Verdict
from jobs.wire import LeaseCode

from ..config import settings
from ..extensions import transaction
from ..models import Attempt, Hold, Job, Worker
from .clock import NOW, database_now, shifted

QUEUE = "queue"
FIRST_WAIT_S = 60.0
LONGEST_WAIT_S = 3600.0
LOOK_BACK = 50  # attempts of one worker that are looked at for a streak
BY_OWNER = "You paused it."
NO_SPACE = "Its disk is full. Every attempt was given back to its job."
SITE_NO_SPACE = (
    "The disk of the site is nearly full. What was handed in is safe, and every attempt was given back."
)
NO_ACCESS = (
    "It may not read films or write segments: it runs as another user than the owner of the storage. "
    "Every attempt was given back to its job."
)
ITS_STORAGE = {
    StorageFull.code: NO_SPACE,
    StorageDenied.code: NO_ACCESS,
    LeaseCode.LOW: SITE_NO_SPACE,
}  # code of a failure -> reason of the pause


@dataclass(slots=True)
class Judgement:
    """The verdict on a failed attempt, and the jobs of earlier ones that have their attempt back."""

    verdict: Verdict
    excused_jobs: list[Job] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Asker:
    """What matters of a worker that asks for work: columns of its row."""

    id: str
    facts: dict[str, Any]
    capabilities: dict[str, Any]
    is_disabled: bool
    paused_at: datetime | None
    pause_reason: str | None
    drain_requested_at: datetime | None
    probe_at: datetime | None
    probes: int


@dataclass(frozen=True, slots=True)
class Standing:
    """How things stand for a worker that asks for work. `row` None: nobody has heard of it."""

    now: datetime
    is_queue_held: bool
    row: Asker | None

    @classmethod
    def of(cls, found: Sequence[Any]) -> Standing:
        """From a row that begins with the columns of `STANDING`."""
        now, is_held, *about = found[: 2 + len(_ASKER)]
        return cls(shifted(now), is_held, Asker(*about) if about[0] is not None else None)


_ASKER = [getattr(Worker, each.name) for each in fields(Asker)]
_here = select(NOW.label("now"), exists().where(Hold.name == QUEUE).label("is_held")).subquery()
#: Everything there is to ask before a worker may have work, in one statement: `worker_id`.
STANDING = (
    select(_here.c.now, _here.c.is_held, *_ASKER)
    .select_from(_here)
    .outerjoin(Worker, Worker.id == bindparam("worker_id"))
)


def standing_of(session: Session, worker_id: str) -> Standing:
    return Standing.of(session.execute(STANDING, {"worker_id": worker_id}).one())


def may_take(session: Session, standing: Standing) -> bool:
    """A worker nobody has heard of is as good as any."""
    row, now = standing.row, standing.now
    if standing.is_queue_held:
        return False
    if row is None:
        return True
    if row.is_disabled:
        return False
    if row.paused_at is None and row.drain_requested_at is None:
        return True
    if row.drain_requested_at is not None or row.probe_at is None:
        return False
    return row.probe_at <= now and not _has_a_job(session, row.id)


def is_probe(row: Asker | None) -> bool:
    return row is not None and row.paused_at is not None


def begin_probe(session: Session, standing: Standing) -> bool:
    """Before a lease: True unless this is a paused worker whose probe another slot has just begun."""
    row, now = standing.row, standing.now
    if row is None or not is_probe(row):
        return True
    mine = Worker.id == row.id, Worker.probe_at == row.probe_at, Worker.probes == row.probes
    # It costs no job an attempt, so it is looked at steadily: there may be room again any time.
    probes = 0 if row.pause_reason in ITS_STORAGE.values() else row.probes + 1
    until = now + timedelta(seconds=_wait_s(probes))
    moved = session.execute(update(Worker).where(*mine).values(probe_at=until, probes=row.probes + 1))
    return bool(moved.rowcount == 1)  # type: ignore[attr-defined]


def failed_lately(session: Session, worker_id: str) -> set[int]:
    """Videos this worker failed on since it did something well."""
    return {job.video_id for _, job in _failures_in_a_row(session, worker_id)}


def note_success(session: Session, worker_id: str | None) -> None:
    """A job went well: a worker that was paused by itself is back."""
    row = session.get(Worker, worker_id) if worker_id else None
    if row is not None and row.probe_at is not None:
        _let_back(row)


def judge(session: Session, attempt: Attempt, job: Job, failure: Failure, now: datetime) -> Judgement:
    """Whose fault was it? Pauses the worker when it is the worker's. Call before the attempt has its outcome."""
    row = session.get(Worker, attempt.worker_id)
    if failure.code in ITS_STORAGE and row is not None:
        _pause_by_itself(row, ITS_STORAGE[failure.code], now)
    if failure.is_blameless:
        return Judgement(Verdict.BLAMELESS)
    if failure.is_final:
        return Judgement(Verdict.FINAL)
    if row is None or attempt.segments_done:
        return Judgement(Verdict.CHARGED)
    return _judge_streak(session, row, job, failure, now)


def _judge_streak(session: Session, row: Worker, job: Job, failure: Failure, now: datetime) -> Judgement:
    streak = [found for found in _failures_in_a_row(session, row.id) if found[0].verdict == Verdict.CHARGED]
    videos = {job.video_id} | {earlier.video_id for _, earlier in streak}
    on_probation = row.paused_at is not None and row.probe_at is not None
    if not on_probation and len(videos) < settings().quarantine_after:
        return Judgement(Verdict.CHARGED)
    reason = f"It failed on {len(videos)} videos in a row, the last time with: {failure.message}"
    _pause_by_itself(row, row.pause_reason or reason if on_probation else reason, now)
    excused = [earlier for attempt, earlier in streak if _excuse(session, attempt)]
    verdict = Verdict.UPHELD if _was_excused(session, job.id) else Verdict.EXCUSED
    return Judgement(verdict, [earlier for earlier in excused if earlier.id != job.id])


def _failures_in_a_row(session: Session, worker_id: str) -> Iterator[tuple[Attempt, Job]]:
    """Newest first, back to the last attempt that achieved something. What was given back or lost says nothing."""
    query = (
        select(Attempt, Job)
        .join(Job, Job.id == Attempt.job_id)
        .where(Attempt.worker_id == worker_id, Attempt.outcome.is_not(None))
        .order_by(Attempt.id.desc())
        .limit(LOOK_BACK)
    )
    for attempt, job in session.execute(query).all():
        if attempt.outcome == AttemptOutcome.FINISHED or attempt.segments_done:
            return
        if attempt.outcome == AttemptOutcome.FAILED:
            yield attempt, job


def _excuse(session: Session, attempt: Attempt) -> bool:
    """Once for each job: a film that no worker can encode must come to an end."""
    excused = not _was_excused(session, attempt.job_id)
    attempt.verdict = Verdict.EXCUSED if excused else Verdict.UPHELD
    session.flush()
    return excused


def _was_excused(session: Session, job_id: int) -> bool:
    query = select(Attempt.id).where(Attempt.job_id == job_id, Attempt.verdict == Verdict.EXCUSED)
    return session.scalar(query.limit(1)) is not None


def _has_a_job(session: Session, worker_id: str) -> bool:
    held = select(Job.id).where(Job.state == JobState.LEASED, Job.worker_id == worker_id)
    return session.scalar(held.limit(1)) is not None


def _pause_by_itself(row: Worker, reason: str, now: datetime) -> None:
    if row.paused_at is not None and row.probe_at is None:
        return  # a person paused it, and only a person lets it back
    if row.paused_at is None:
        row.paused_at, row.probes = now, 0
        row.probe_at = now + timedelta(seconds=_wait_s(0))
    row.pause_reason = reason[:200]


def _wait_s(probes: int) -> float:
    return min(LONGEST_WAIT_S, FIRST_WAIT_S * 2.0**probes)


def _let_back(row: Worker) -> None:
    row.paused_at = row.pause_reason = row.probe_at = None
    row.probes = 0


# --- asked for by a person -----------------------------------------------------------------------------------


def pause_worker(worker_id: str) -> bool:
    """It finishes what it has and takes nothing new. False: there is no such worker."""
    with transaction() as session:
        row = session.get(Worker, worker_id)
        if row is not None:
            row.paused_at = row.paused_at or database_now(session)
            row.pause_reason, row.probe_at = BY_OWNER, None
        return row is not None


def drain_worker(worker_id: str) -> bool:
    """It takes nothing new and gives back what it has at the next segment, so that its host can be switched off.
    Its next start ends that. False: there is no such worker.
    """
    with transaction() as session:
        row = session.get(Worker, worker_id)
        if row is not None:
            row.drain_requested_at = database_now(session)
        return row is not None


def resume_worker(worker_id: str) -> bool:
    """Whatever kept it from work is over. False: there is no such worker."""
    with transaction() as session:
        row = session.get(Worker, worker_id)
        if row is not None:
            _let_back(row)
            row.drain_requested_at = None
            _start_over(session, worker_id)
        return row is not None


def _start_over(session: Session, worker_id: str) -> None:
    """Failures from before a person let it back are history."""
    for attempt, _ in _failures_in_a_row(session, worker_id):
        if attempt.verdict == Verdict.CHARGED:
            attempt.verdict = Verdict.UPHELD
