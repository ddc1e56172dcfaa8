"""Where jobs stand in the queue: their place, and the turns that films of equal priority take.

A turn is a piece's number in its film, counted from where the queue stood when the film joined. The lowest turn goes
first, so films take turns piece by piece, and one that comes later neither waits for the others nor overtakes them.
"""

from __future__ import annotations

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from jobs.layout import TAKES_TURNS, Rank, place_of
from jobs.states import JobState

from ..models import Encode, Job

OPEN = (JobState.QUEUED.value, JobState.LEASED.value)


def current_turn(session: Session, encode: Encode, rank: Rank) -> int:
    """Whose turn it is among other encodes of this priority. When all their pieces are being made, the turn after
    these, so that one that is given back goes first; 0 when there is nothing.
    """
    others = Job.place == place_of(rank, encode.priority), Job.encode_id != encode.id
    waiting = select(Job.turn).where(Job.state == JobState.QUEUED, *others).order_by(Job.turn).limit(1)
    lowest = session.scalar(waiting)
    if lowest is not None:
        return lowest
    running = select(func.max(Job.turn)).where(Job.state == JobState.LEASED, *others)
    highest = session.scalar(running)
    return 0 if highest is None else highest + 1


def put_in_place(session: Session, encode: Encode) -> None:
    """Jobs of an encode follow its priority and its pause. One that joins others begins where they are: what it
    missed while it was elsewhere gives it no claim on all workers.
    """
    is_paused = encode.paused_at is not None
    mine = Job.encode_id == encode.id
    for rank in session.scalars(select(Job.rank).where(mine).distinct()).all():
        place = place_of(rank, encode.priority, is_paused=is_paused)
        session.execute(update(Job).where(mine, Job.rank == rank).values(place=place))
    if not is_paused:
        for rank in TAKES_TURNS:
            _join(session, encode, rank)


def _join(session: Session, encode: Encode, rank: Rank) -> None:
    mine = Job.encode_id == encode.id, Job.rank == rank
    first = session.scalar(select(func.min(Job.turn)).where(*mine, Job.state.in_(OPEN)))
    if first is not None:
        by = current_turn(session, encode, rank) - first
        session.execute(update(Job).where(*mine).values(turn=Job.turn + by))
