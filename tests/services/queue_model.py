"""The queue as plain Python: what a film and a job are at any moment, and nothing of how they are kept."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from jobs.contract import Claim
from jobs.layout import ESSENTIAL, Priority
from jobs.states import JobState
from vlog_app.models import Video

Cell = tuple[str, int]


@dataclass
class ModelJob:
    id: int
    film: ModelFilm
    kind: str
    rank: int
    cells: frozenset[Cell]
    state: JobState = JobState.QUEUED
    claim: Claim | None = None
    worker_id: str = ""
    handed_in: int = 0
    used: int = 0
    finishes: int = 0
    not_before: datetime | None = None
    expires: datetime | None = None

    @property
    def is_open(self) -> bool:
        return self.state in (JobState.QUEUED, JobState.LEASED)

    @property
    def missing(self) -> frozenset[Cell]:
        return self.cells - self.film.done

    def end(self, state: JobState) -> None:
        self.state, self.claim = state, None


@dataclass
class ModelFilm:
    video: Video
    encode_id: int
    state: str = "open"  # failed, cancelled, published
    is_paused: bool = False
    priority: Priority = Priority.NORMAL
    done: set[Cell] = field(default_factory=set)
    spoiled: set[Cell] = field(default_factory=set)
    jobs: dict[int, ModelJob] = field(default_factory=dict)

    def stop(self, state: str) -> None:
        self.state = state
        for job in self.jobs.values():
            if job.is_open:
                job.end(JobState.CANCELLED)

    @property
    def is_finished(self) -> bool:
        return all(job.state is JobState.DONE for job in self.jobs.values() if job.kind in ESSENTIAL)

    @property
    def is_begun(self) -> bool:
        """Not over, and something is done already."""
        return self.state == "open" and any(job.state is JobState.DONE for job in self.jobs.values())
