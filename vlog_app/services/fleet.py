"""The workers, local and remote: who is here, what each is doing, and what the owner wants of it."""

from __future__ import annotations

import unicodedata
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from jobs.contract import WorkerInfo
from jobs.states import JobState

from ..extensions import db, transaction
from ..models import Job, Video, Worker, WorkerKey
from . import worker_keys
from .clock import database_now
from .pulse import Pulse, pulse_of
from .queue import lose_leases_of

MOST_FACTS = 50


class UnknownWorker(Exception):
    """There is no worker with this id."""


class StillHere(Exception):
    """A worker that runs beside the site can only be forgotten once it has stopped."""


class WorkerState(StrEnum):
    """`active`: up, and has not said what it is doing. An idle or busy worker is up as well."""

    ACTIVE = "active"
    BUSY = "busy"
    IDLE = "idle"
    OFFLINE = "offline"
    DRAINING = "draining"
    PAUSED = "paused"
    DISABLED = "disabled"

    @property
    def is_up(self) -> bool:
        return self not in (WorkerState.OFFLINE, WorkerState.DISABLED)


@dataclass(frozen=True, slots=True)
class Registered:
    """A new worker. Its key is shown this once."""

    worker_id: str
    name: str
    api_key: str


@dataclass(frozen=True, slots=True)
class SignOfLife:
    """What a worker says of itself when it calls; None: it said nothing of that."""

    activity: str | None = None
    facts: Mapping[str, Any] | None = None
    capabilities: Mapping[str, Any] = field(default_factory=dict)
    about: Mapping[str, Any] = field(default_factory=dict)
    code_version: str | None = None


@dataclass(frozen=True, slots=True)
class Member:
    """One worker of the roster, with the job it is at (the oldest one, when it does several at once)."""

    worker: Worker
    state: WorkerState
    is_silent: bool = False  # stopped, not heard for longer than the offline threshold, or never
    job_id: int | None = None
    video_slug: str | None = None

    @property
    def is_local_and_up(self) -> bool:
        """A disabled one as well: it goes on saying that it is there."""
        return self.worker.kind == "local" and not self.is_silent


# --- signs of life -------------------------------------------------------------------------------------------


def greet(worker: WorkerInfo) -> None:
    """A worker starts, for the first time or again."""
    with transaction() as session:
        now = database_now(session)
        row = _row(session, worker, now)
        row.facts, row.activity = dict(worker.facts), "idle"
        if row.kind == "local":  # a remote one was named when it was registered
            row.name = worker.name
        row.started_at, row.stopped_at = now, None
        row.drain_requested_at = None  # it was asked to make room for this very start


def beat(worker: WorkerInfo) -> None:
    with transaction() as session:
        row = _row(session, worker, database_now(session))
        if row.facts != dict(worker.facts):
            row.facts = dict(worker.facts)


def farewell(worker: WorkerInfo) -> None:
    with transaction() as session:
        now = database_now(session)
        _row(session, worker, now).stopped_at = now


def heartbeat(worker_id: str, said: SignOfLife) -> Member:
    """A registered worker is alive. What it does not mention stays as it was. Raises UnknownWorker."""
    with transaction() as session:
        row = _known(session, worker_id)
        row.heartbeat_at, row.stopped_at = database_now(session), None
        row.activity = said.activity or row.activity
        row.code_version = said.code_version or row.code_version
        if said.facts is not None:
            row.facts = dict(said.facts)
        row.capabilities = {**row.capabilities, **said.capabilities}
        row.about = _bounded({**row.about, **said.about}, said.about)
    return member(worker_id)


def _bounded(everything: dict[str, Any], latest: Mapping[str, Any]) -> dict[str, Any]:
    """A worker that says something else every time keeps only what it said last."""
    return everything if len(everything) <= MOST_FACTS else dict(latest)


def _row(session: Session, worker: WorkerInfo, now: datetime) -> Worker:
    row = session.get(Worker, worker.id)
    if row is None:
        row = Worker(id=worker.id, name=worker.name, registered_at=now, started_at=now)
        session.add(row)
    row.heartbeat_at = now
    return row


# --- what the owner decides ----------------------------------------------------------------------------------


