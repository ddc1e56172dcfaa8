"""The queue: the only place that changes the state of a job. The table of moves is jobs.states.

Every move is a guarded update (right state, right lease token). No row changed means somebody else was first.
"""

from __future__ import annotations

import random
import secrets
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from encoder.model import Chunk, EncodePlan
from jobs.contract import (
    NOTHING_TO_REPORT,
    Claim,
    Failure,
    Incomplete,
    JobProgress,
    LeaseLost,
    Orders,
    Report,
    Slot,
    WorkerInfo,
)
from jobs.layout import COPY, ENCODE, ESSENTIAL, GRID_KINDS, PAUSED, STORYBOARD, WHOLE, JobDraft, Rank
from jobs.states import AttemptOutcome, JobState, Move, Verdict, sources_of, target_of

from ..config import settings
from ..extensions import db, news_of, transaction
from ..models import Attempt, Encode, Job, Rendition, Video
from . import wakeup
from .at_work import note_device
from .candidates import anything_for, find_candidate
from .claims import claim_of, done_segments
from .clock import database_now
from .encodes import end_encode, update_viewable
from .events import EventKind, record
from .folding import jobs_to_fold, jobs_to_unfold, whole_job
from .places import put_in_place
from .planning import encode_instead_of_copy, forget_grid, new_job
from .worker_facts import encodes_on_gpu
from .workers import begin_probe, is_draining, judge, note_success

MAX_BACKOFF_S = 3600.0
JITTER = 0.2  # part of a wait that is random, so that failures of one cause do not come back together
UNCHARGED = (Verdict.BLAMELESS, Verdict.EXCUSED)
NO_SPACE_WAIT_S = 60.0  # how soon a job that found the disk full looks again


# --- the verbs of a worker -----------------------------------------------------------------------------------


def claim_next_job(
    worker: WorkerInfo, slot: Slot, job_id: int | None = None, *, token: str | None = None
) -> Claim | None:
    """Lease the job this worker is offered, or only that one, by the name `token`. An idle look takes no write lock."""
    is_idle = not anything_for(
        db.session(), slot
    )  # and SQLite has one lock for all that write: worth a second look
    if is_idle or (settings().uses_sqlite and find_candidate(db.session(), worker, slot, job_id) is None):
        return None
    with transaction() as session:
        job = find_candidate(session, worker, slot, job_id)
        now = database_now(session)
        if job is None or not begin_probe(session, worker.id, now):
            return None
        claim = _lease(session, job, worker, now, token or secrets.token_hex(16))
    if claim is not None and encodes_on_gpu(worker.facts):
        wakeup.ring(())  # whoever left this to the GPU need not wait for it with the rest
    return claim


def claim_whole_film(session: Session, encode: Encode, worker: WorkerInfo) -> Claim | None:
    """One lease on all that is to be encoded; None: something of it has started. The jobs of its parts are called off
    until it ends. Call inside a transaction, with the encode locked.
    """
    now = database_now(session)
    parts = jobs_to_fold(session, encode)
    if parts is None or not begin_probe(session, worker.id, now):
        return None
    for job in parts:
        _move(session, job.id, Move.CANCEL)
    _requeue(session, whole := whole_job(session, encode), now)
    return _lease(session, whole, worker, now, secrets.token_hex(16))


def _lease(session: Session, job: Job, worker: WorkerInfo, now: datetime, token: str) -> Claim | None:
    attempt = Attempt(job_id=job.id, worker_id=worker.id, worker_name=worker.name, started_at=now)
    session.add(attempt)
    session.flush()
    values: dict[str, Any] = {
        "lease_token": token,
        "lease_expires_at": now + timedelta(seconds=settings().lease_s),
        "worker_id": worker.id,
        "attempt_id": attempt.id,
        "progress": None,
    }
    if not _move(session, job.id, Move.CLAIM, **values):
        return None
    session.refresh(job)
    _begin(session, session.get_one(Encode, job.encode_id), job, worker, now)
    return claim_of(session, job, token)


def _begin(session: Session, encode: Encode, job: Job, worker: WorkerInfo, now: datetime) -> None:
    if encode.state == "planned":
        encode.state = "encoding"
    about = {"renditions": job.renditions, "first": job.first_segment, "end": job.end_segment}
    record(session, job.video_id, EventKind.STARTED, now, worker=worker.name, job=job.kind, **about)


