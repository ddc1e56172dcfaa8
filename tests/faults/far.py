"""A worker behind a line, inside this process: its API is real, the line can be slow, cut and counted."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
from flask import Flask

from jobs.contract import Claim, Slot, WorkerInfo
from jobs.http_coordinator import HttpCoordinator
from jobs.layout import AUDIO, COPY, ENCODE
from jobs.runner import Tools, run_claim
from tests.contract.worker_api import register, remote_coordinator, running_worker_api
from tests.faults.proxy import Line, line_to
from vlog_app.extensions import db
from vlog_app.models import Attempt, Encode, Job, Video

ATLAS = WorkerInfo("remote:atlas", "atlas")
ANY = Slot("any", (ENCODE, COPY, AUDIO))


@dataclass
class Far:
    coordinator: HttpCoordinator
    line: Line
    tools: Tools
    leaving: threading.Event = field(default_factory=threading.Event)

    def claim(self, job: Job) -> Claim:
        claim = self.coordinator.claim(ATLAS, ANY, job.id)
        assert claim is not None
        return claim

    def work(self, claim: Claim) -> threading.Thread:
        """Carries the claim out in the background."""
        thread = threading.Thread(target=run_claim, args=(claim, self.coordinator, self.tools, self.leaving))
        thread.start()
        return thread

    @property
    def scratch_bytes(self) -> int:
        return sum(size_of(path) for path in self.tools.work_root.rglob("job-*/**/*"))


def size_of(path: Path) -> int:
    try:
        return path.stat().st_size if path.is_file() else 0
    except FileNotFoundError:
        return 0


@contextmanager
def far_worker(
    server: Flask,
    folder: Path,
    ffmpeg: str,
    *,
    up_bytes_per_s: float | None = None,
    down_bytes_per_s: float | None = None,
    stall_s: float = 90.0,
    **more: Any,
) -> Iterator[Far]:
    with running_worker_api(server) as url:
        port = httpx2.URL(url).port
        assert port is not None
        rates = {"up_bytes_per_s": up_bytes_per_s, "down_bytes_per_s": down_bytes_per_s}
        with line_to(port, **rates) as line:
            key = register(url, ATLAS.name)["api_key"]
            coordinator, api = remote_coordinator(line.url, key, folder / "far", sends_beside=True, **more)
            try:
                yield Far(coordinator, line, Tools(ffmpeg, folder / "work", stall_s=stall_s))
            finally:
                coordinator.close()
                api.close()


def job_at(video: Video, segment: int) -> Job:
    """The job that makes the pictures of this segment."""
    db.session.rollback()
    jobs = db.session.scalars(
        db.select(Job)
        .join(Encode, Encode.id == Job.encode_id)
        .where(Encode.video_id == video.id, Job.kind.in_((ENCODE, COPY)))
        .where(Job.first_segment <= segment, Job.end_segment > segment)
    ).all()
    assert len(jobs) == 1
    return jobs[0]


def outcomes(video: Video) -> list[tuple[str | None, str | None]]:
    """(outcome, error code) of every attempt."""
    db.session.rollback()
    query = (
        db.select(Attempt.outcome, Attempt.error_code)
        .join(Job, Job.id == Attempt.job_id)
        .join(Encode, Encode.id == Job.encode_id)
        .where(Encode.video_id == video.id)
        .order_by(Attempt.id)
    )
    return [(outcome, code) for outcome, code in db.session.execute(query)]
