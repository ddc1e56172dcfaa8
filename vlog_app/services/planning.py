"""Writing down what is to be done for a video: its encode, renditions and jobs."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from datetime import datetime

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from encoder.model import Chunk, EncodePlan, Source
from encoder.plan import Output, chunks, make_plan, without_copy
from jobs.layout import COPY, ENCODE, STORYBOARD, TAKES_TURNS, JobDraft, Priority, Rank, draft_jobs, place_of

from ..config import settings
from ..models import Encode, Job, Rendition, Segment, Video
from .clock import database_now
from .encodes import no_longer_viewable
from .events import EventKind, record
from .places import current_turn


def plan_encode(session: Session, video: Video, source: Source) -> Encode:
    """Write down the plan of a video's first encode and queue its jobs. Call inside a transaction; the video is
    flushed. Raises SourceUnreadable when no plan can be made of this source.
    """
    plan = plan_today(source)
    now = database_now(session)
    encode = add_encode(session, video, plan, video.generation, now)
    queue_drafts(session, encode, draft_jobs(plan, settings().split_seconds), now)
    video.state = "processing"
    video.duration_s = plan.duration_s
    record(session, video.id, EventKind.UPLOADED, now)
    return encode


def plan_today(source: Source) -> EncodePlan:
    """What would be made of this source by the settings of today. Raises SourceUnreadable."""
    config = settings()
    return make_plan(
        source,
        segment_s=config.hls_segment_duration,
        preset=config.x264_preset,
        output=Output(
            container="cmaf" if config.streaming_format == "cmaf" else "ts",
            codec=config.hwaccel_preferred_codec,
            h264_too=config.h264_fallback,
        ),
    )


def add_encode(session: Session, video: Video, plan: EncodePlan, generation: int, now: datetime) -> Encode:
    """An encode of which nothing is made, with its renditions."""
    encode = Encode(
        video_id=video.id,
        generation=generation,
        plan=plan.to_json(),
        priority=int(Priority.NORMAL),
        created_at=now,
    )
    session.add(encode)
    session.flush()
    session.add_all(_renditions(encode, plan))
    session.flush()
    return encode


def _renditions(encode: Encode, plan: EncodePlan) -> list[Rendition]:
    return [
        Rendition(
            encode_id=encode.id,
            name=row.name,
            kind=row.kind,
            position=position,
            width=row.width,
            height=row.height,
            max_bitrate_bps=row.max_bitrate_bps,
            planned_segments=plan.segment_count,
        )
        for position, row in enumerate(plan.renditions)
    ]


def queue_drafts(session: Session, encode: Encode, drafts: Iterable[JobDraft], now: datetime) -> None:
    """Pieces that nobody waits for take turns with those of other films, in film order."""
    turns = {rank: itertools.count(current_turn(session, encode, rank)) for rank in TAKES_TURNS}
    for draft in drafts:
        turn = next(turns[draft.rank]) if draft.rank in turns else 0
        session.add(new_job(encode, draft, now, turn=turn))


def new_job(encode: Encode, draft: JobDraft, now: datetime, *, turn: int = 0) -> Job:
    return Job(
        place=place_of(draft.rank, encode.priority, is_paused=encode.paused_at is not None),
        turn=turn,
        kind=draft.kind,
        video_id=encode.video_id,
        encode_id=encode.id,
        rank=int(draft.rank),
        first_segment=draft.chunk.first,
        end_segment=draft.chunk.end,
        renditions=list(draft.renditions),
        max_attempts=settings().max_retry_attempts,
        not_before_at=now,
        created_at=now,
    )


def queue_storyboard(session: Session, job: Job, now: datetime) -> None:
    """Once the lowest rung is whole its key frames make the storyboard. Call inside a transaction."""
    if job.kind not in (ENCODE, COPY):
        return
    encode = session.get_one(Encode, job.encode_id)
    if wants_storyboard(session, encode):
        whole = Chunk(0, EncodePlan.from_json(encode.plan).segment_count)
        session.add(new_job(encode, JobDraft(STORYBOARD, Rank.STORYBOARD, whole, ()), now))


def wants_storyboard(session: Session, encode: Encode) -> bool:
    """Its lowest rung is whole and of this encode, and neither it nor a former one has made the pictures."""
    name = EncodePlan.from_json(encode.plan).lowest.name
    query = select(Rendition).where(Rendition.encode_id == encode.id, Rendition.name == name)
    lowest = session.scalars(query).one()
    is_whole = lowest.done_segments == lowest.planned_segments
    if not is_whole or lowest.is_foreign or lowest.taken_from is not None:
        return False
    exists = select(Job.id).where(Job.encode_id == encode.id, Job.kind == STORYBOARD)
    has_one = encode.generation > 1 and session.get_one(Video, encode.video_id).storyboard_version > 0
    return session.scalar(exists) is None and not has_one


def forget_grid(session: Session, encode: Encode) -> None:
    """The film is what came in otherwise: planned renditions of which nothing is made go. In a transaction."""
    grid = Rendition.encode_id == encode.id, Rendition.origin == "grid", Rendition.done_segments == 0
    session.execute(delete(Rendition).where(*grid))


def encode_instead_of_copy(session: Session, job: Job, now: datetime) -> None:
    """The source cannot be copied after all (it is damaged): its rung is encoded like the others. What the copy
    handed in goes, since segments of one rung must decode as one stream; a header of its own keeps its number, since
    players may hold it for a year. Call inside a transaction.
    """
    encode = session.get_one(Encode, job.encode_id)
    name = job.renditions[0]
    plan = without_copy(EncodePlan.from_json(encode.plan), preset=settings().x264_preset)
    encode.plan = plan.to_json()
    query = select(Rendition).where(Rendition.encode_id == encode.id, Rendition.name == name)
    rendition = session.scalars(query).one()
    session.execute(delete(Segment).where(Segment.rendition_id == rendition.id))
    rendition.done_segments, rendition.size_bytes, rendition.codecs = 0, 0, None
    rendition.max_bitrate_bps = plan.rendition(name).max_bitrate_bps
    pieces = chunks(plan, settings().split_seconds)
    queue_drafts(session, encode, (JobDraft(ENCODE, Rank.BULK, chunk, (name,)) for chunk in pieces), now)
    session.delete(job)
    session.flush()
    no_longer_viewable(session, encode)
    record(session, encode.video_id, EventKind.UNCOPIED, now, rendition=name)