def register(
    name: str,
    kind: str,
    capabilities: Mapping[str, Any],
    about: Mapping[str, Any],
    key_days: int | None = None,
) -> Registered:
    """A new worker and its key, which ends after so many days when they are given. An empty name gets one."""
    worker_id = str(uuid.uuid4())
    name = clean_name(name) or f"worker-{worker_id[:8]}"
    with transaction() as session:
        now = database_now(session)
        row = Worker(id=worker_id, name=name, kind=kind, registered_at=now)
        row.capabilities, row.about = dict(capabilities), dict(about)
        session.add(row)
        session.flush()
        return Registered(worker_id, name, worker_keys.mint(session, worker_id, now, key_days))


def clean_name(name: str) -> str:
    """One line of what can be seen: no control or direction characters, spaces folded, composed."""
    visible = "".join(" " if char.isspace() else char for char in unicodedata.normalize("NFC", name))
    return " ".join("".join(char for char in visible if unicodedata.category(char)[0] != "C").split())


def revoke(worker_id: str) -> None:
    """Its keys are worth nothing from now on, and it may do nothing more. Raises UnknownWorker."""
    with transaction() as session:
        row = _known(session, worker_id)
        worker_keys.revoke_all(session, worker_id, database_now(session))
        row.is_disabled = True
        lose_leases_of(worker_id)


def set_disabled(worker_id: str, *, is_disabled: bool) -> None:
    """A disabled worker is refused until it is enabled again; its jobs go to others at once. Raises UnknownWorker."""
    with transaction() as session:
        _known(session, worker_id).is_disabled = is_disabled
        if is_disabled:
            lose_leases_of(worker_id)


def hand_over(worker_id: str) -> int:
    """What it is making goes to others now, not when its leases run out. How many jobs. Raises UnknownWorker."""
    with transaction() as session:
        _known(session, worker_id)
        return lose_leases_of(worker_id)


def remove(worker_id: str) -> None:
    """Forget a worker, its keys with it; what it made stays. Raises UnknownWorker, and StillHere for a local one that
    is up: it needs no key, and would be back with its next sign of life.
    """
    if member(worker_id).is_local_and_up:
        raise StillHere(worker_id)
    with transaction() as session:
        lose_leases_of(worker_id)
        session.delete(_known(session, worker_id))


def _known(session: Session, worker_id: str) -> Worker:
    row = session.get(Worker, worker_id)
    if row is None:
        raise UnknownWorker(worker_id)
    return row


# --- the roster ----------------------------------------------------------------------------------------------


def roster() -> list[Member]:
    """Every worker there is, newest first."""
    session = db.session()
    query = select(Worker).order_by(Worker.registered_at.desc(), Worker.id)
    workers, now, at_work = session.scalars(query).all(), database_now(session), _at_work(session)
    return [_member(worker, at_work, now) for worker in workers]


def member(worker_id: str) -> Member:
    """Raises UnknownWorker."""
    session = db.session()
    return _member(_known(session, worker_id), _at_work(session), database_now(session))


def _at_work(session: Session) -> dict[str | None, tuple[int, str]]:
    """Worker id -> (job id, slug) of the oldest job it has."""
    query = (
        select(Job.worker_id, Job.id, Video.slug)
        .join(Video, Video.id == Job.video_id)
        .where(Job.state == JobState.LEASED)
        .order_by(Job.id.desc())
    )
    return {worker_id: (job_id, slug) for worker_id, job_id, slug in session.execute(query)}


def _member(worker: Worker, at_work: Mapping[str | None, tuple[int, str]], now: datetime) -> Member:
    job_id, slug = at_work.get(worker.id, (None, None))
    is_silent = pulse_of(worker, now) in (Pulse.NEVER, Pulse.GONE)
    return Member(worker, _state(worker, is_silent, job_id is not None), is_silent, job_id, slug)


def _state(worker: Worker, is_silent: bool, has_job: bool) -> WorkerState:
    if worker.is_disabled:
        return WorkerState.DISABLED
    if is_silent:
        return WorkerState.OFFLINE
    if worker.drain_requested_at is not None:
        return WorkerState.DRAINING
    if worker.paused_at is not None:
        return WorkerState.PAUSED
    return WorkerState.BUSY if has_job else WorkerState(worker.activity)


def with_keys() -> set[str]:
    """Workers that have a key which is good."""
    return set(db.session.scalars(select(WorkerKey.worker_id).where(WorkerKey.revoked_at.is_(None))))


def names_taken() -> set[str]:
    """By workers that are not disabled."""
    return set(db.session.scalars(select(Worker.name).where(Worker.is_disabled.is_(False))))