def renew_lease(claim: Claim, progress: JobProgress | None) -> Orders:
    """Extend the lease and note the progress. Raises LeaseLost."""
    with transaction() as session:
        job = hold_lease(session, claim)
        if progress is not None:
            job.progress = {
                "segment": progress.segment,
                "fraction": progress.fraction,
                "speed": progress.speed,
            }
            note_device(session, job.attempt_id, progress.device)
            record(session, job.video_id, EventKind.PROGRESS, database_now(session))
        gives_back = job.place >= PAUSED or is_draining(session, job.worker_id)
        return Orders(settings().lease_s, job.end_segment, gives_back)


def hold_lease(session: Session, claim: Claim) -> Job:
    """Inside a transaction: prove the lease, extend it, and keep anyone else from taking the job until the
    transaction ends. Raises LeaseLost.
    """
    until = database_now(session) + timedelta(seconds=settings().lease_s)
    guarded = update(Job).where(
        Job.id == claim.job_id, Job.state == JobState.LEASED, Job.lease_token == claim.token
    )
    if session.execute(guarded.values(lease_expires_at=until)).rowcount != 1:  # type: ignore[attr-defined]
        raise LeaseLost("this job is leased to somebody else by now, or not wanted any more")
    return session.get_one(Job, claim.job_id, populate_existing=True)


def finish_job(claim: Claim, report: Report) -> None:
    """Everything of the job is in. Raises LeaseLost; Incomplete when segments are missing."""
    with transaction() as session:
        job = hold_lease(session, claim)
        _require_whole(session, job)
        now = database_now(session)
        _end_attempt(session, job, AttemptOutcome.FINISHED, now, report=report)
        _move(session, job.id, Move.FINISH, token=claim.token, finished_at=now, **_unleased())
        note_success(session, job.worker_id)
        _queue_storyboard(session, job, now)


def finish_whole_film(claim: Claim) -> None:
    """What came in is the film. Raises LeaseLost; Incomplete when no rung came."""
    with transaction() as session:
        job = hold_lease(session, claim)
        encode = session.get_one(Encode, job.encode_id)
        if encode.state != "viewable":
            raise Incomplete("no rung of this film was handed in")
        now = database_now(session)
        forget_grid(session, encode)
        _end_attempt(session, job, AttemptOutcome.FINISHED, now)
        _move(session, job.id, Move.FINISH, token=claim.token, finished_at=now, **_unleased())
        note_success(session, job.worker_id)


def _require_whole(session: Session, job: Job) -> None:
    wanted = len(job.renditions) * (job.end_segment - job.first_segment)
    if job.kind in ESSENTIAL and len(done_segments(session, job)) != wanted:
        raise Incomplete(f"job {job.id} lacks segments")


def _queue_storyboard(session: Session, job: Job, now: datetime) -> None:
    """Once the lowest rung is whole its key frames make the storyboard."""
    if job.kind not in (ENCODE, COPY):
        return
    encode = session.get_one(Encode, job.encode_id)
    plan = EncodePlan.from_json(encode.plan)
    lowest = session.scalars(
        select(Rendition).where(Rendition.encode_id == encode.id, Rendition.name == plan.lowest.name)
    ).one()
    exists = session.scalar(select(Job.id).where(Job.encode_id == encode.id, Job.kind == STORYBOARD))
    is_whole = lowest.done_segments == lowest.planned_segments and not lowest.is_foreign
    if is_whole and exists is None:
        draft = JobDraft(STORYBOARD, Rank.STORYBOARD, Chunk(0, plan.segment_count), ())
        session.add(new_job(encode, draft, now))


def fail_job(claim: Claim, failure: Failure) -> None:
    """The attempt failed: queue it again after a wait, or fail the job for good. Does nothing for a lost lease."""
    with transaction() as session:
        try:
            job = hold_lease(session, claim)
        except LeaseLost:
            return
        _end_failed(session, job, AttemptOutcome.FAILED, failure)


def release_job(claim: Claim) -> None:
    """Given back unharmed; not an attempt. Does nothing for a lost lease."""
    with transaction() as session:
        try:
            job = hold_lease(session, claim)
        except LeaseLost:
            return
        now = database_now(session)
        _end_attempt(session, job, AttemptOutcome.RELEASED, now)
        _move(session, job.id, Move.RELEASE, token=claim.token, not_before_at=now, **_unleased())


# --- housekeeping --------------------------------------------------------------------------------------------


def sweep_expired_leases() -> int:
    """Take back every lease that ran out; returns how many."""
    with transaction() as session:
        now = database_now(session)
        query = select(Job).where(Job.state == JobState.LEASED, Job.lease_expires_at < now)
        return _lose(session, query)


