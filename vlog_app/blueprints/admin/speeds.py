"""How fast each device of each worker was in the last hour, from the attempts it made."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import select

from jobs.layout import ENCODE

from ...extensions import db
from ...models import Attempt, Job
from .workers_parts import History

HOUR_S = 3600.0
STEPS = 30
STEP_S = HOUR_S / STEPS

Place = tuple[str, str]  # worker, device


@dataclass(frozen=True, slots=True)
class Speeds:
    histories: Mapping[Place, History]

    def of(self, worker_id: str, device_id: str) -> History:
        return self.histories.get((worker_id, device_id), History())


def read_speeds(now: datetime) -> Speeds:
    since = now - timedelta(seconds=HOUR_S)
    query = (
        select(Attempt, Job.progress)
        .join(Job, Job.id == Attempt.job_id)
        .where(Job.kind == ENCODE, Attempt.ended_at.is_(None) | (Attempt.ended_at > since))
        .order_by(Attempt.id)
    )
    sums: dict[Place, list[float]] = defaultdict(lambda: [0.0] * STEPS)
    last: dict[Place, float] = {}
    for attempt, progress in db.session.execute(query):
        speed = attempt.speed if attempt.ended_at else (progress or {}).get("speed")
        if speed:
            place = attempt.worker_id, attempt.device
            last[place] = speed
            _add(sums[place], speed, attempt.started_at - since, (attempt.ended_at or now) - since)
    return Speeds({place: History(tuple(made), last[place]) for place, made in sums.items()})


def _add(steps: list[float], speed: float, start: timedelta, end: timedelta) -> None:
    """Each step has what was made in it: a job of half its length counts half."""
    first_s, end_s = max(0.0, start.total_seconds()), min(HOUR_S, end.total_seconds())
    for n in range(STEPS):
        shared_s = min(end_s, (n + 1) * STEP_S) - max(first_s, n * STEP_S)
        if shared_s > 0:
            steps[n] += speed * shared_s / STEP_S
