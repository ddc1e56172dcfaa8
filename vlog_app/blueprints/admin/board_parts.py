"""What the queue page shows, as values: columns, lanes, films that wait, jobs that run, workers."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from encoder.device import DeviceKind
from jobs.layout import Priority

TICKS = 12
TITLES = {
    DeviceKind.NVIDIA: "NVIDIA NVENC",
    DeviceKind.VAAPI: "VAAPI",
    DeviceKind.QSV: "Intel Quick Sync",
    DeviceKind.CPU: "CPU",
}
LANES = {
    Priority.HIGH: "High priority",
    Priority.NORMAL: "Normal",
    Priority.LOW: "Low, when nothing else waits",
}


def ticks_at(fraction: float) -> list[str]:
    """States of the ticks of work that is `fraction` (0..1) done."""
    done = int(fraction * TICKS)
    return ["done"] * done + ["moving"][: TICKS - done] + [""] * (TICKS - done - 1)


@dataclass(frozen=True, slots=True)
class Waiting:
    """One film with work that waits."""

    video_id: int
    title: str
    poster_url: str | None
    priority: Priority
    is_paused: bool
    words: str


@dataclass(frozen=True, slots=True)
class Running:
    """One job at work. `fraction` of it is made; `left_s` None: not known yet."""

    attempt_id: int
    video_id: int
    title: str
    poster_url: str | None
    worker_name: str
    words: str
    fraction: float
    left_s: float | None
    gives_back: bool

    @property
    def ticks(self) -> list[str]:
        return ticks_at(self.fraction)


@dataclass(frozen=True, slots=True)
class WorkerLine:
    id: str
    name: str
    state: str
    words: str
    reason: str

    @property
    def is_held(self) -> bool:
        return self.state == "held"


@dataclass(slots=True)
class Lane:
    priority: Priority
    films: list[Waiting] = field(default_factory=list)
    number: int = 0

    @property
    def label(self) -> str:
        return LANES[self.priority]

    @property
    def more(self) -> int:
        return self.number - len(self.films)


@dataclass(slots=True)
class Column:
    kind: DeviceKind
    workers: list[WorkerLine] = field(default_factory=list)
    running: list[Running] = field(default_factory=list)
    lanes: list[Lane] = field(default_factory=lambda: [Lane(priority) for priority in Priority])
    free: int = 0

    @property
    def title(self) -> str:
        return TITLES[self.kind]

    @property
    def waiting(self) -> int:
        return sum(lane.number for lane in self.lanes)


@dataclass(frozen=True, slots=True)
class Stopped:
    video_id: int
    title: str
    message: str


@dataclass(frozen=True, slots=True)
class Board:
    """The whole page at one moment."""

    columns: tuple[Column, ...]
    held_since: datetime | None
    stopped: tuple[Stopped, ...]
    stopped_number: int
    clear_in_s: float | None
    film_s: float

    @property
    def waiting(self) -> int:
        return sum(column.waiting for column in self.columns)

    @property
    def running(self) -> int:
        return sum(len(column.running) for column in self.columns)

    @property
    def workers(self) -> int:
        return sum(len(column.workers) for column in self.columns)

    def at(self, priority: Priority) -> int:
        return sum(
            lane.number for column in self.columns for lane in column.lanes if lane.priority == priority
        )

    @property
    def is_empty(self) -> bool:
        return not (self.waiting or self.running or self.stopped)
