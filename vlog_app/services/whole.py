"""Whole films for workers of an existing installation, which know no parts of a film and carry no lease token.

Their lease is the key they call with and the claim made with it: the server keeps the token for them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import PurePosixPath
from typing import Any

from sqlalchemy import Select, select
from sqlalchemy.orm import Session

from jobs.contract import Claim, Failure, Incomplete, LeaseLost, WorkerInfo
from jobs.layout import GRID_KINDS, WHOLE
from jobs.states import JobState

from ..config import settings
from ..extensions import db, transaction
from ..models import Attempt, Encode, Job, Rendition, Video, Worker
from .candidates import has_gpu, is_gpu_idle
from .claims import claim_of
from .clock import database_now
from .events import EventKind, record
from .foreign import whole_renditions
from .generations import current_encodes, folder_of, plays
from .leases import NotYours
from .playlists import availability_of
from .publish import missing_segments
from .queue import claim_whole_film, fail_job, finish_whole_film, hold_lease, renew_lease
from .workers import may_take, standing_of

LIVE = ("planned", "encoding", "viewable")
SILENT_WORK = timedelta(minutes=10)  # how long a worker may say no more than that it is busy


class WaitsForGpu(Exception):
    """There is something, but a GPU that has nothing to do may have it first, for a moment."""


class NoSuchJob(Exception):
    """There is no such job, or none of this video."""


@dataclass(frozen=True, slots=True)
class Given:
    """A whole film on its way to a worker."""

    claim: Claim
    expires_at: datetime
    slug: str
    duration_s: float
    width: int
    height: int
    source_name: str
    existing: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Standing:
    """How a whole film stands: what is in, and what of it has gone from the disk."""

    job_id: int
    video_id: int
    slug: str
    video_state: str
    is_done: bool
    present: tuple[str, ...]
    missing: tuple[str, ...]


# --- claims --------------------------------------------------------------------------------------------------


def claim_whole(worker: WorkerInfo, job_id: int | None = None) -> Given | None:
    """Lease the oldest film of which nothing has started, or the one that `job_id` is of. An idle look writes nothing.

    A worker that asks again without a word about the film it was just given did not hear the answer: it gets the same.
    Raises WaitsForGpu.
    """
    if (again := _given_before(worker.id)) is not None:
        return again
    if not _is_offered(db.session(), worker, job_id):
        return None
    with transaction() as session:
        query = _candidates(session, job_id).with_for_update(of=Encode, skip_locked=True)
        encode = session.scalars(query).first()
        claim = claim_whole_film(session, encode, worker) if encode else None
        return _given(session, claim) if claim else None


def _is_offered(session: Session, worker: WorkerInfo, job_id: int | None) -> bool:
    """Is there a film for this worker now? Leaves no transaction open."""
    try:
        standing = standing_of(session, worker.id)
        encode = session.scalars(_candidates(session, job_id)).first()
        if encode is None or not may_take(session, standing):
            return False
        now, row = standing.now, standing.row
        if _is_for_the_grid(session, encode) and _own_workers(session, now):
            return False
        is_new = now - encode.created_at < timedelta(seconds=settings().gpu_head_start)
        if is_new and not (row and has_gpu(row)) and is_gpu_idle(session, worker.id, now):
            raise WaitsForGpu
        return True
    finally:
        session.rollback()


def _is_for_the_grid(session: Session, encode: Encode) -> bool:
    """A film that was cut elsewhere is encoded again to become one of ours."""
    if plays(session, encode):
        return False
    query = (
        current_encodes()
        .join(Rendition, Rendition.encode_id == Encode.id)
        .where(
            Video.id == encode.video_id, Encode.generation == Video.generation, Rendition.origin == "foreign"
        )
    )
    return session.scalars(query.limit(1)).first() is not None


def _own_workers(session: Session, now: datetime) -> bool:
    """Is there a worker that knows parts of a film, and takes work?"""
    since = now - timedelta(minutes=settings().worker_offline_threshold)
    here = Worker.heartbeat_at > since, Worker.stopped_at.is_(None), Worker.paused_at.is_(None)
    query = select(Worker).where(*here, Worker.drain_requested_at.is_(None))
    return any(worker.facts for worker in session.scalars(query))


def _candidates(session: Session, job_id: int | None) -> Select[Encode]:
    now = database_now(session)
    jobs = Job.encode_id == Encode.id
    grid = jobs, Job.kind.in_(GRID_KINDS)
    begun = Rendition.encode_id == Encode.id, Rendition.origin == "grid", Rendition.done_segments > 0
    resting = (
        (Job.not_before_at > now) | (Job.attempts_used >= Job.max_attempts) | (Job.state == JobState.LEASED)
    )
    started = Job.state.not_in((JobState.QUEUED, JobState.CANCELLED))
    query = (
        select(Encode)
        .join(Video, Video.id == Encode.video_id)
        .where(
            Encode.state.in_(LIVE),
            Encode.paused_at.is_(None),
            Video.deleted_at.is_(None),
            select(Job.id).where(*grid, Job.state == JobState.QUEUED).exists(),
            ~select(Job.id).where(*grid, started).exists(),
            ~select(Rendition.id).where(*begun).exists(),
            select(Rendition.id).where(Rendition.encode_id == Encode.id, Rendition.kind == "video").exists(),
            ~select(Job.id).where(jobs, Job.kind == WHOLE, resting).exists(),
        )
    )
    if job_id is not None:
        query = query.where(select(Job.id).where(jobs, Job.id == job_id).exists())
    return query.order_by(Encode.priority, Encode.id).limit(1)


def _given_before(worker_id: str) -> Given | None:
    session = db.session()
    mine = Job.kind == WHOLE, Job.state == JobState.LEASED, Job.worker_id == worker_id
    job = next((job for job in session.scalars(select(Job).where(*mine)) if job.progress is None), None)
    if job is None:
        session.rollback()
        return None
    with transaction() as writing:
        claim = claim_of(session, job, job.lease_token or "")
        hold_lease(writing, claim)
        return _given(writing, claim)


def _given(session: Session, claim: Claim) -> Given:
    job, video = session.get_one(Job, claim.job_id), session.get_one(Video, claim.video_id)
    assert job.lease_expires_at is not None
    return Given(
        claim=claim,
        expires_at=job.lease_expires_at,
        slug=video.slug,
        duration_s=video.duration_s,
        width=video.width,
        height=video.height,
        source_name=PurePosixPath(video.source_path).name,
        existing=tuple(whole_renditions(video.id, job.encode_id)),
    )


# --- under the lease -----------------------------------------------------------------------------------------


def held_job(job_id: int, worker_id: str) -> Claim:
    """The claim this worker made of a whole film. Raises NoSuchJob, NotYours, or LeaseLost when it had it once."""
    return _held(select(Job).where(Job.id == job_id), worker_id)


def held_video(video_id: int, worker_id: str) -> Claim:
    """The same, by the number of the video."""
    newest = Job.state == JobState.LEASED, Job.id
    query = select(Job).where(Job.video_id == video_id).order_by(newest[0].desc(), newest[1].desc())
    return _held(query, worker_id)


def _held(query: Select[Job], worker_id: str) -> Claim:
    session = db.session()
    try:
        job = session.scalars(query.where(Job.kind == WHOLE)).first()
        _require_known(session, job, worker_id)
        assert job is not None
        if job.state != JobState.LEASED or job.worker_id != worker_id:
            raise LeaseLost("this film is with somebody else by now, or not wanted any more")
        return claim_of(session, job, job.lease_token or "")
    finally:
        session.rollback()


def _require_known(session: Session, job: Job | None, worker_id: str) -> None:
    """A worker may ask about what it has or had."""
    if job is None:
        raise NoSuchJob
    had = select(Attempt.id).where(Attempt.job_id == job.id, Attempt.worker_id == worker_id)
    if session.scalar(had.limit(1)) is None:
        raise NotYours("this job was leased with another key")


def note_progress(claim: Claim, step: str | None, percent: float, qualities: Mapping[str, float]) -> datetime:
    """What the worker says of itself, for the pages; it renews the lease until the time returned. Raises LeaseLost."""
    with transaction(may_be_lost=True) as session:
        job = hold_lease(session, claim)
        now = database_now(session)
        before = job.progress or {}
        known: dict[str, Any] = before.get("qualities", {})
        count = job.end_segment - job.first_segment
        at = percent / 100 * count
        segment = min(int(at), count - 1)
        job.progress = {
            "segment": segment,
            "fraction": round(at - segment, 2),
            "step": step or before.get("step"),
            "qualities": {**known, **qualities},
            "said_at": now.isoformat(),
        }
        record(session, job.video_id, EventKind.PROGRESS, now)
        assert job.lease_expires_at is not None
        return job.lease_expires_at


def renew_while_busy(worker_id: str) -> None:
    """A sign of life renews what the worker has, if it spoke of that lately: several hosts may share a key, and one
    that is gone must not keep its film for ever.
    """
    session = db.session()
    now = database_now(session)
    mine = Job.kind == WHOLE, Job.state == JobState.LEASED, Job.worker_id == worker_id
    for job in session.scalars(select(Job).where(*mine)).all():
        said_at = (job.progress or {}).get("said_at")
        if said_at and now - datetime.fromisoformat(said_at) < SILENT_WORK:
            with suppress(LeaseLost):
                renew_lease(claim_of(session, job, job.lease_token or ""), None)
    session.rollback()


def complete(job_id: int, worker_id: str, qualities: Sequence[str]) -> None:
    """The film is what came in. Saying it again changes nothing. Raises like `held_job`; Incomplete."""
    session = db.session()
    job = session.get(Job, job_id)
    if job and job.kind == WHOLE and job.state == JobState.DONE and job.worker_id == worker_id:
        session.rollback()
        return
    claim = held_job(job_id, worker_id)
    there = set(whole_renditions(claim.video_id, session.get_one(Job, job_id).encode_id))
    if absent := [name for name in qualities if name not in there]:
        raise Incomplete(f"{', '.join(absent)} was not handed in")
    finish_whole_film(claim)


def fail(claim: Claim, message: str, *, may_retry: bool) -> tuple[bool, int]:
    """(is it tried again, how many attempts were used)"""
    fail_job(claim, Failure("worker_failed", message, is_final=not may_retry))
    session = db.session()
    job = session.get_one(Job, claim.job_id, populate_existing=True)
    session.rollback()
    return job.state != JobState.FAILED, job.attempts_used


def standing(job_id: int, worker_id: str) -> Standing:
    """Raises NoSuchJob, NotYours."""
    session = db.session()
    job = session.get(Job, job_id)
    job = job if job and job.kind == WHOLE else None
    _require_known(session, job, worker_id)
    assert job is not None
    video = session.get_one(Video, job.video_id)
    encode = session.get_one(Encode, job.encode_id)
    made = availability_of(session, encode)
    lost = sorted(missing_segments(made, folder_of(session, encode)))
    present = [row.rendition.name for row in made.rows if row.is_foreign]
    return Standing(
        job_id, video.id, video.slug, video.state, job.state == JobState.DONE, tuple(present),
        tuple(made.file_name(name, index) for name, index in lost if name in present),
    )  # fmt: skip
