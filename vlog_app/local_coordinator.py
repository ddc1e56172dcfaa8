"""The coordinator for workers beside the database: services, paths on the shared store, a short session per verb."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from flask import Flask

from encoder.errors import SourceUnreadable
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
    SourceOnDisk,
    Unavailable,
    WorkerInfo,
)

from .connections import NO_ANSWER
from .extensions import db
from .models import Video
from .services import checkpoints, fleet, publish, queue, segment_files
from .services.media_files import source_file


class LocalCoordinator:
    """See jobs.contract.Coordinator for what each verb promises."""

    def __init__(self, app: Flask) -> None:
        self._app = app

    def claim(self, worker: WorkerInfo, slot: Slot, job_id: int | None = None) -> Claim | None:
        with self._session():
            return queue.claim_next_job(worker, slot, job_id)

    def open_source(self, claim: Claim) -> SourceOnDisk:
        with self._session():
            video = db.session.get(Video, claim.video_id)
            if video is None:
                raise LeaseLost("the video is gone")
            path = source_file(video)
        if not path.is_file():
            raise SourceUnreadable("The source file is gone from the storage.", code="source_missing")
        return SourceOnDisk(path)

    def open_segments(self, claim: Claim, rendition: str) -> list[SegmentFile]:
        with self._session():
            return segment_files.finished_segments(claim, rendition)

    def renew(self, claim: Claim, progress: JobProgress | None) -> Orders:
        with self._session():
            return queue.renew_lease(claim, progress)

    def checkpoint(self, claim: Claim, segment: Segment, file: Path, init: Path | None = None) -> bool:
        with self._session():
            return checkpoints.take_segment(claim, segment, file, init)

    def is_behind(self, claim: Claim) -> bool:
        return False

    def hand_in(self, claim: Claim, name: str, file: Path) -> None:
        with self._session():
            checkpoints.take_still(claim, name, file)

    def finish(self, claim: Claim, report: Report = NOTHING_TO_REPORT) -> None:
        with self._session():
            queue.finish_job(claim, report)
            publish.publish_finished()

    def fail(self, claim: Claim, failure: Failure) -> None:
        with self._session():
            queue.fail_job(claim, failure)

    def release(self, claim: Claim) -> None:
        with self._session():
            queue.release_job(claim)

    def greet(self, worker: WorkerInfo) -> None:
        with self._session():
            fleet.greet(worker)
            queue.lose_leases_of(worker.id)

    def beat(self, worker: WorkerInfo) -> None:
        with self._session():
            fleet.beat(worker)

    def farewell(self, worker: WorkerInfo) -> None:
        with self._session():
            fleet.farewell(worker)

    @contextmanager
    def _session(self) -> Iterator[None]:
        """The session ends with the context. A database that is away or busy is a reason to try again."""
        with self._app.app_context():
            try:
                yield
            except NO_ANSWER as error:
                raise Unavailable("the database does not answer") from error
