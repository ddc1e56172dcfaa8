"""Parts of a finished encode that are to be made again: their rows are forgotten, the jobs for them are queued.

A rung that was taken over from a former encode has no job in the one that holds it now. Where it breaks it becomes that
encode's own: the plan says how it was made, so that new parts join the others. Call all of it inside a transaction.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from encoder.model import EncodePlan
from jobs.layout import ESSENTIAL, draft_parts
from jobs.states import JobState

from ..config import settings
from ..models import Encode, Job, Rendition, Segment
from .planning import queue_drafts
from .queue import redo_jobs
from .samples import Cell


def make_own(session: Session, encode: Encode, names: Collection[str]) -> None:
    """Of these renditions those that were taken over are from now on this encode's, with what is whole of them."""
    taken = Rendition.encode_id == encode.id, Rendition.taken_from.is_not(None), Rendition.name.in_(names)
    for rendition in session.scalars(select(Rendition).where(*taken)):
        rendition.taken_from = None
    session.flush()


def unfold(session: Session, encode: Encode, broken: set[Cell], now: datetime) -> None:
    """The index of each published rendition of its own becomes rows again, without what is broken."""
    makers = _makers(session, encode)
    own = Rendition.encode_id == encode.id, Rendition.origin == "grid", Rendition.taken_from.is_(None)
    for rendition in session.scalars(select(Rendition).where(*own, Rendition.index.is_not(None))):
        index = rendition.index or {}
        inits = index.get("inits") or [0] * len(index["sizes"])
        facts = zip(index["durations"], index["sizes"], index["sha256"], inits, strict=True)
        kept = [(n, *fact) for n, fact in enumerate(facts) if (rendition.name, n) not in broken]
        session.add_all(
            Segment(
                rendition_id=rendition.id,
                index=number,
                duration_s=duration_s,
                size_bytes=size,
                sha256=sha256,
                init=init,
                attempt_id=makers[rendition.name, number],
                created_at=encode.finished_at or now,
            )
            for number, duration_s, size, sha256, init in kept
        )
        rendition.index = None
        rendition.done_segments = len(kept)
        rendition.size_bytes = sum(size for _, _, size, *_ in kept)
    session.flush()


def _makers(session: Session, encode: Encode) -> dict[Cell, int]:
    """Cell -> the last attempt at the job it belongs to. What was taken over was made by jobs of former encodes."""
    query = select(Job).join(Encode, Encode.id == Job.encode_id).order_by(Encode.generation, Job.id)
    mine = Encode.video_id == encode.video_id, Encode.generation <= encode.generation
    jobs = session.scalars(query.where(*mine, Job.attempt_id.is_not(None)))
    return {cell: job.attempt_id or 0 for job in jobs for cell in _cells_of(job)}


def queue_parts(session: Session, encode: Encode, broken: set[Cell], now: datetime) -> list[int]:
    """The jobs that made these run once more; what no job of this encode has made gets new ones. Returns which."""
    redo_jobs(session, encode, broken, now)
    essential = select(Job).where(Job.encode_id == encode.id, Job.kind.in_(ESSENTIAL))
    known = {cell for job in session.scalars(essential) for cell in _cells_of(job)}
    grid = select(Rendition.name).where(Rendition.encode_id == encode.id, Rendition.origin == "grid")
    names = set(session.scalars(grid))
    orphans = {(name, number) for name, number in broken - known if name in names}
    drafts = draft_parts(EncodePlan.from_json(encode.plan), settings().split_seconds, orphans)
    queue_drafts(session, encode, drafts, now)
    session.flush()
    queued = Job.encode_id == encode.id, Job.kind.in_(ESSENTIAL), Job.state == JobState.QUEUED
    return list(session.scalars(select(Job.id).where(*queued)))


def _cells_of(job: Job) -> set[Cell]:
    return {(name, number) for name in job.renditions for number in range(job.first_segment, job.end_segment)}
