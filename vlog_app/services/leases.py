"""Who holds which lease: what a remote worker must prove before anything it sends is looked at."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TypeVar

from flask import Flask, current_app
from sqlalchemy import bindparam, select

from jobs.contract import Claim, JobProgress, LeaseLost, Orders
from jobs.lease import RENEWALS_PER_LEASE
from jobs.states import JobState

from ..extensions import db, glance
from ..models import Job
from ..statements import Statement
from . import queue
from .claims import read_offer

T = TypeVar("T")


class NotYours(Exception):
    """The token is the newest one, but of a job that another worker has."""


@dataclass(frozen=True, slots=True)
class HeldLease:
    """What a worker showed, and it was right."""

    job_id: int
    token: str


_HOLDER = Statement(
    select(Job.worker_id).where(
        Job.id == bindparam("job_id"), Job.state == JobState.LEASED, Job.lease_token == bindparam("token")
    )
)


def held_lease(job_id: int, token: str, worker_id: str) -> HeldLease:
    """Raises LeaseLost or NotYours. A look, not a lock: every verb that changes something proves the token once more
    in its own transaction.
    """
    with glance() as connection:
        holder = _HOLDER.scalar(connection, job_id=job_id, token=token)
    if holder is None:
        raise LeaseLost("this job is leased to somebody else by now, or not wanted any more")
    if holder != worker_id:
        raise NotYours("this job was leased with another key")
    return HeldLease(job_id, token)


def renew_held(job_id: int, token: str, worker_id: str, progress: JobProgress | None) -> Orders:
    """Prove the lease and renew it, in one. Raises LeaseLost or NotYours."""
    try:
        return queue.renew_lease(HeldLease(job_id, token), progress, by=worker_id)
    except LeaseLost:
        held_lease(job_id, token, worker_id)  # says whether somebody else has it by this token
        raise


def held_claim(job_id: int, token: str, worker_id: str) -> Claim:
    """The same with all there is to know of the job. Leaves no transaction open, since what comes next may take as
    long as a slow line does.
    """
    held_lease(job_id, token, worker_id)
    session = db.session()
    try:
        return read_offer(session, job_id).claim(token)
    finally:
        session.rollback()


class KeptLease:
    """Bytes that move renew the lease: wrap them in `while_moving`. It raises LeaseLost between two pieces."""

    def __init__(self, claim: Claim, app: Flask | None = None) -> None:
        self._claim = claim
        self._app: Flask = app or current_app._get_current_object()  # type: ignore[attr-defined]
        self._every_s = claim.lease_s / RENEWALS_PER_LEASE
        self._renewed = time.monotonic()

    def while_moving(self, pieces: Iterable[bytes]) -> Iterator[bytes]:
        for piece in pieces:
            yield piece
            if time.monotonic() - self._renewed >= self._every_s:
                self._renew()

    def while_working(self, steps: Iterable[T]) -> Iterator[T]:
        """The same for work of our own on what a worker sent: every step renews."""
        for step in steps:
            yield step
            self._renew()

    def _renew(self) -> None:
        with self._app.app_context():  # a session of its own: answers are sent after their request has ended
            queue.renew_lease(self._claim, None)
        self._renewed = time.monotonic()
