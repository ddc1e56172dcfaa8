"""The queue: the only place that changes the state of a job. The table of moves is jobs.states.

Every move is a guarded update (right state, right lease token). No row changed means somebody else was first.
"""

from __future__ import annotations

import secrets
from collections.abc import Collection
from datetime import datetime, timedelta
from functools import cache
from typing import Any

from sqlalchemy import bindparam, select, update
from sqlalchemy.orm import Session

from jobs.contract import (
    NOTHING_TO_REPORT,
    Claim,
    Failure,
    Held,
    Incomplete,
    JobProgress,
    LeaseLost,
    Orders,
    Report,
    Slot,
    WorkerInfo,
)
from jobs.layout import COPY, ESSENTIAL, GRID_KINDS, PAUSED, WHOLE
from jobs.states import AttemptOutcome, JobState, Move, Verdict, sources_of, target_of

from ..config import settings
from ..extensions import brief_transaction, db, news_of, transaction
from ..models import Attempt, Encode, Job
from ..models.types import table_of
from ..statements import Statement
from . import wakeup
from .candidates import find_candidate, held_before, held_by, is_worth_a_lock, look
from .claims import open_attempt, read_offer, require_whole
from .clock import database_now
from .encodes import begin_again, end_encode, update_viewable
from .events import EventKind, record
from .folding import jobs_to_fold, jobs_to_unfold, whole_job
from .holding import extend, note_device
from .places import put_in_place
from .planning import encode_instead_of_copy, forget_grid, queue_storyboard
from .retries import UNCHARGED, retry_wait_s, tell_of_failure
from .worker_facts import encodes_on_gpu
from .workers import begin_probe, judge, note_success, standing_of

JOBS = table_of(Job)

# --- the verbs of a worker -----------------------------------------------------------------------------------


def claim_next_job(
    worker: WorkerInfo, slot: Slot, job_id: int | None = None, *, token: str | None = None
) -> Claim | None:
    """Lease the job this worker is offered, or only that one, by the name `token`. A worker that asks again by the same
    name did not hear the answer: it gets the same. An idle look takes no write lock.
    """
    seen = look(worker.id, slot, token)
    if seen.given_id is not None:
        return _given(seen.given_id, token or "")
    if job_id is None and not is_worth_a_lock(worker, slot, seen):
        return None
    with transaction() as session:
        if job_id is not None and _lose(session, held_before(worker.id, slot, job_id, seen.standing.now)):
            seen = seen.later(database_now(session))
        found = find_candidate(session, worker, slot, seen, job_id)
        if found is None or not begin_probe(session, seen.standing):
            return None
        claim = _lease(session, found, worker, seen.standing.now, token or secrets.token_hex(16))
    if claim is not None and encodes_on_gpu(worker.facts):
        wakeup.ring(())  # whoever left this to the GPU need not wait for it with the rest
    return claim


def claim_whole_film(session: Session, encode: Encode, worker: WorkerInfo) -> Claim | None:
    """One lease on all that is to be encoded; None: something of it has started. The jobs of its parts are called off
    until it ends. Call inside a transaction, with the encode locked.
    """
    standing = standing_of(session, worker.id)
    parts = jobs_to_fold(session, encode)
    if parts is None or not begin_probe(session, standing):
        return None
    for job in parts:
        _move(session, job.id, Move.CANCEL)
    _requeue(session, whole := whole_job(session, encode), standing.now)
    return _lease(session, whole.id, worker, standing.now, secrets.token_hex(16))


def _given(job_id: int, token: str) -> Claim | None:
    try:
        return read_offer(db.session(), job_id).claim(token)
    except LeaseLost:
        return None  # its film was deleted since


def _lease(session: Session, job_id: int, worker: WorkerInfo, now: datetime, token: str) -> Claim | None:
    leased: dict[str, Any] = {
        "lease_token": token,
        "lease_expires_at": now + timedelta(seconds=settings().lease_s),
        "worker_id": worker.id,
        "attempt_id": open_attempt(session, job_id, worker, now),
        "progress": None,
    }
    if not _move(session, job_id, Move.CLAIM, **leased):
        return None
    offer = read_offer(session, job_id)
    if offer.encode_state == "planned":
        session.execute(update(Encode).where(Encode.id == offer.job.encode_id).values(state="encoding"))
    _tell_of_start(session, offer.job, worker, now)
    return offer.claim(token)


def _tell_of_start(session: Session, job: Any, worker: WorkerInfo, now: datetime) -> None:
    about = {"renditions": job.renditions, "first": job.first_segment, "end": job.end_segment}
    record(session, job.video_id, EventKind.STARTED, now, worker=worker.name, job=job.kind, **about)


def renew_lease(held: Held, progress: JobProgress | None, by: str | None = None) -> Orders:
    """Extend the lease and note the progress. `by`: the worker that must have it. Raises LeaseLost.

    Where a power cut takes a renewal that was answered, the lease ends up to half a second earlier than its worker
    believes. The next renewal comes long before that matters; and a lease is no promise: whoever comes too late is
    told so by its token, as ever.
    """
    also = {"progress": _told(progress)} if progress else {}
    with brief_transaction(may_be_lost=True) as session:
        job = extend(session, held, by, **also)
        if progress is not None:
            if progress.device and progress.device != job.device:
                note_device(session, job.attempt_id, progress.device)
            record(session, job.video_id, EventKind.PROGRESS, database_now(session))
        return Orders(settings().lease_s, job.end_segment, job.place >= PAUSED or job.is_draining)


