"""The jobs that are leased at this moment: who makes what, on which device, and how far it is."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Row, func, select

from jobs.states import JobState

from ..extensions import db
from ..models import Attempt, Job, Rendition, Video


@dataclass(frozen=True, slots=True)
class AtWork:
    """One leased job. `segment` is the one in flight, counted from 0 over the whole film; None before the first word.
    `fraction` (0..1) and `first_segment` to `end_segment` are of the job. `segments_done`: handed in by this attempt.
    """

    job_id: int
    attempt_id: int
    kind: str
    worker_id: str
    worker_name: str
    device: str
    video: Video
    renditions: tuple[str, ...]
    first_segment: int
    end_segment: int
    segments_total: int
    segment: int | None
    fraction: float
    speed: float | None
    segments_done: int
    place: int
    started_at: datetime
    lease_expires_at: datetime | None

    @property
    def length(self) -> int:
        """Segments of the job."""
        return max(1, self.end_segment - self.first_segment)


def jobs_at_work() -> list[AtWork]:
    """The one that was begun first stands first."""
    planned = func.max(Rendition.planned_segments)
    total = select(planned).where(Rendition.encode_id == Job.encode_id).scalar_subquery()
    query = (
        select(Job, Attempt, Video, total)
        .join(Attempt, Attempt.id == Job.attempt_id)
        .join(Video, Video.id == Job.video_id)
        .where(Job.state == JobState.LEASED)
        .order_by(Job.attempt_id)
    )
    return [_at_work(row) for row in db.session.execute(query)]


def _at_work(row: Row[Job, Attempt, Video, int | None]) -> AtWork:
    job, attempt, video, total = row
    progress = job.progress or {}
    length = max(1, job.end_segment - job.first_segment)
    at = int(progress.get("segment", job.first_segment)) - job.first_segment
    return AtWork(
        job_id=job.id,
        attempt_id=attempt.id,
        kind=job.kind,
        worker_id=attempt.worker_id,
        worker_name=attempt.worker_name,
        device=attempt.device,
        video=video,
        renditions=tuple(job.renditions),
        first_segment=job.first_segment,
        end_segment=job.end_segment,
        segments_total=total or 0,
        segment=progress.get("segment"),
        fraction=min(1.0, max(0.0, (at + float(progress.get("fraction", 0.0))) / length)),
        speed=progress.get("speed"),
        segments_done=attempt.segments_done,
        place=job.place,
        started_at=attempt.started_at,
        lease_expires_at=job.lease_expires_at,
    )
