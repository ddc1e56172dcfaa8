"""What the holder of a lease is told of its job."""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.orm import Session

from encoder.choice import Footage
from encoder.model import Chunk, EncodePlan, Source
from jobs.contract import Claim

from ..config import settings
from ..models import Encode, Job, Rendition, Segment, Video


def claim_of(session: Session, job: Job, token: str) -> Claim:
    assert job.attempt_id is not None
    encode = session.get_one(Encode, job.encode_id)
    return Claim(
        job_id=job.id,
        token=token,
        lease_s=settings().lease_s,
        attempt_id=job.attempt_id,
        kind=job.kind,
        video_id=job.video_id,
        plan=EncodePlan.from_json(encode.plan),
        chunk=Chunk(job.first_segment, job.end_segment),
        renditions=tuple(job.renditions),
        done=done_segments(session, job),
        footage=Footage.of(Source.from_json(session.get_one(Video, job.video_id).source)),
    )


def done_segments(session: Session, job: Job) -> frozenset[tuple[str, int]]:
    query = (
        select(Rendition.name, Segment.index)
        .join(Segment, Segment.rendition_id == Rendition.id)
        .where(
            Rendition.encode_id == job.encode_id,
            Rendition.name.in_(job.renditions),
            Segment.index >= job.first_segment,
            Segment.index < job.end_segment,
        )
    )
    return frozenset((name, index) for name, index in session.execute(query))
