"""The coordinator for workers beside the database: services, paths on the shared store, a short session per verb."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Collection
from pathlib import Path
from typing import TypeVar
from uuid import uuid4

from flask import Flask

from encoder.errors import StorageDenied
from encoder.model import Segment
from jobs.contract import (
    NOTHING_TO_REPORT,
    Claim,
    Failure,
    JobProgress,
    LeaseLost,
    Orders,
    Report,
    SegmentFile,
    Slot,
    Unavailable,
    WorkerInfo,
)
from jobs.outbox import Outboxes, send_wanted
from jobs.source_state import SourceOnDisk

from .database import session_of
from .extensions import transaction
from .models import Video
from .services import checkpoints, fleet, publish, queue, segment_files
from .services.media_files import source_to_read

T = TypeVar("T")

GOODBYE_PATIENCE_S = 30.0  # giving a job back: after that its lease runs out by itself
PAUSE_S = 0.5  # between two tries while the database is away


class LocalCoordinator:
    """See jobs.contract.Coordinator for what each verb promises. What concerns a job at work is tried again while the
    database is away, for as long as the lease may outlive that: the encoder need not stop.
    """

    def __init__(self, app: Flask, *, sends_beside: bool = False) -> None:
        """`sends_beside`: segments are handed in in the background while the next ones are made."""
        self._app = app
        self._sends_beside = sends_beside
        self._outboxes = Outboxes(at_once=1)
        self._asking = threading.local()  # .token: of a claim whose answer was not heard

    def claim(self, worker: WorkerInfo, slot: Slot, job_id: int | None = None) -> Claim | None:
        """The database may have written the lease and died before it said so: then the same token finds it."""
        self._asking.token = token = getattr(self._asking, "token", None) or uuid4().hex
        with session_of(self._app):
            claim = queue.claim_next_job(worker, slot, job_id, token=token)
        self._asking.token = None
        return claim

    def open_source(self, claim: Claim) -> SourceOnDisk:
        return SourceOnDisk.at(self._patiently(lambda: self._source_of(claim), claim.lease_s))

    def _source_of(self, claim: Claim) -> Path:
        with transaction() as session:
            queue.hold_lease(session, claim)
            path = source_to_read(session.get_one(Video, claim.video_id))
        if not os.access(path, os.R_OK, effective_ids=True):
            raise StorageDenied("The worker may not read this film. Everything finished so far is kept.")
        return path

    def open_segments(self, claim: Claim, rendition: str) -> list[SegmentFile]:
        return self._patiently(lambda: segment_files.finished_segments(claim, rendition), claim.lease_s)

    def renew(self, claim: Claim, progress: JobProgress | None) -> Orders:
        with session_of(self._app):
            return queue.renew_lease(claim, progress)

    def checkpoint(
        self, claim: Claim, segment: Segment, file: Path, init: Path | None = None, *, waits: bool = False
    ) -> bool:
        """With `sends_beside` always True: what became of it comes with a later call."""

        def send() -> bool:
            return self._patiently(
                lambda: checkpoints.take_segment(claim, segment, file, init), claim.lease_s
            )

        if waits or not self._sends_beside:
            return send()
        self._outboxes.put(claim, lambda: send_wanted(self, claim, segment, send), segment.size_bytes)
        return True

    def is_behind(self, claim: Claim) -> bool:
        return self._outboxes.is_full(claim)

    def hand_in(self, claim: Claim, name: str, file: Path) -> None:
        self._patiently(lambda: checkpoints.take_still(claim, name, file), claim.lease_s)

    def finish(self, claim: Claim, report: Report = NOTHING_TO_REPORT) -> None:
        """A lease that is lost may be one that an earlier try has ended, without an answer: its film is due as well."""
        self._outboxes.flush(claim)
        try:
            self._patiently(lambda: queue.finish_job(claim, report), claim.lease_s)
        except LeaseLost:
            self._patiently(publish.publish_finished, GOODBYE_PATIENCE_S)
            raise
        self.drop(claim)
        self._patiently(publish.publish_finished, GOODBYE_PATIENCE_S)

    def fail(self, claim: Claim, failure: Failure) -> None:
        self._leave(claim, lambda: queue.fail_job(claim, failure))

    def release(self, claim: Claim) -> None:
        self._leave(claim, lambda: queue.release_job(claim))

    def _leave(self, claim: Claim, leave: Callable[[], None]) -> None:
        self._outboxes.flush_anyhow(claim)
        self.drop(claim)
        self._patiently(leave, GOODBYE_PATIENCE_S)

    def drop(self, claim: Claim) -> None:
        self._outboxes.drop(claim)

    def greet(self, worker: WorkerInfo, keeps: Collection[int] = ()) -> None:
        with session_of(self._app):
            fleet.greet(worker)
            queue.lose_leases_of(worker.id, but=keeps)

    def beat(self, worker: WorkerInfo) -> None:
        with session_of(self._app):
            fleet.beat(worker)

    def farewell(self, worker: WorkerInfo) -> None:
        with session_of(self._app):
            fleet.farewell(worker)

    def _patiently(self, call: Callable[[], T], patience_s: float) -> T:
        until = time.monotonic() + patience_s
        while True:
            try:
                with session_of(self._app):
                    return call()
            except Unavailable:
                if time.monotonic() + PAUSE_S > until:
                    raise
            time.sleep(PAUSE_S)
