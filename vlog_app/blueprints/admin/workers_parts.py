"""What the workers page shows, as values: totals per kind of device, hosts, workers, their devices and jobs."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from encoder.device import DeviceKind

from ...services.pulse import Pulse, Tick
from .board_parts import TITLES


@dataclass(frozen=True, slots=True)
class JobLine:
    """One job at work. `where` is the segment in flight; None before the worker's first word."""

    attempt_id: int
    video_id: int
    title: str
    words: str
    where: str
    ticks: list[str]
    speed: float | None


@dataclass(frozen=True, slots=True)
class History:
    """Speeds of the last hour, one for each two minutes; the last one known."""

    speeds: tuple[float, ...] = ()
    last: float | None = None

    @property
    def path(self) -> str:
        """A filled line in a box of 120 x 24, or nothing."""
        top = max(self.speeds, default=0.0)
        if not top:
            return ""
        step = 120 / (len(self.speeds) - 1)
        points = [f"{n * step:.0f} {24 - 20 * speed / top:.1f}" for n, speed in enumerate(self.speeds)]
        return f"M0 24L{'L'.join(points)}L120 24Z"


@dataclass(frozen=True, slots=True)
class DeviceLine:
    """One device of a worker. `slots` None: what runs on it is not limited by number."""

    id: str
    kind: DeviceKind
    name: str
    details: str
    jobs: tuple[JobLine, ...]
    slots: int | None
    history: History

    @property
    def speed(self) -> float | None:
        """Of all jobs on it together; None while none has said."""
        speeds = [job.speed for job in self.jobs if job.speed]
        return sum(speeds) if speeds else None

    def shown_speed(self, *, is_stale: bool) -> float | None:
        """Until a job has said, that of the one before. Idle, it has none; one that is not heard keeps its last."""
        if self.speed is None and (self.jobs or is_stale):
            return self.history.last
        return self.speed


@dataclass(frozen=True, slots=True)
class LastFailure:
    at: datetime
    title: str
    video_id: int
    message: str


@dataclass(frozen=True, slots=True)
class WorkerPanel:
    """One worker. `state` is a status shape. `safe`: what to know while it is not heard."""

    id: str
    name: str
    host: str
    is_remote: bool
    about: str
    pulse: Pulse
    heard_at: datetime | None
    beats: list[Tick]
    state: str
    word: str
    reason: str
    is_held: bool
    is_disabled: bool
    has_key: bool
    devices: tuple[DeviceLine, ...]
    encodes_on: DeviceKind
    segments_safe: int
    lease_until: datetime | None
    failure: LastFailure | None

    @property
    def jobs(self) -> int:
        return sum(len(device.jobs) for device in self.devices)

    @property
    def shares_slots(self) -> bool:
        """Among several devices: then no one of them has a number of its own."""
        return sum(device.slots is not None for device in self.devices) > 1

    @property
    def is_stale(self) -> bool:
        return self.pulse in (Pulse.SILENT, Pulse.GONE)

    @property
    def is_away(self) -> bool:
        return self.pulse is Pulse.GONE or self.is_disabled

    @property
    def is_revoked(self) -> bool:
        return self.is_remote and self.is_disabled and not self.has_key

    @property
    def can_be_removed(self) -> bool:
        """A local one that is up would be back with its next heartbeat."""
        return self.is_remote or self.pulse is Pulse.GONE


@dataclass(slots=True)
class Host:
    name: str
    workers: list[WorkerPanel] = field(default_factory=list)

    @property
    def is_silent(self) -> bool:
        return any(worker.pulse is Pulse.SILENT and not worker.is_disabled for worker in self.workers)


@dataclass(slots=True)
class Total:
    """All workers that encode on one kind of device."""

    kind: DeviceKind
    speed: float = 0.0
    workers: int = 0
    silent: int = 0
    busy: int = 0
    slots: int = 0

    @property
    def title(self) -> str:
        return TITLES[self.kind]

    @property
    def percent(self) -> int:
        return min(100, round(100 * self.busy / self.slots)) if self.slots else 0


@dataclass(frozen=True, slots=True)
class PastHour:
    """`film_s` counts every rung for itself."""

    film_s: float
    segments: int
    failures: int


@dataclass(frozen=True, slots=True)
class FleetPage:
    """The whole page at one moment."""

    totals: tuple[Total, ...]
    past_hour: PastHour
    hosts: tuple[Host, ...]
    away: tuple[WorkerPanel, ...]
    waiting: int

    @property
    def is_empty(self) -> bool:
        return not (self.hosts or self.away)
