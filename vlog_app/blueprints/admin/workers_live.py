"""Server-sent events about workers: one `worker_status` for each that changed, at most once a second."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

from flask import Response

from ...extensions import limiter
from ...services import fleet
from ...services.at_work import jobs_at_work
from ...services.fleet import Member, UnknownWorker, WorkerState
from ...services.fleet_watch import LOOK_EVERY_S, Marks, watch
from ...services.live import Change
from ..fleet_json import job_json, member_json
from .blueprint import blueprint
from .live import Stream, answer, event, timestamp


@blueprint.get("/api/events/workers")
@limiter.exempt
def worker_events() -> Response:
    return answer(WorkerStream())


class WorkerStream(Stream):
    """Heartbeats are no events, so it looks by itself; the look is shared by all streams of this process."""

    def __init__(self) -> None:
        super().__init__()
        self._seen: Marks = {}

    def wait_s(self) -> float:
        return LOOK_EVERY_S

    def first_words(self) -> dict[str, Any]:
        self._seen = watch().look()
        members = fleet.roster()
        return {
            "workers": [member_json(member) for member in members],
            "stats": stats(members),
            "active_jobs": [job_json(job) for job in jobs_at_work()],
        }

    def tell(self, change: Change | None) -> Iterator[str]:
        with self.app.app_context():
            seen, now = self._seen, watch().look()
            changed = [
                worker_id for worker_id in {**seen, **now} if seen.get(worker_id) != now.get(worker_id)
            ]
            self._seen = now
            told = [_status(worker_id) for worker_id in changed]
        for words in told:
            yield event("worker_status", words)


def stats(members: list[Member]) -> dict[str, int]:
    """Every worker is in one of the four."""
    states = Counter(member.state for member in members)
    idle = states[WorkerState.IDLE]
    offline, disabled = states[WorkerState.OFFLINE], states[WorkerState.DISABLED]
    return {
        "total": len(members),
        "active": len(members) - idle - offline - disabled,
        "idle": idle,
        "offline": offline,
        "disabled": disabled,
    }


def _status(worker_id: str) -> dict[str, Any]:
    about = {"type": "worker_status", "timestamp": timestamp()}
    try:
        return about | member_json(fleet.member(worker_id))
    except UnknownWorker:
        return about | {"worker_id": worker_id, "status": "removed"}
