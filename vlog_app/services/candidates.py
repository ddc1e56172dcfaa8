"""Which job a worker is offered: the most wanted one its slot can take, by the order of `services.places`.

Two rules bend that order a little. A worker stays with the film whose source it has, for a few turns. And a worker
without a GPU leaves encoding that nobody waits for to an idle GPU, for a few seconds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import cache
from typing import Any

from sqlalchemy import ColumnElement, Select, Text, and_, bindparam, cast, exists, func, or_, select
from sqlalchemy.orm import Session, aliased

from jobs.contract import Slot, WorkerInfo
from jobs.layout import ENCODE, TAKES_TURNS, WHOLE, Priority, Rank, place_of
from jobs.states import JobState

from ..config import settings
from ..extensions import db, glance
from ..models import Attempt, Hold, Job, Worker
from ..statements import Statement
from .worker_facts import GPU_WORDS, encodes_on_gpu, slots_of
from .workers import QUEUE, STANDING, Asker, Standing, failed_lately, is_probe, may_take

STAY_TURNS = 3  # a film may be this much ahead of the one whose turn it is, for a worker that has its source

# Statements are made once, with names for what differs: making one takes longer than running it.
IN_ORDER = Job.place, Job.turn, Job.id
IS_READY = Job.not_before_at <= bindparam("now")
IS_NOT_FOR_A_GPU_YET = or_(Job.kind != ENCODE, Job.rank < Rank.FIRST, Job.not_before_at <= bindparam("since"))
# Looked at once more when a job is locked: the owner may have said so since the first look.
IS_WELCOME = (
    ~exists().where(Hold.name == QUEUE),
    ~exists().where(Worker.id == bindparam("worker_id"), Worker.is_disabled),
)


@dataclass(frozen=True, slots=True)
class Look:
    """What a look at the queue saw. `given_id`: the job that the worker has by this name already. `is_anything`: there
    is a job for its slot, whoever may have it. `may_be_gpus`: then, some other worker speaks of a GPU.
    """

    standing: Standing
    given_id: int | None
    is_anything: bool
    may_be_gpus: bool

    def later(self, now: datetime) -> Look:
        return replace(self, standing=replace(self.standing, now=now))


def _takes_work(who: type[Worker]) -> tuple[ColumnElement[bool], ...]:
    return who.stopped_at.is_(None), who.paused_at.is_(None), who.drain_requested_at.is_(None)


_other = aliased(Worker)
_GIVEN = Job.lease_token == bindparam("token"), Job.worker_id == bindparam("worker_id")
# A first look by the database, so that the facts of a fleet without GPUs are not read for every claim.
_SPEAKS_OF_A_GPU = (
    _other.id != bindparam("worker_id"),
    *_takes_work(_other),
    or_(
        *(cast(_other.facts, Text).contains(f'"{word}"') for word in GPU_WORDS),
        cast(_other.capabilities, Text).contains('"hwaccel_enabled"'),
    ),
)


def _queued_for(kinds: int) -> tuple[ColumnElement[bool], ...]:
    """Jobs that a slot of so many kinds can take."""
    return (
        Job.state == JobState.QUEUED,
        Job.place.between(bindparam("first_place"), bindparam("last_place")),
        Job.kind.in_([bindparam(f"slot_kind_{number}") for number in range(kinds)]),
        Job.rank.between(bindparam("min_rank"), bindparam("max_rank")),
    )


@cache
def _look(kinds: int) -> Statement:
    anything = exists(select(Job.id).where(*_queued_for(kinds)))
    given = select(Job.id).where(Job.state == JobState.LEASED, *_GIVEN).limit(1).scalar_subquery()
    may_be_gpus = and_(
        anything, exists(select(_other.id).where(*_SPEAKS_OF_A_GPU))
    )  # an idle poll need not know
    return Statement(STANDING.add_columns(given, anything, may_be_gpus))


def look(worker_id: str, slot: Slot, token: str | None) -> Look:
    """One statement, no lock, no transaction: what a poll of an idle site costs."""
    names = {"worker_id": worker_id, "token": token, **_names_of(slot)}
    with glance() as connection:
        row = _look(len(slot.kinds)).first(connection, **names)
    return Look(Standing.of(row), *row[-3:])


def is_worth_a_lock(worker: WorkerInfo, slot: Slot, seen: Look) -> bool:
    """SQLite has one lock for all that write: worth a second look before it is taken."""
    if not seen.is_anything or not settings().uses_sqlite:
        return seen.is_anything
    return find_candidate(db.session(), worker, slot, seen) is not None


def find_candidate(
    session: Session, worker: WorkerInfo, slot: Slot, seen: Look, job_id: int | None = None
) -> int | None:
    """The job to lease next, or only that one, locked where the database can lock a row; None when there is nothing
    for this slot.
    """
    row, now = seen.standing.row, seen.standing.now
    if not may_take(session, seen.standing):
        return None
    facts = row.facts if row and not worker.facts else worker.facts
    # Of a job that it asks for it has something, which a GPU would make again.
    may_leave = seen.may_be_gpus and job_id is None
    leaves = may_leave and _leaves_work_to_a_gpu(session, facts, worker.id, slot, now)
    since = now - timedelta(seconds=settings().gpu_head_start)
    names = _names_of(slot) | {"now": now, "since": since, "worker_id": worker.id}
    queue, shape = session.connection(), (leaves, len(slot.kinds))
    found: int | None
    if job_id is not None:
        found = _that_one(*shape).scalar(queue, **names, job_id=job_id)
    elif is_probe(row):
        # Another film says more about the worker than the one it has failed on.
        failed = {"failed_on": sorted(failed_lately(session, worker.id))}
        found = queue.scalar(_elsewhere(*shape), names | failed) or queue.scalar(_any(*shape), names)
    else:
        found = _near_or_first(*shape).scalar(queue, **names)
    return found


def _names_of(slot: Slot) -> dict[str, Any]:
    return {
        **{f"slot_kind_{number}": kind for number, kind in enumerate(slot.kinds)},
        "min_rank": slot.min_rank,
        "max_rank": slot.max_rank,
        "first_place": place_of(slot.min_rank, Priority.HIGH),
        "last_place": place_of(slot.max_rank, Priority.LOW),
    }


# --- the statements, by whether encoding is left to a GPU and by the number of kinds -------------------------


def _wanted(leaves: bool, kinds: int) -> tuple[ColumnElement[bool], ...]:
    ready = *_queued_for(kinds), IS_READY
    return (*ready, IS_NOT_FOR_A_GPU_YET) if leaves else ready


def _locked(query: Select[int]) -> Select[int]:
    """The first of them that nobody else is about to lease."""
    return query.order_by(*IN_ORDER).limit(1).with_for_update(of=Job, skip_locked=True)


@cache
def _any(leaves: bool, kinds: int) -> Select[int]:
    return _locked(select(Job.id).where(*IS_WELCOME, *_wanted(leaves, kinds)))


@cache
def _that_one(leaves: bool, kinds: int) -> Statement:
    wanted = *_wanted(leaves, kinds), Job.id == bindparam("job_id")
    return Statement(_locked(select(Job.id).where(*IS_WELCOME, *wanted)))


@cache
def _elsewhere(leaves: bool, kinds: int) -> Select[int]:
    failed = Job.video_id.in_(bindparam("failed_on", expanding=True))
    return _locked(select(Job.id).where(*IS_WELCOME, *_wanted(leaves, kinds), ~failed))


_ITS_FILM = (
    select(Job.video_id)
    .join(Attempt, Attempt.job_id == Job.id)
    .where(Attempt.worker_id == bindparam("worker_id"), Job.kind == ENCODE)
    .order_by(Attempt.id.desc())
    .limit(1)
    .cte("its_film")
)


@cache
def _near_or_first(leaves: bool, kinds: int) -> Statement:
    """The next piece of the film this worker encoded last, when that is not far ahead of its turn; else the first."""
    wanted = _wanted(leaves, kinds)
    columns = select(Job.place, Job.turn, Job.video_id, Job.rank).where(*wanted)
    best = columns.order_by(*IN_ORDER).limit(1).cte("best")
    reach = (
        select(best.c.place, best.c.turn, (best.c.turn + STAY_TURNS).label("last"), _ITS_FILM.c.video_id)
        .where(best.c.video_id != _ITS_FILM.c.video_id, best.c.rank.in_(TAKES_TURNS))
        .cte("reach")
    )
    # Each as a value of its own: the database then goes straight to these few rows of the queue.
    place, turn, last, video = (select(column).scalar_subquery() for column in reach.c)
    near = Job.place == place, Job.turn.between(turn, last), Job.video_id == video
    nearest = _locked(select(Job.id).where(*wanted, *near))
    first = _locked(select(Job.id).where(*wanted))
    found = func.coalesce(nearest.scalar_subquery(), first.scalar_subquery())
    return Statement(select(found).where(*IS_WELCOME))


def held_by(worker_id: str) -> Select[Job]:
    return select(Job).where(Job.state == JobState.LEASED, Job.worker_id == worker_id)


def held_before(worker_id: str, slot: Slot, job_id: int, now: datetime) -> Select[Job]:
    """That job, when it is one for this slot, and this worker has it from before it started or for longer than its
    lease.
    """
    began = select(Attempt.started_at).where(Attempt.id == Job.attempt_id).scalar_subquery()
    came = select(Worker.started_at).where(Worker.id == worker_id).scalar_subquery()
    fits = Job.kind.in_(slot.kinds), Job.rank.between(slot.min_rank, slot.max_rank)
    is_over = or_(began < came, Job.lease_expires_at < now)
    return held_by(worker_id).where(Job.id == job_id, *fits, is_over)


# --- idle GPUs -----------------------------------------------------------------------------------------------


def _leaves_work_to_a_gpu(
    session: Session, facts: Mapping[str, object], worker_id: str, slot: Slot, now: datetime
) -> bool:
    """Is encoding left to an idle GPU for the moment?"""
    if ENCODE not in slot.kinds or slot.max_rank < Rank.FIRST or settings().gpu_head_start <= 0:
        return False
    if encodes_on_gpu(facts):
        return False
    return is_gpu_idle(session, worker_id, now)


def is_gpu_idle(session: Session, but: str, now: datetime) -> bool:
    """Is there a worker, another than `but`, that could encode on a GPU at once?"""
    since = now - timedelta(seconds=2 * settings().worker_heartbeat_interval)
    others = select(Worker).where(Worker.id != but, Worker.heartbeat_at > since, *_takes_work(Worker))
    with_gpu = [other for other in session.scalars(others) if has_gpu(other)]
    busy = _encodes_running(session) if with_gpu else {}
    return any(busy.get(other.id, 0) < slots_of(other.facts) for other in with_gpu)


def has_gpu(worker: Worker | Asker) -> bool:
    """By what it found on its host, or, for a worker of an existing installation, by its word."""
    return encodes_on_gpu(worker.facts) or worker.capabilities.get("hwaccel_enabled") is True


def _encodes_running(session: Session) -> dict[str, int]:
    """Worker -> encodes it runs that nobody waits for."""
    running = Job.state == JobState.LEASED, Job.kind.in_((ENCODE, WHOLE)), Job.rank >= Rank.FIRST
    query = select(Job.worker_id, func.count(Job.id)).where(*running).group_by(Job.worker_id)
    return {worker_id: number for worker_id, number in session.execute(query) if worker_id}
