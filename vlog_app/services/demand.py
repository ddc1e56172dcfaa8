"""A viewer waits for a part that is not made yet: it goes to the front of the queue, lowest rung first."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from encoder.model import Chunk, EncodePlan
from jobs.layout import AUDIO, ENCODE, Rank, split_for_demand
from jobs.states import JobState

from ..extensions import db, transaction
from ..models import Attempt, Encode, Job, Rendition, Segment, Video
from .clock import database_now
from .events import EventKind, record
from .planning import new_job

START_S = 0.5  # from the demand to the first frame: claim, ffmpeg's start, the seek
NEAR = 1  # a running job that is at most this many segments away gets there by itself


def demand_segment(video: Video, index: int) -> bool:
    """True when the queue was changed. Repeating it changes nothing more."""
    with transaction() as session:
        query = select(Encode).where(Encode.video_id == video.id, Encode.generation == video.generation)
        encode = session.scalars(query).first()
        if encode is None or encode.state not in ("planned", "encoding", "viewable") or encode.paused_at:
            return False
        lowest = EncodePlan.from_json(encode.plan).lowest.name
        job = _job_for(session, encode, lowest, index)
        if job is None or _is_near(session, job, lowest, index):
            return False
        now = database_now(session)
        _bring_forward(session, encode, job, index, now)
        record(session, video.id, EventKind.DEMAND, now, segment=index)
        return True


def expected_wait_s(video: Video, index: int) -> float | None:
    """How long a demanded segment takes, judged by the last run that made the lowest rung alone. None: no such run.
    Sound without picture is made from its beginning to its end: a demand moves nothing, the wait is told all the same.
    """
    session = db.session()
    query = select(Encode).where(Encode.video_id == video.id, Encode.generation == video.generation)
    encode = session.scalars(query).first()
    if encode is None:
        return None
    plan = EncodePlan.from_json(encode.plan)
    if not plan.video:
        return _sound_wait_s(session, encode.id, plan, index)
    runs = (
        select(Job.renditions, Attempt.speed)
        .join(Attempt, Attempt.job_id == Job.id)
        .where(Job.encode_id == encode.id, Job.kind == ENCODE, Attempt.speed > 0)
        .order_by(Attempt.id.desc())
    )
    for renditions, speed in session.execute(runs):
        if speed and renditions == [plan.lowest.name]:
            return round(START_S + plan.segment_s / speed, 1)
    return None


def _sound_wait_s(session: Session, encode_id: int, plan: EncodePlan, index: int) -> float | None:
    """At the speed of the run that makes the lowest rate now."""
    query = select(Job).where(Job.encode_id == encode_id, Job.kind == AUDIO, Job.state == JobState.LEASED)
    for job in session.scalars(query):
        progress = job.progress or {}
        if job.renditions == [plan.lowest.name] and progress.get("speed"):
            ahead = max(0, index + 1 - int(progress["segment"]))
            return round(START_S + ahead * plan.segment_s / float(progress["speed"]), 1)
    return None


def _job_for(session: Session, encode: Encode, rung: str, index: int) -> Job | None:
    """The unfinished job whose rectangle holds this cell."""
    query = select(Job).where(
        Job.encode_id == encode.id,
        Job.kind == ENCODE,
        Job.state.in_((JobState.QUEUED, JobState.LEASED)),
        Job.first_segment <= index,
        Job.end_segment > index,
    )
    return next((job for job in session.scalars(query.with_for_update()) if rung in job.renditions), None)


def _is_near(session: Session, job: Job, rung: str, index: int) -> bool:
    """Is it being made, or about to be? An urgent job only needs to be left alone."""
    next_one = _first_missing(session, job, rung)
    if index < next_one:
        return True
    return (job.state == JobState.LEASED and index - next_one <= NEAR) or (
        job.rank <= Rank.LEAD and index - next_one <= NEAR
    )


def _first_missing(session: Session, job: Job, rung: str) -> int:
    query = (
        select(Segment.index)
        .join(Rendition, Rendition.id == Segment.rendition_id)
        .where(Rendition.encode_id == job.encode_id, Rendition.name == rung)
        .where(Segment.index >= job.first_segment, Segment.index < job.end_segment)
    )
    done = set(session.scalars(query))
    return next((n for n in range(job.first_segment, job.end_segment) if n not in done), job.end_segment)


def _bring_forward(session: Session, encode: Encode, job: Job, index: int, now: datetime) -> None:
    """Cut the job in two at `index`. The worker of a running one learns its new end with its next renewal."""
    drafts = split_for_demand(Chunk(job.first_segment, job.end_segment), tuple(job.renditions), index)
    session.add_all(new_job(encode, draft, now) for draft in drafts)
    if index > job.first_segment:
        job.end_segment = index
    else:
        session.delete(job)  # nothing is left of it; only a queued one can be cut at its first segment
