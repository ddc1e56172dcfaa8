"""What changes about workers, for live pages: looked at once a second for all who watch, in each process.

Heartbeats are no events and their past is kept nowhere, so the strip of beats on the page shows those that this process
has seen itself.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Hashable, Mapping
from datetime import datetime

from flask import Flask, current_app
from sqlalchemy import select

from jobs.states import JobState

from ..extensions import db
from ..models import Job, Worker
from .clock import database_now
from .pulse import TICKS, pulse_of

WATCH_KEY = "vlog.fleet_watch"
LOOK_EVERY_S = 1.0

Marks = Mapping[str, Hashable]  # worker id -> something that differs when the worker has changed


class Watch:
    """Safe to use by many threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._marks: Marks = {}
        self._beats: dict[str, deque[datetime]] = {}
        self._looked_at = float("-inf")

    def look(self) -> Marks:
        """Every worker there is, with its mark; at most a second old."""
        with self._lock:
            if time.monotonic() - self._looked_at >= LOOK_EVERY_S:
                self._marks = self._read()
                self._looked_at = time.monotonic()
            return self._marks

    def beats(self, worker_id: str) -> tuple[datetime, ...]:
        """Oldest first."""
        with self._lock:
            return tuple(self._beats.get(worker_id, ()))

    def _read(self) -> Marks:
        jobs: dict[str | None, list[Hashable]] = {}
        held = select(Job.worker_id, Job.id, Job.progress).where(Job.state == JobState.LEASED)
        for worker_id, job_id, progress in db.session.execute(held.order_by(Job.id)):
            jobs.setdefault(worker_id, []).append((job_id, *(progress or {}).values()))
        workers = db.session.scalars(select(Worker)).all()
        now = database_now(db.session())
        self._beats = {worker.id: self._heard(worker) for worker in workers}
        return {worker.id: (*_mark(worker, now), *jobs.get(worker.id, ())) for worker in workers}

    def _heard(self, worker: Worker) -> deque[datetime]:
        beats = self._beats.get(worker.id, deque(maxlen=TICKS))
        if worker.heartbeat_at and (not beats or beats[-1] < worker.heartbeat_at):
            beats.append(worker.heartbeat_at)
        return beats


def _mark(worker: Worker, now: datetime) -> tuple[Hashable, ...]:
    held = worker.is_disabled, worker.paused_at, worker.probe_at, worker.drain_requested_at
    told = worker.activity, worker.code_version, len(worker.facts), len(worker.capabilities)
    return (worker.heartbeat_at, worker.stopped_at, pulse_of(worker, now), *held, *told)


def init_app(app: Flask) -> None:
    app.extensions[WATCH_KEY] = Watch()


def watch() -> Watch:
    found: Watch = current_app.extensions[WATCH_KEY]
    return found
