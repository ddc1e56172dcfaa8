"""A coordinator that lives in memory: for tests of workers, and the simplest reading of what the verbs promise."""

from __future__ import annotations

import itertools
import shutil
import threading
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from pathlib import Path

from encoder.model import Chunk, EncodePlan, Segment
from encoder.names import init_name, segment_name

from .contract import (
    NOTHING_TO_REPORT,
    Claim,
    Failure,
    Incomplete,
    JobProgress,
    LeaseLost,
    Orders,
    Refused,
    Report,
    SegmentFile,
    Slot,
    WorkerInfo,
)
from .layout import ESSENTIAL, JobDraft, draft_jobs
from .source_state import SourceOnDisk
from .states import IllegalMove, JobState, Move, sources_of, target_of

LEASE_S = 120.0


class FakeClock:
    """Seconds that pass when told to."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += seconds


@dataclass(slots=True)
class MemoryJob:
    id: int
    draft: JobDraft
    chunk: Chunk
    state: JobState = JobState.QUEUED
    token: str | None = None
    worker_id: str = ""
    is_formers: bool = False  # leased to its worker before that started again
    expires_at: float = 0.0
    not_before: float = 0.0
    attempts_used: int = 0
    handed_in: int = 0
    failure: Failure | None = None
    progress: JobProgress | None = None


@dataclass(slots=True)
class MemoryCoordinator:
    """One film. Segments land in `folder`, their facts in `segments`."""

    plan: EncodePlan
    source: Path
    folder: Path
    chunk_s: float = 60.0
    max_attempts: int = 3
    lease_s: float = LEASE_S
    backoff_s: float = 60.0
    clock: Callable[[], float] = field(default_factory=FakeClock)
    jobs: list[MemoryJob] = field(default_factory=list)
    segments: dict[tuple[str, int], Segment] = field(default_factory=dict)
    inits: dict[str, list[str]] = field(default_factory=dict)  # rendition -> SHA-256 of its headers
    stills: list[str] = field(default_factory=list)
    workers: dict[str, str] = field(default_factory=dict)
    damage: int = 0
    _lock: threading.RLock = field(default_factory=threading.RLock)
    _numbers: itertools.count[int] = field(default_factory=lambda: itertools.count(1))

    def __post_init__(self) -> None:
        for draft in draft_jobs(self.plan, self.chunk_s):
            self.jobs.append(MemoryJob(next(self._numbers), draft, draft.chunk))

    def claim(self, worker: WorkerInfo, slot: Slot, job_id: int | None = None) -> Claim | None:
        with self._lock:
            self._sweep()
            for job in self.jobs:
                is_its = job.state is JobState.LEASED and job.worker_id == worker.id
                if job.id == job_id and is_its and job.is_formers and self._suits(job, slot):
                    self._lose(job)
            fitting = [job for job in self.jobs if self._fits(job, slot) and job_id in (None, job.id)]
            if not fitting:
                return None
            job = min(fitting, key=lambda job: (job.draft.rank, job.id))
            self._move(job, Move.CLAIM)
            job.token, job.worker_id, job.is_formers = f"token-{next(self._numbers)}", worker.id, False
            job.expires_at, job.handed_in = self.clock() + self.lease_s, 0
            return self._claim_of(job)

    def open_source(self, claim: Claim) -> SourceOnDisk:
        self._held(claim)
        return SourceOnDisk.at(self.source)

    def open_segments(self, claim: Claim, rendition: str) -> list[SegmentFile]:
        self._held(claim)
        return [self._file_of(rendition, index) for index in range(self.plan.segment_count)]

    def renew(self, claim: Claim, progress: JobProgress | None) -> Orders:
        with self._lock:
            job = self._held(claim)
            job.progress = progress or job.progress
            return Orders(self.lease_s, job.chunk.end)

    def checkpoint(
        self, claim: Claim, segment: Segment, file: Path, init: Path | None = None, *, waits: bool = False
    ) -> bool:
        with self._lock:
            job = self._held(claim)
            if segment.rendition not in job.draft.renditions or segment.index not in range(
                job.chunk.first, job.chunk.end
            ):
                raise Refused("not of this job")
            if (segment.rendition, segment.index) in self.segments:
                file.unlink()
                return False
            place = self._place_of(segment.rendition, segment.index)
            place.parent.mkdir(exist_ok=True)
            shutil.move(file, place)
            if init is not None:
                self.keep_init(segment, init)
            self.segments[segment.rendition, segment.index] = segment
            job.handed_in += 1
            return True

    def is_behind(self, claim: Claim) -> bool:
        return False

    def hand_in(self, claim: Claim, name: str, file: Path) -> None:
        with self._lock:
            self._held(claim)
            shutil.move(file, self.folder / name)
            self.stills.append(name)

    def finish(self, claim: Claim, report: Report = NOTHING_TO_REPORT) -> None:
        with self._lock:
            job = self._held(claim)
            self.damage += report.damage
            if job.draft.kind in ESSENTIAL and self._claim_of(job).missing():
                raise Incomplete("segments are missing")
            self._move(job, Move.FINISH)

    def fail(self, claim: Claim, failure: Failure) -> None:
        with self._lock:
            if (job := self._holder(claim)) is not None:
                self._end(job, failure, wait_s=self.backoff_s)

    def release(self, claim: Claim) -> None:
        with self._lock:
            if (job := self._holder(claim)) is not None:
                self._move(job, Move.RELEASE)

    def drop(self, claim: Claim) -> None:
        """Nothing is kept for it."""

    def greet(self, worker: WorkerInfo, keeps: Collection[int] = ()) -> None:
        with self._lock:
            self.workers[worker.id] = "here"
            for job in self.jobs:
                if job.state is JobState.LEASED and job.worker_id == worker.id:
                    job.is_formers = True
                    if job.id not in keeps:
                        self._lose(job)

    def beat(self, worker: WorkerInfo) -> None:
        self.workers[worker.id] = "here"

    def farewell(self, worker: WorkerInfo) -> None:
        self.workers[worker.id] = "gone"

    def shorten(self, job_id: int, end: int) -> None:
        """A viewer's demand took the tail of a running job."""
        with self._lock:
            job = next(job for job in self.jobs if job.id == job_id)
            job.chunk = Chunk(job.chunk.first, end)

    def _fits(self, job: MemoryJob, slot: Slot) -> bool:
        is_ready = job.state is JobState.QUEUED and job.not_before <= self.clock()
        return is_ready and self._suits(job, slot)

    def _suits(self, job: MemoryJob, slot: Slot) -> bool:
        return job.draft.kind in slot.kinds and slot.min_rank <= job.draft.rank <= slot.max_rank

    def _claim_of(self, job: MemoryJob) -> Claim:
        wanted = {(name, index) for name in job.draft.renditions for index in job.chunk}
        return Claim(
            job_id=job.id,
            token=job.token or "",
            lease_s=self.lease_s,
            attempt_id=job.attempts_used + 1,
            kind=job.draft.kind,
            video_id=1,
            plan=self.plan,
            chunk=job.chunk,
            renditions=job.draft.renditions,
            done=frozenset(wanted & self.segments.keys()),
        )

    def _holder(self, claim: Claim) -> MemoryJob | None:
        job = next(job for job in self.jobs if job.id == claim.job_id)
        return job if job.state is JobState.LEASED and job.token == claim.token else None

    def _held(self, claim: Claim) -> MemoryJob:
        with self._lock:
            job = self._holder(claim)
            if job is None:
                raise LeaseLost("not the newest token")
            job.expires_at = self.clock() + self.lease_s
            return job

    def _sweep(self) -> None:
        for job in self.jobs:
            if job.state is JobState.LEASED and job.expires_at < self.clock():
                self._lose(job)

    def _lose(self, job: MemoryJob) -> None:
        self._end(job, Failure("lease_lost", "The worker vanished."), wait_s=0.0)

    def _end(self, job: MemoryJob, failure: Failure, wait_s: float) -> None:
        if not failure.is_blameless:
            job.attempts_used = 1 if job.handed_in else job.attempts_used + 1
        job.failure = failure
        job.not_before = self.clock() + wait_s
        is_over = failure.is_final or job.attempts_used >= self.max_attempts
        self._move(job, Move.FAIL if is_over else Move.RELEASE)

    def _move(self, job: MemoryJob, move: Move) -> None:
        if job.state not in sources_of(move):
            raise IllegalMove(f"{job.state} --{move}-->")
        job.state, job.token = target_of(move), None

    def keep_init(self, segment: Segment, init: Path) -> None:
        known = self.inits.setdefault(segment.rendition, [])
        if segment.init_sha256 not in known:
            known.append(segment.init_sha256)
            shutil.copyfile(init, self.folder / init_name(segment.rendition, len(known) - 1))

    def _file_of(self, rendition: str, index: int) -> SegmentFile:
        known = self.inits.get(rendition)
        number = known.index(self.segments[rendition, index].init_sha256) if known else None
        init = None if number is None else self.folder / init_name(rendition, number)
        return SegmentFile(self._place_of(rendition, index), init)

    def _place_of(self, rendition: str, index: int) -> Path:
        return self.folder / segment_name(self.plan.container, rendition, index)
