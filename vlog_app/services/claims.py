"""What the holder of a lease is told of its job."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any

from sqlalchemy import Text, bindparam, cast, exists, insert, select
from sqlalchemy.orm import Session

from encoder.choice import Footage
from encoder.model import Chunk, EncodePlan, Source
from jobs.contract import Claim, Incomplete, LeaseLost, WorkerInfo
from jobs.layout import ESSENTIAL

from ..config import settings
from ..models import Attempt, Encode, Job, Rendition, Segment, Video
from ..models.types import table_of
from ..statements import Statement

FILMS_KEPT = 256  # plans and sources that stay read; each job of a film asks for the same

# Rarely: of most jobs nothing is in, and then there is nothing to list.
_IS_BEGUN = exists(
    select(Segment.index)
    .join(Rendition, Rendition.id == Segment.rendition_id)
    .where(
        Rendition.encode_id == Job.encode_id,
        Segment.index >= Job.first_segment,
        Segment.index < Job.end_segment,
    )
    .correlate(Job)
)
_OF_JOB = ("id", "attempt_id", "video_id", "encode_id", "kind", "renditions", "first_segment", "end_segment")
_OFFER = Statement(
    select(
        *(table_of(Job).c[name] for name in _OF_JOB),
        Encode.state.label("encode_state"),
        cast(Encode.plan, Text).label("plan"),
        cast(Video.source, Text).label("source"),
        _IS_BEGUN.label("is_begun"),
    )
    .join(Encode, Encode.id == Job.encode_id)
    .join(Video, Video.id == Job.video_id)
    .where(Job.id == bindparam("job_id"))
)
_DONE = (
    select(Rendition.name, Segment.index)
    .join(Segment, Segment.rendition_id == Rendition.id)
    .where(
        Rendition.encode_id == bindparam("encode_id"),
        Rendition.name.in_(bindparam("renditions", expanding=True)),
        Segment.index >= bindparam("first"),
        Segment.index < bindparam("end"),
    )
)
_ATTEMPTS = table_of(Attempt)
_OPEN_ATTEMPT = Statement(
    insert(_ATTEMPTS)
    .values({name: bindparam(name) for name in ("job_id", "worker_id", "worker_name", "started_at")})
    .values(device="cpu", segments_done=0, damage=0)
    .returning(_ATTEMPTS.c.id)
)


@dataclass(frozen=True, slots=True)
class Offer:
    """A job as it stands (the columns of `_OFFER`), with what its holder must know of the film."""

    job: Any
    encode_state: str
    plan: EncodePlan
    footage: Footage
    done: frozenset[tuple[str, int]]

    def claim(self, token: str) -> Claim:
        job = self.job
        assert job.attempt_id is not None
        return Claim(
            job_id=job.id,
            token=token,
            lease_s=settings().lease_s,
            attempt_id=job.attempt_id,
            kind=job.kind,
            video_id=job.video_id,
            plan=self.plan,
            chunk=Chunk(job.first_segment, job.end_segment),
            renditions=tuple(job.renditions),
            done=self.done,
            footage=self.footage,
        )


def read_offer(session: Session, job_id: int) -> Offer:
    """Raises LeaseLost when the job is gone."""
    session.flush()
    row = _OFFER.first(session.connection(), job_id=job_id)
    if row is None:
        raise LeaseLost("this job is not wanted any more")
    done = done_segments(session, row) if row.is_begun else frozenset()
    return Offer(row, row.encode_state, _plan(row.plan), _footage(row.source), done)


def claim_of(session: Session, job: Job, token: str) -> Claim:
    return read_offer(session, job.id).claim(token)


def done_segments(session: Session, job: Any) -> frozenset[tuple[str, int]]:
    """(rendition, index) of what is handed in of a job."""
    where = {"encode_id": job.encode_id, "renditions": job.renditions}
    rows = session.execute(_DONE, where | {"first": job.first_segment, "end": job.end_segment})
    return frozenset((name, index) for name, index in rows)


def require_whole(session: Session, job: Job) -> None:
    """Raises Incomplete."""
    wanted = len(job.renditions) * (job.end_segment - job.first_segment)
    if job.kind in ESSENTIAL and len(done_segments(session, job)) != wanted:
        raise Incomplete(f"job {job.id} lacks segments")


def open_attempt(session: Session, job_id: int, worker: WorkerInfo, now: datetime) -> int:
    """Its number."""
    values = {"job_id": job_id, "worker_id": worker.id, "worker_name": worker.name, "started_at": now}
    return int(_OPEN_ATTEMPT.scalar(session.connection(), **values))


@lru_cache(maxsize=FILMS_KEPT)
def _plan(text: str) -> EncodePlan:
    return EncodePlan.from_json(json.loads(text))


@lru_cache(maxsize=FILMS_KEPT)
def _footage(text: str) -> Footage:
    return Footage.of(Source.from_json(json.loads(text)))
