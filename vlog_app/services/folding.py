"""Which jobs one job over a whole film stands in for, and which of them are wanted again when it is over.

For workers that know no parts of a film. The queue makes the moves; here is what they are made of.
"""

from __future__ import annotations

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from encoder.model import Chunk, EncodePlan
from jobs.layout import ESSENTIAL, GRID_KINDS, WHOLE, JobDraft, Rank
from jobs.states import JobState

from ..models import Encode, Job, Rendition
from .clock import database_now
from .planning import forget_grid, new_job


def jobs_to_fold(session: Session, encode: Encode) -> list[Job] | None:
    """Queued jobs of an encode of which nothing has started; None: something has. Nobody else can take them until the
    transaction ends. It waits for nobody: whoever holds one of these rows is about to start.
    """
    mine = Job.encode_id == encode.id, Job.kind.in_(ESSENTIAL)
    free = select(Job).where(*mine).order_by(Job.id).with_for_update(skip_locked=True)
    jobs = session.scalars(free.execution_options(populate_existing=True)).all()
    if len(jobs) != session.scalar(select(func.count(Job.id)).where(*mine)):
        return None
    grid = [job for job in jobs if job.kind in GRID_KINDS]
    is_taken = any(job.state == JobState.LEASED for job in jobs)
    if is_taken or any(job.state not in (JobState.QUEUED, JobState.CANCELLED) for job in grid):
        return None
    return [job for job in grid if job.state == JobState.QUEUED]


def whole_job(session: Session, encode: Encode) -> Job:
    """The job over the whole grid: the one that stood in before, with its attempts, or a new one."""
    query = select(Job).where(Job.encode_id == encode.id, Job.kind == WHOLE)
    job = session.scalars(query).first()
    if job is None:
        whole = Chunk(0, EncodePlan.from_json(encode.plan).segment_count)
        job = new_job(encode, JobDraft(WHOLE, Rank.BULK, whole, ()), database_now(session))
        session.add(job)
        session.flush()
    return job


def jobs_to_unfold(session: Session, encode: Encode) -> list[Job]:
    """Jobs of the grid whose part is still wanted, each without what came in otherwise meanwhile. When every rung did,
    nothing of the grid is wanted any more.
    """
    session.flush()
    query = select(Rendition).where(Rendition.encode_id == encode.id, Rendition.origin == "grid")
    wanted = {rendition.name: rendition.kind for rendition in session.scalars(query)}
    if "video" not in wanted.values():
        forget_grid(session, encode)
        return []
    found = []
    for job in session.scalars(select(Job).where(Job.encode_id == encode.id, Job.kind.in_(GRID_KINDS))):
        left = [name for name in job.renditions if name in wanted]
        if left:
            job.renditions = left
            found.append(job)
    return found