def lose_leases_of(worker_id: str) -> int:
    """A worker came back after a crash: what its former self held is free at once."""
    with transaction() as session:
        return _lose(session, select(Job).where(Job.state == JobState.LEASED, Job.worker_id == worker_id))


def _lose(session: Session, query: Any) -> int:
    jobs = session.scalars(query.with_for_update(skip_locked=True)).all()
    for job in jobs:
        failure = Failure("lease_lost", "The worker vanished in the middle of its work.")
        _end_failed(session, job, AttemptOutcome.LOST, failure)
    return len(jobs)


def _end_failed(session: Session, job: Job, outcome: AttemptOutcome, failure: Failure) -> None:
    """One rule for failed and lost attempts. An attempt that finished segments proves the job can be done, so the
    count of fruitless attempts starts again at one: a poison file still ends after its attempts.
    """
    now = database_now(session)
    verdict = _verdict(session, job, outcome, failure, now)
    attempt = _end_attempt(session, job, outcome, now, failure=failure)
    attempt.verdict = verdict
    used = job.attempts_used
    if verdict not in UNCHARGED:
        used = 1 if attempt.segments_done else used + 1
    if job.kind == COPY and outcome is AttemptOutcome.FAILED and verdict not in UNCHARGED:
        encode_instead_of_copy(session, job, now)  # copying again would fail the same way
        return
    if failure.is_final or used >= job.max_attempts:
        _fail_for_good(session, job, failure, used, now)
        return
    wait_s = 0.0 if verdict is Verdict.EXCUSED else retry_wait_s(outcome, failure, used)
    again = now + timedelta(seconds=wait_s)
    error = {"error_code": failure.code, "error_message": failure.message[:500]}
    back = Move.CANCEL if job.kind == WHOLE else Move.RELEASE
    _move(session, job.id, back, attempts_used=used, not_before_at=again, **_unleased(), **error)
    if job.kind == WHOLE:
        _unfold(session, session.get_one(Encode, job.encode_id), now)
    _tell_of_failure(session, job, attempt, failure, wait_s)


def _verdict(session: Session, job: Job, outcome: AttemptOutcome, failure: Failure, now: datetime) -> Verdict:
    """Whose fault; where it is the worker's, earlier jobs it failed have their attempts back."""
    if outcome is AttemptOutcome.LOST:
        return Verdict.CHARGED
    judgement = judge(session, session.get_one(Attempt, job.attempt_id), job, failure, now)
    for earlier in judgement.excused_jobs:
        if earlier.state == JobState.FAILED:
            take_up_again(session, session.get_one(Encode, earlier.encode_id), now)
        else:
            earlier.attempts_used = max(0, earlier.attempts_used - 1)
            earlier.not_before_at = now
    return judgement.verdict


def _tell_of_failure(session: Session, job: Job, attempt: Attempt, failure: Failure, wait_s: float) -> None:
    now = attempt.ended_at or database_now(session)
    if attempt.outcome == AttemptOutcome.LOST:
        about: dict[str, Any] = {"worker": attempt.worker_name, "kept": attempt.segments_done}
        record(session, job.video_id, EventKind.LOST, now, **about)
        return
    about = {"worker": attempt.worker_name, "message": failure.message, "wait_s": round(wait_s)}
    record(session, job.video_id, EventKind.TROUBLE, now, **about)


def retry_wait_s(outcome: AttemptOutcome, failure: Failure, used: int) -> float:
    """A lost lease is not the job's fault: go on at once. A failure waits, longer each time, with jitter."""
    if failure.is_blameless:
        return NO_SPACE_WAIT_S
    if outcome is AttemptOutcome.LOST and used <= 1:
        return 0.0
    wait = min(MAX_BACKOFF_S, settings().retry_backoff_base * 2.0 ** (used - 1))
    return wait * random.uniform(1 - JITTER, 1 + JITTER)  # noqa: S311  (spreads load, guards nothing)


def _fail_for_good(session: Session, job: Job, failure: Failure, used: int, now: datetime) -> None:
    error = {"error_code": failure.code, "error_message": failure.message[:500]}
    _move(session, job.id, Move.FAIL, attempts_used=used, finished_at=now, **_unleased(), **error)
    if job.kind not in ESSENTIAL:
        return  # a film without a poster is still a film
    give_up(session, session.get_one(Encode, job.encode_id), failure.code, failure.message, now)


# --- whole encodes: what services.control and services.publish ask for, inside their transactions -------------