def _told(progress: JobProgress) -> dict[str, Any]:
    return {"segment": progress.segment, "fraction": progress.fraction, "speed": progress.speed}


def hold_lease(session: Session, held: Held) -> Job:
    """Inside a transaction: prove the lease, extend it, and keep anyone else from taking the job until the
    transaction ends. Raises LeaseLost.
    """
    session.flush()
    extend(session, held)
    return session.get_one(Job, held.job_id, populate_existing=True)


def finish_job(held: Held, report: Report) -> None:
    """Everything of the job is in. Raises LeaseLost; Incomplete when segments are missing."""
    with transaction() as session:
        job = hold_lease(session, held)
        require_whole(session, job)
        now = database_now(session)
        _end_attempt(session, job, AttemptOutcome.FINISHED, now, report=report)
        _move(session, job.id, Move.FINISH, token=held.token, finished_at=now, **_unleased())
        note_success(session, job.worker_id)
        queue_storyboard(session, job, now)


def finish_whole_film(held: Held) -> None:
    """What came in is the film. Raises LeaseLost; Incomplete when no rung came."""
    with transaction() as session:
        job = hold_lease(session, held)
        encode = session.get_one(Encode, job.encode_id)
        if encode.state != "viewable":
            raise Incomplete("no rung of this film was handed in")
        now = database_now(session)
        forget_grid(session, encode)
        _end_attempt(session, job, AttemptOutcome.FINISHED, now)
        _move(session, job.id, Move.FINISH, token=held.token, finished_at=now, **_unleased())
        note_success(session, job.worker_id)


def fail_job(held: Held, failure: Failure) -> None:
    """The attempt failed: queue it again after a wait, or fail the job for good. Does nothing for a lost lease."""
    with transaction() as session:
        try:
            job = hold_lease(session, held)
        except LeaseLost:
            return
        _end_failed(session, job, AttemptOutcome.FAILED, failure)


def release_job(held: Held) -> None:
    """Given back unharmed; not an attempt. Does nothing for a lost lease."""
    with transaction() as session:
        try:
            job = hold_lease(session, held)
        except LeaseLost:
            return
        now = database_now(session)
        _end_attempt(session, job, AttemptOutcome.RELEASED, now)
        _move(session, job.id, Move.RELEASE, token=held.token, not_before_at=now, **_unleased())


# --- housekeeping --------------------------------------------------------------------------------------------


def sweep_expired_leases() -> int:
    """Take back every lease that ran out; returns how many."""
    with transaction() as session:
        now = database_now(session)
        query = select(Job).where(Job.state == JobState.LEASED, Job.lease_expires_at < now)
        return _lose(session, query)


def lose_leases_of(worker_id: str, but: Collection[int] = ()) -> int:
    """A worker came back after a crash: what its former self held is free at once, the jobs `but` when it asks."""
    with transaction() as session:
        return _lose(session, held_by(worker_id).where(Job.id.not_in(but)))


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
    tell_of_failure(session, job, attempt, failure, wait_s)


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


def _fail_for_good(session: Session, job: Job, failure: Failure, used: int, now: datetime) -> None:
    error = {"error_code": failure.code, "error_message": failure.message[:500]}
    _move(session, job.id, Move.FAIL, attempts_used=used, finished_at=now, **_unleased(), **error)
    if job.kind not in ESSENTIAL:
        return  # a film without a poster is still a film
    give_up(session, session.get_one(Encode, job.encode_id), failure.code, failure.message, now)


# --- whole encodes: what services.control and services.publish ask for, inside their transactions -------------


def take_up_again(session: Session, encode: Encode, now: datetime) -> None:
    """Go on with an encode that ended unfinished, from what is done, with all attempts given back."""
    if encode.is_over:
        return  # its files have gone, or another one plays
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
    begin_again(session, encode)
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
    record(session, encode.video_id, EventKind.FAILED, now, message=encode.error_message)


# --- the guarded update --------------------------------------------------------------------------------------


def _move(session: Session, job_id: int, move: Move, *, token: str | None = None, **values: Any) -> bool:
    """The one UPDATE of a job's state. False: the job is not in a state (or lease) this move may start from."""
    session.flush()  # what is changed of the job and not written yet goes first
    guarded = _guarded(move, token is not None, tuple(values))
    new = {f"new_{name}": value for name, value in values.items()}
    if guarded.written(session.connection(), job=job_id, token=token, **new) != 1:
        return False
    if (known := session.identity_map.get(session.identity_key(Job, job_id))) is not None:
        session.expire(known)
    if target_of(move) is JobState.QUEUED:
        news_of(session).jobs.add(job_id)
    return True


@cache
def _guarded(move: Move, has_token: bool, names: tuple[str, ...]) -> Statement:
    """The statement, made once for each move: making it takes longer than running it."""
    sources = [state.value for state in sources_of(move)]
    guarded = update(JOBS).where(JOBS.c.id == bindparam("job"), JOBS.c.state.in_(sources))
    if has_token:
        guarded = guarded.where(JOBS.c.lease_token == bindparam("token"))
    return Statement(guarded.values(_new(*names) | {"state": target_of(move).value}))


def _new(*names: str) -> dict[str, Any]:
    return {name: bindparam(f"new_{name}") for name in names}


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
