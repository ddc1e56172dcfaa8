"""Rows for tests in one line each: videos at any point of their way, made by the services that make real ones."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from fractions import Fraction

from sqlalchemy import select

from encoder.model import AudioTrack, Source
from jobs.layout import ESSENTIAL
from jobs.states import AttemptOutcome, JobState
from vlog_app.extensions import db, transaction
from vlog_app.models import Attempt, Encode, Event, Job, Rendition, Segment, Video
from vlog_app.services import encodes, planning
from vlog_app.services.events import EventKind, record

SEGMENT_BYTES = 1_500_000


def utc_now() -> datetime:
    return datetime.now(UTC)


def make_source(
    *, seconds: float = 60.0, width: int = 1920, height: int = 1080, has_audio: bool = True
) -> Source:
    track = AudioTrack(index=0, codec="aac", channels=2, sample_rate=48_000)
    return Source(
        container="mp4",
        extension="mp4",
        size_bytes=int(seconds * 1_000_000),
        duration_s=seconds,
        width=width,
        height=height,
        coded_width=width,
        coded_height=height,
        fps=Fraction(25),
        video_codec="h264",
        pix_fmt="yuv420p",
        frame_count=round(seconds * 25),
        audio=(track,) if has_audio else (),
    )


def make_recording(
    *, seconds: float = 60.0, channels: int = 2, bitrate_bps: int = 320_000, tracks: int = 1
) -> Source:
    """Sound alone."""
    track = AudioTrack(0, "mp3", channels, 44_100, bitrate_bps=bitrate_bps)
    facts = {"container": "mp3", "extension": "mp3", "video_codec": "", "pix_fmt": "", "frame_count": None}
    sizes = dict.fromkeys(("width", "height", "coded_width", "coded_height"), 0)
    audio = tuple(replace(track, index=index) for index in range(tracks))
    return replace(make_source(seconds=seconds), **facts, **sizes, audio=audio)


def make_video(
    title: str = "Wood firing, night two",
    *,
    slug: str | None = None,
    description: str = "",
    source: Source | None = None,
    age: timedelta = timedelta(minutes=12),
    is_published: bool = True,
) -> Video:
    """A video as it stands right after its upload: planned, nothing encoded."""
    source = source or make_source()
    at = utc_now() - age
    with transaction() as session:
        video = Video(
            title=title,
            slug=slug or title.lower().replace(" ", "-").replace(",", "").replace(":", ""),
            description=description,
            source_path="uploads/x.mp4",
            source_name="x.mp4",
            source_size_bytes=source.size_bytes,
            source=source.to_json(),
            duration_s=source.duration_s,
            width=source.width,
            height=source.height,
            created_at=at,
            published_at=at if is_published else None,
        )
        session.add(video)
        session.flush()
        planning.plan_encode(session, video, source)
    return video


def make_progress(
    video: Video,
    done: dict[str, int],
    *,
    outcome: AttemptOutcome | None = None,
    age_s: float = 0.0,
    worker: str = "atlas",
) -> None:
    """The first `done[name]` segments of each rendition are in, all made by one attempt."""
    now = utc_now() - timedelta(seconds=age_s)
    with transaction() as session:
        encode = session.scalars(select(Encode).where(Encode.video_id == video.id)).one()
        job = session.scalars(select(Job).where(Job.encode_id == encode.id, Job.kind.in_(ESSENTIAL))).first()
        assert job is not None
        attempt = Attempt(job_id=job.id, worker_id=worker, worker_name=worker, started_at=now)
        attempt.outcome, attempt.ended_at = (outcome, now) if outcome else (None, None)
        session.add(attempt)
        session.flush()
        for rendition in session.scalars(select(Rendition).where(Rendition.encode_id == encode.id)):
            goal = done.get(rendition.name, 0)
            for index in range(rendition.done_segments, goal):
                session.add(_segment(rendition, index, attempt, now + timedelta(seconds=index * 0.1)))
            if goal > rendition.done_segments:
                rendition.size_bytes += SEGMENT_BYTES * (goal - rendition.done_segments)
                rendition.done_segments = goal
        encode.state = "encoding"
        session.flush()
        encodes.update_viewable(session, encode, now)


def make_ready(video: Video) -> None:
    """Every segment is in and the film is published, without files."""
    names = rendition_names(video)
    make_progress(video, names, outcome=AttemptOutcome.FINISHED, age_s=3600)
    with transaction() as session:
        encode = session.scalars(select(Encode).where(Encode.video_id == video.id)).one()
        encode.state, encode.finished_at = "done", utc_now()
        for job in session.scalars(select(Job).where(Job.encode_id == encode.id)):
            job.state = JobState.DONE
        session.get_one(Video, video.id).state = "ready"
        record(session, video.id, EventKind.READY, utc_now())


def make_failed(video: Video, message: str = "720p stopped at 12:05. Everything before it is kept.") -> None:
    with transaction() as session:
        encode = session.scalars(select(Encode).where(Encode.video_id == video.id)).one()
        for job in session.scalars(select(Job).where(Job.encode_id == encode.id)):
            job.state, job.error_code, job.error_message = JobState.FAILED, "encode_failed", message
        encodes.end_encode(session, encode, "failed", "encode_failed", message, utc_now())
        record(session, video.id, EventKind.FAILED, utc_now(), message=message)


def make_working(
    video: Video, name: str, segment: int, *, fraction: float = 0.6, worker: str = "atlas"
) -> None:
    """A worker is at work on `segment` of the job that holds it and rendition `name`."""
    with transaction() as session:
        jobs = session.scalars(select(Job).where(Job.video_id == video.id, Job.end_segment > segment))
        job = next(job for job in jobs if job.first_segment <= segment and name in job.renditions)
        attempt = Attempt(job_id=job.id, worker_id=worker, worker_name=worker, started_at=utc_now())
        session.add(attempt)
        session.flush()
        job.state, job.lease_token, job.attempt_id, job.worker_id = JobState.LEASED, "t", attempt.id, worker
        job.lease_expires_at = utc_now() + timedelta(minutes=2)
        job.progress = {"segment": segment, "fraction": fraction, "speed": 3.2}


def rendition_names(video: Video) -> dict[str, int]:
    """Rendition -> planned segments."""
    query = (
        select(Rendition).join(Encode, Encode.id == Rendition.encode_id).where(Encode.video_id == video.id)
    )
    return {row.name: row.planned_segments for row in db.session.scalars(query)}


def events_of(video: Video) -> list[Event]:
    return list(db.session.scalars(select(Event).where(Event.video_id == video.id).order_by(Event.id)))


def _segment(rendition: Rendition, index: int, attempt: Attempt, at: datetime) -> Segment:
    return Segment(
        rendition_id=rendition.id,
        index=index,
        duration_s=6.0,
        size_bytes=SEGMENT_BYTES,
        sha256="0" * 64,
        attempt_id=attempt.id,
        created_at=at,
    )
