"""The words a worker and whoever hands out the work say to each other.

CoordinatorError
├── LeaseLost         somebody else may have the job now: drop it, change nothing
├── Refused           what was handed in is not what was asked for
├── Incomplete        `finish` before everything was handed in
├── Unavailable       the coordinator cannot answer at the moment: try again
└── Dismissed         this worker is not wanted any more, or speaks another version: it leaves

Drained               BaseException: the worker is going away, the job is given back. Not a failure of it.

A cancelled job is a lost lease: nobody waits for it, and its worker drops it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from encoder.choice import Footage
from encoder.inputs import Origin
from encoder.model import Chunk, EncodePlan, Segment


class CoordinatorError(Exception):
    """Something the coordinator says no to."""


class LeaseLost(CoordinatorError):
    """The token is not the newest one of this job."""


class Refused(CoordinatorError):
    """The bytes differ from the facts, or are not of this job."""


class Incomplete(CoordinatorError):
    """Segments of this job are missing."""


class Unavailable(CoordinatorError):
    """No answer just now."""


class Dismissed(CoordinatorError):
    """The text says why, and what the person who runs the worker can do."""


class Drained(BaseException):
    """Not an Exception: code that handles failures must not swallow it."""


@dataclass(frozen=True, slots=True)
class WorkerInfo:
    """Who asks. `id` is the same after a restart on the same host."""

    id: str
    name: str
    facts: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Slot:
    """One thing a worker does at a time: which kinds it takes, between which ranks, and how politely it runs."""

    name: str
    kinds: tuple[str, ...]
    min_rank: int = 0
    max_rank: int = 1_000
    nice: int = 0


class Held(Protocol):
    """What a worker shows of a job that it has."""

    @property
    def job_id(self) -> int: ...

    @property
    def token(self) -> str: ...


@dataclass(frozen=True, slots=True)
class Claim:
    """A lease on one job. `done` holds (rendition, index) of segments that are in already."""

    job_id: int
    token: str
    lease_s: float
    attempt_id: int
    kind: str
    video_id: int
    plan: EncodePlan
    chunk: Chunk
    renditions: tuple[str, ...]
    done: frozenset[tuple[str, int]] = frozenset()
    footage: Footage | None = None  # None: nothing is known of the film, only the CPU decodes it

    def missing(self) -> frozenset[tuple[str, int]]:
        wanted = {(name, index) for name in self.renditions for index in self.chunk}
        return frozenset(wanted - self.done)


@dataclass(frozen=True, slots=True)
class JobProgress:
    """Where the work stands: the segment in flight, how much of it is made (0..1), times realtime, and the id of the
    device at work.
    """

    segment: int
    fraction: float
    speed: float | None = None
    device: str | None = None


@dataclass(frozen=True, slots=True)
class Report:
    """How a finished job went: times realtime, and how often the source was found damaged."""

    speed: float | None = None
    damage: int = 0


NOTHING_TO_REPORT = Report()


@dataclass(frozen=True, slots=True)
class SegmentFile:
    """A finished segment as ffmpeg can read it; `init` is its header, in CMAF."""

    path: Path
    init: Path | None = None


class OpenedSource(Protocol):
    """A film's source while a job reads it. Bytes that cannot be had are never answered with an end: ffmpeg waits, and
    the job asks here.
    """

    @property
    def address(self) -> Origin: ...

    @property
    def state(self) -> str:
        """Changes with its bytes: two readings of one state are of the same file."""
        ...

    @property
    def waited_s(self) -> float:
        """How long ffmpeg has been waiting for bytes of it by now; 0 while it has enough."""
        ...

    def check(self) -> None:
        """Raises what is wrong with it: LeaseLost, Unavailable, SourceUnreadable, StorageFull, OSError."""
        ...


@dataclass(frozen=True, slots=True)
class Orders:
    """The answer to every renewal. `end_segment`: the job may have become shorter, stop there. `gives_back`: the job
    or the worker was paused, so the job is released once the segment in hand has landed.
    """

    lease_s: float
    end_segment: int
    gives_back: bool = False


@dataclass(frozen=True, slots=True)
class Failure:
    """Why an attempt failed. Final: another try would fail the same way. Blameless: not counted as an attempt."""

    code: str
    message: str
    detail: str = ""
    is_final: bool = False
    is_blameless: bool = False


class Coordinator(Protocol):
    """Hands out leases. Every verb may be repeated. All but `claim` raise LeaseLost when the token is stale,
    except `fail` and `release`, which then do nothing.
    """

    def claim(self, worker: WorkerInfo, slot: Slot, job_id: int | None = None) -> Claim | None:
        """The most wanted job this slot can take, or that one job; None when there is none or it may not be taken. A
        lease on that one job that this worker's former self held, or that ran out in its hands, is lost first.
        """
        ...

    def open_source(self, claim: Claim) -> OpenedSource: ...

    def open_segments(self, claim: Claim, rendition: str) -> list[SegmentFile]:
        """The finished segments of one rendition, in order."""
        ...

    def renew(self, claim: Claim, progress: JobProgress | None) -> Orders: ...

    def checkpoint(
        self, claim: Claim, segment: Segment, file: Path, init: Path | None = None, *, waits: bool = False
    ) -> bool:
        """Hand in one segment; False when it was in already. The file is the coordinator's afterwards: it is gone once
        the segment is in. `init`, the header it needs in CMAF, stays the worker's: the next segment needs it too. A
        coordinator that sends segments in the background may report what became of them with the next call about the
        same job, unless the caller waits for that.
        """
        ...

    def is_behind(self, claim: Claim) -> bool:
        """So much waits to be sent that nothing more should be made for now. Raises what sending it raised."""
        ...

    def hand_in(self, claim: Claim, name: str, file: Path) -> None:
        """Hand in one still or storyboard file."""
        ...

    def finish(self, claim: Claim, report: Report = NOTHING_TO_REPORT) -> None: ...

    def fail(self, claim: Claim, failure: Failure) -> None: ...

    def release(self, claim: Claim) -> None: ...

    def drop(self, claim: Claim) -> None:
        """The lease is lost, as far as the worker knows: forget what is kept for it here. Tells nobody."""
        ...

    def greet(self, worker: WorkerInfo, keeps: Collection[int] = ()) -> None:
        """The worker starts (again): leases its former self held are lost, but for the jobs `keeps`. Those it asks
        for by their numbers, see `claim`.
        """
        ...

    def beat(self, worker: WorkerInfo) -> None:
        """The worker is alive, busy or not."""
        ...

    def farewell(self, worker: WorkerInfo) -> None: ...
