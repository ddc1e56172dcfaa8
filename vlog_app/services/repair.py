"""Making rungs again, in place. Only what is missing, failed or damaged: then nothing that plays is ever taken away.

A finished film is looked into like one that is about to be published. Segments that are gone, cut short or do not
decode are forgotten, and the jobs that made them run once more; everything else stays and goes on playing. Where those
jobs were of a former encode, since the rung was taken over from it, this one gets jobs of its own (services.remaking).
"""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.orm import Session

from jobs.layout import Priority
from jobs.states import IllegalMove

from ..config import settings
from ..extensions import db, transaction
from ..models import Encode, Rendition, Video
from .clock import database_now
from .control import STOPPED, UNFINISHED
from .events import EventKind, record
from .generations import AT_WORK, encode_beside, folder_of
from .places import put_in_place
from .playlists import availability_of
from .publish import missing_segments
from .queue import reopen_encode, take_up_again
from .remaking import make_own, queue_parts, unfold
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
        return _reopen(encode_id, broken, priority) if broken else []
    return _go_on(encode_id, wanted, priority)


def _require_source(session: Session, encode: Encode) -> None:
    video = session.get_one(Video, encode.video_id)
    if not (settings().storage_path / video.source_path).is_file():
        raise IllegalMove("the source file is gone")


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
        encode.priority = encode.priority if priority is None else int(priority)
        make_own(session, encode, {name for name, _ in broken})
        unfold(session, encode, broken, now)
        if not queue_parts(session, encode, broken, now):
            raise IllegalMove("the jobs that made them are not known any more")
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
