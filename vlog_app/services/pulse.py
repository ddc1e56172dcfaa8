"""Is a worker heard of? Its signs of life against the interval in which they should come."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from itertools import pairwise

from ..config import settings
from ..models import Worker

LATE_AFTER = 1.5  # intervals: one beat is overdue
SILENT_AFTER = 2.5  # two are
TICKS = 40
MOST_MISSED = 5  # ticks of one gap: a longer one says no more


class Pulse(StrEnum):
    NEVER = "never"  # registered, and has not called yet
    LIVE = "live"
    LATE = "late"
    SILENT = "silent"
    GONE = "gone"  # stopped, or silent for longer than VLOG_WORKER_OFFLINE_THRESHOLD

    @property
    def is_heard(self) -> bool:
        return self in (Pulse.LIVE, Pulse.LATE)


class Tick(StrEnum):
    """One beat of the strip: `missed` should have come and did not, `due` is overdue now."""

    HEARD = "done"
    LATE = "moving"
    MISSED = "failed"
    DUE = "due"


def pulse_of(worker: Worker, now: datetime) -> Pulse:
    heard = worker.heartbeat_at
    if heard is None:
        return Pulse.NEVER
    config = settings()
    silence = now - heard
    if worker.stopped_at is not None or silence > timedelta(minutes=config.worker_offline_threshold):
        return Pulse.GONE
    missed = silence.total_seconds() / config.worker_heartbeat_interval
    return Pulse.LIVE if missed <= LATE_AFTER else Pulse.LATE if missed <= SILENT_AFTER else Pulse.SILENT


def ticks(beats: Sequence[datetime], now: datetime, interval_s: float) -> list[Tick]:
    """The last beats as a strip, oldest first, with what is missing between them and after them. At most TICKS."""
    if not beats:
        return []
    strip = [Tick.HEARD]
    for before, beat in pairwise(beats):
        missed = _missed(before, beat, interval_s)
        strip += [Tick.MISSED] * (missed - 1)
        strip.append(Tick.LATE if missed else Tick.HEARD)
    strip += [Tick.DUE] * _missed(beats[-1], now, interval_s)
    return strip[-TICKS:]


def _missed(before: datetime, after: datetime, interval_s: float) -> int:
    """Beats that should have come between the two."""
    gap = (after - before).total_seconds() / interval_s
    return min(MOST_MISSED, round(gap)) if gap > LATE_AFTER else 0