def take_up_again(session: Session, encode: Encode, now: datetime) -> None:
    """Go on with an encode that ended unfinished, from what is done, with all attempts given back."""
    for job in session.scalars(select(Job).where(Job.encode_id == encode.id)):
        job.attempts_used = 0
        if job.kind not in (*GRID_KINDS, WHOLE):
            _requeue(session, job, now)
    _unfold(session, encode, now)
    reopen_encode(session, encode, now)
    record(session, encode.video_id, EventKind.RETRIED, now)


def _unfold(session: Session, encode: Encode, now: datetime) -> None:
    for job in jobs_to_unfold(session, encode):
        _requeue(session, job, now)


def _requeue(session: Session, job: Job, now: datetime) -> bool:
    fresh = {"error_code": None, "error_message": None, "finished_at": None}
    return _move(session, job.id, Move.RETRY, not_before_at=now, **fresh)


def reopen_encode(session: Session, encode: Encode, now: datetime) -> None:
    """The encode goes on: its jobs stand in the queue where their priority puts them."""
    encode.state, encode.finished_at, encode.paused_at = "encoding", None, None
    encode.error_code = encode.error_message = None
    video = session.get_one(Video, encode.video_id)
    video.state, video.error_code, video.error_message = "processing", None, None
    put_in_place(session, encode)
    update_viewable(session, encode, now)


def redo_jobs(session: Session, encode: Encode, missing: set[tuple[str, int]], now: datetime) -> list[int]:
    """Segments that were handed in are gone or damaged: queue the jobs that made them once more; returns which."""
    redone = []
    for job in session.scalars(select(Job).where(Job.encode_id == encode.id, Job.kind.in_(ESSENTIAL))):
        cells = {
            (name, index) for name in job.renditions for index in range(job.first_segment, job.end_segment)
        }
        if cells & missing and _move(session, job.id, Move.REDO, not_before_at=now, finished_at=None):
            redone.append(job.id)
    return redone


def give_up_copy(session: Session, encode: Encode, now: datetime) -> bool:
    """The copied rung shows what is broken in the source; encoded it shows what a decoder makes of it. False: there is
    none.
    """
    job = session.scalars(select(Job).where(Job.encode_id == encode.id, Job.kind == COPY)).first()
    if job is None:
        return False
    encode_instead_of_copy(session, job, now)
    return True


def give_up(session: Session, encode: Encode, code: str, message: str, now: datetime) -> None:
    """The encode fails for good; a person may retry it."""
    stop_jobs(session, encode.id, now)
    end_encode(session, encode, "failed", code, message, now)
    record(session, encode.video_id, EventKind.FAILED, now, message=message)


# --- the guarded update --------------------------------------------------------------------------------------


def _move(session: Session, job_id: int, move: Move, *, token: str | None = None, **values: Any) -> bool:
    """The one UPDATE of a job's state. False: the job is not in a state (or lease) this move may start from."""
    guarded = update(Job).where(Job.id == job_id, Job.state.in_([state.value for state in sources_of(move)]))
    if token is not None:
        guarded = guarded.where(Job.lease_token == token)
    moved = session.execute(guarded.values(state=target_of(move).value, **values))
    is_moved = bool(moved.rowcount == 1)  # type: ignore[attr-defined]
    if is_moved and target_of(move) is JobState.QUEUED:
        news_of(session).jobs.add(job_id)
    return is_moved


def stop_jobs(session: Session, encode_id: int, now: datetime) -> None:
    open_states = [state.value for state in sources_of(Move.CANCEL)]
    for job in session.scalars(select(Job).where(Job.encode_id == encode_id, Job.state.in_(open_states))):
        if job.state == JobState.LEASED:
            _end_attempt(session, job, AttemptOutcome.CANCELLED, now)
        _move(session, job.id, Move.CANCEL, finished_at=now, **_unleased())


def _unleased() -> dict[str, None]:
    return {"lease_token": None, "lease_expires_at": None, "progress": None}


def _end_attempt(
    session: Session,
    job: Job,
    outcome: AttemptOutcome,
    now: datetime,
    *,
    report: Report = NOTHING_TO_REPORT,
    failure: Failure | None = None,
) -> Attempt:
    attempt = session.get_one(Attempt, job.attempt_id)
    attempt.ended_at, attempt.outcome = now, outcome.value
    attempt.speed, attempt.damage = report.speed, report.damage
    if failure is not None:
        attempt.error_code, attempt.error_message = failure.code, failure.message[:500]
        attempt.error_detail = failure.detail[-4000:]
    return attempt
