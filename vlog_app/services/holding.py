"""A lease that goes on: proved and extended in one statement, which also says what its holder must know."""

from __future__ import annotations

from datetime import timedelta
from functools import cache
from typing import Any

from sqlalchemy import Boolean, String, bindparam, literal_column, update

from jobs.contract import Held, LeaseLost
from jobs.states import JobState

from ..config import settings
from ..extensions import Writing
from ..models import Attempt, Job
from ..models.types import table_of
from ..statements import Statement
from .clock import LATER, from_now, note_now

JOBS = table_of(Job)
TOLD = ("video_id", "attempt_id", "end_segment", "place", "lease_expires_at")
#: Of a job that is written, beside its own columns: what it runs on as far as was said, and whether its worker is to
#: give back what it has. As text, since SQLAlchemy leaves out whose columns they are in what SQLite returns.
_CIRCUMSTANCES = (
    literal_column("(SELECT device FROM attempts WHERE attempts.id = jobs.attempt_id)", String).label(
        "device"
    ),
    literal_column(
        "EXISTS (SELECT 1 FROM workers WHERE workers.id = jobs.worker_id AND drain_requested_at IS NOT NULL)",
        Boolean,
    ).label("is_draining"),
)


def extend(session: Writing, held: Held, by: str | None = None, **also: Any) -> Any:
    """The row of the job, extended; `also`: columns to write with it. Raises LeaseLost."""
    lease_s = settings().lease_s
    values = {"job": held.job_id, "token": held.token, "by": by, "from_now_s": from_now(lease_s)}
    values |= {f"new_{name}": value for name, value in also.items()}
    row = _extended(by is not None, tuple(also)).first(session.connection(), **values)
    if row is None:
        raise LeaseLost("this job is leased to somebody else by now, or not wanted any more")
    note_now(session, row.lease_expires_at - timedelta(seconds=lease_s))
    return row


def note_device(session: Writing, attempt_id: int, device: str) -> None:
    """What an attempt runs on, once its worker has said so."""
    session.connection().execute(update(Attempt).where(Attempt.id == attempt_id).values(device=device))


@cache
def _extended(by_one: bool, names: tuple[str, ...]) -> Statement:
    """A lease goes on, when one worker has it; `names` are columns that are written with it."""
    mine = JOBS.c.state == JobState.LEASED, JOBS.c.lease_token == bindparam("token")
    extended = update(JOBS).where(JOBS.c.id == bindparam("job"), *mine)
    if by_one:
        extended = extended.where(JOBS.c.worker_id == bindparam("by"))
    new: dict[str, Any] = {name: bindparam(f"new_{name}") for name in names}
    extended = extended.values(new | {"lease_expires_at": LATER})
    return Statement(extended.returning(*(JOBS.c[name] for name in TOLD), *_CIRCUMSTANCES))
