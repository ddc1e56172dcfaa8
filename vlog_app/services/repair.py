"""Making rungs again, in place. Only what is missing, failed or damaged: then nothing that plays is ever taken away.

A finished film is looked into like one that is about to be published. Segments that are gone, cut short or do not
decode are forgotten, and the jobs that made them run once more; everything else stays and goes on playing.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from jobs.layout import Priority
from jobs.states import IllegalMove

from ..config import settings
from ..extensions import db, transaction
from ..models import Encode, Job, Rendition, Segment, Video
from .clock import database_now
from .control import STOPPED, UNFINISHED
from .events import EventKind, record
from .generations import AT_WORK, encode_beside, folder_of
from .places import put_in_place
from .playlists import availability_of
from .publish import missing_segments
from .queue import redo_jobs, reopen_encode, take_up_again
from .samples import Cell, damaged_segments


def make_again(encode_id: int, names: frozenset[str] | None, priority: Priority | None = None) -> list[str]:
    """Names of the rungs that are made (again) now, highest first; empty when all that were asked for are whole.
    `names` None: every rung; `priority` None: as before. Raises IllegalMove for a rung the film does not have.
    """
    session = db.session()
    encode = session.get_one(Encode, encode_id)
    planned = session.scalars(
        select(Rendition).where(Rendition.encode_id == encode_id).order_by(Rendition.position)
    ).all()
    wanted = frozenset(row.name for row in planned) if names is None else names
    if unknown := wanted - {row.name for row in planned}:
        raise IllegalMove(f"the film has no {', '.join(sorted(unknown))}")
    if encode.state == "done":
        _require_source(session, encode)
        broken = {cell for cell in _broken_cells(session, encode) if cell[0] in wanted}
        _require_own(planned, broken)
        return _reopen(encode_id, broken, priority) if broken else []
    return _go_on(encode_id, wanted, priority)


def _require_source(session: Session, encode: Encode) -> None:
    video = session.get_one(Video, encode.video_id)
    if not (settings().storage_path / video.source_path).is_file():
        raise IllegalMove("the source file is gone")


def _require_own(planned: Sequence[Rendition], broken: set[Cell]) -> None:
    """The jobs that made a rung taken over were those of another encode."""
    taken = {row.name for row in planned if row.taken_from is not None}
    if names := sorted({name for name, _ in broken} & taken):
        raise IllegalMove(
            f"parts of {', '.join(names)} are broken, which was taken over from a former encode; encode it again"
        )


def _broken_cells(session: Session, encode: Encode) -> set[Cell]:
    made = availability_of(session, encode)
    folder = folder_of(session, encode)
    if missing := missing_segments(made, folder):
        return missing
    return {(found.rendition, found.index) for found in damaged_segments(made, folder, {})}


def _go_on(encode_id: int, wanted: frozenset[str], priority: Priority | None) -> list[str]:
    """A film that is not finished goes on, at this priority; its rungs that are whole stay as they are."""
    with transaction() as session:
        encode = session.get_one(Encode, encode_id, with_for_update=True)
        if encode.state not in (*STOPPED, *UNFINISHED):
            raise IllegalMove(f"the encode is {encode.state}")
        encode.priority = encode.priority if priority is None else int(priority)
        if encode.state in STOPPED:
            take_up_again(session, encode, database_now(session))
        else:
            put_in_place(session, encode)
        return _unfinished(session, encode_id, wanted)


def _unfinished(session: Session, encode_id: int, wanted: frozenset[str]) -> list[str]:
    query = select(Rendition.name).where(
        Rendition.encode_id == encode_id, Rendition.done_segments < Rendition.planned_segments
    )
    return [name for name in session.scalars(query.order_by(Rendition.position)) if name in wanted]


def _reopen(encode_id: int, broken: set[Cell], priority: Priority | None) -> list[str]:
    with transaction() as session:
        encode = session.get_one(Encode, encode_id, with_for_update=True)
        _require_alone(session, encode)
        now = database_now(session)
        _unfold(session, encode, broken, now)
        if not redo_jobs(session, encode, broken, now):
            raise IllegalMove("the jobs that made them are not known any more")
        encode.priority = encode.priority if priority is None else int(priority)
        reopen_encode(session, encode, now)
        record(session, encode.video_id, EventKind.RETRIED, now)
        return _unfinished(session, encode_id, frozenset(name for name, _ in broken))


def _require_alone(session: Session, encode: Encode) -> None:
    video = session.get_one(Video, encode.video_id, with_for_update=True)
    beside = encode_beside(session, video)
    if beside is not None and beside.state in AT_WORK:
        raise IllegalMove("the film is being encoded again")
    if encode.state != "done" or encode.is_over:
        raise IllegalMove(f"the encode is {encode.state}")


def _unfold(session: Session, encode: Encode, broken: set[Cell], now: datetime) -> None:
    """The index of a published rendition becomes rows again, without what is broken."""
    makers = _makers(session, encode.id)
    grid = Rendition.encode_id == encode.id, Rendition.origin == "grid", Rendition.taken_from.is_(None)
    for rendition in session.scalars(select(Rendition).where(*grid)):
        index = rendition.index or {"durations": [], "sizes": [], "sha256": []}
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


def _makers(session: Session, encode_id: int) -> dict[Cell, int]:
    """Cell -> the last attempt at the job it belongs to."""
    jobs = session.scalars(select(Job).where(Job.encode_id == encode_id, Job.attempt_id.is_not(None)))
    return {
        (name, number): job.attempt_id or 0
        for job in jobs
        for name in job.renditions
        for number in range(job.first_segment, job.end_segment)
    }
