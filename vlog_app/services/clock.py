"""The time, as the database sees it: the only clock that judges leases."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from flask import current_app
from sqlalchemy import Float, bindparam, select
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement

from ..extensions import Writing
from ..models.types import UtcDateTime
from ..statements import Statement

SHIFT_KEY = "vlog.clock_shift_s"  # tests move the clock with it


class _Now(FunctionElement[datetime]):
    """With one argument: so many seconds from now."""

    name = "database_now"
    type = UtcDateTime()
    inherit_cache = True


@compiles(_Now)
def _on_postgresql(now: _Now, compiler: Any, **more: Any) -> str:
    seconds = compiler.process(now.clauses, **more)
    return f"clock_timestamp() + make_interval(secs => {seconds})" if seconds else "clock_timestamp()"


@compiles(_Now, "sqlite")
def _on_sqlite(now: _Now, compiler: Any, **more: Any) -> str:
    seconds = compiler.process(now.clauses, **more)
    later = f", printf('%+f seconds', {seconds})" if seconds else ""
    return f"strftime('%Y-%m-%d %H:%M:%f000', 'now'{later})"


#: To read the clock with something else, in one statement. What comes out goes through `shifted`.
NOW = _Now()
#: So many seconds from now, written by the database: `from_now` says what to give for them.
LATER = _Now(bindparam("from_now_s", type_=Float))
_READ = Statement(select(NOW))


def database_now(session: Writing) -> datetime:
    """Aware UTC. Differs from the clocks of web and worker hosts by whatever theirs are wrong. In a transaction that
    writes it is read once.
    """
    noted: datetime | None = session.info.get("vlog_now")
    if noted is not None:
        return noted
    now = shifted(_READ.scalar(session.connection()))
    note_now(session, now)
    return now


def note_now(session: Writing, now: datetime) -> None:
    """Another statement has read the clock."""
    if session.info.get("vlog_write"):
        session.info.setdefault("vlog_now", now)


def from_now(seconds: float) -> float:
    return seconds + _shift_s()


def shifted(read: datetime) -> datetime:
    return read + timedelta(seconds=_shift_s())


def _shift_s() -> float:
    shift_s: float = current_app.config.get(SHIFT_KEY, 0.0)
    return shift_s
