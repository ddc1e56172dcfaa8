"""The time, as the database sees it: the only clock that judges leases."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from flask import current_app
from sqlalchemy import ColumnElement, select
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.orm import Session

from ..models.types import UtcDateTime

SHIFT_KEY = "vlog.clock_shift_s"  # tests move the clock with it


class _Now(ColumnElement[datetime]):
    type = UtcDateTime()
    inherit_cache = True


@compiles(_Now)
def _on_postgresql(_now: _Now, _compiler: Any, **_more: Any) -> str:
    return "clock_timestamp()"


@compiles(_Now, "sqlite")
def _on_sqlite(_now: _Now, _compiler: Any, **_more: Any) -> str:
    return "strftime('%Y-%m-%d %H:%M:%f', 'now')"


#: To read the clock with something else, in one statement. Give what came out to `note_now`.
NOW = _Now()
_READ = select(NOW)


def database_now(session: Session) -> datetime:
    """Aware UTC. Differs from the clocks of web and worker hosts by whatever theirs are wrong. In a transaction that
    writes it is read once.
    """
    noted: datetime | None = session.info.get("vlog_now")
    return noted or note_now(session, session.execute(_READ).scalar_one())


def note_now(session: Session, read: datetime) -> datetime:
    """The time, and for the rest of the transaction that writes: what was read of `NOW`."""
    shift_s: float = current_app.config.get(SHIFT_KEY, 0.0)
    now = read + timedelta(seconds=shift_s)
    if session.info.get("vlog_write"):
        session.info["vlog_now"] = now
    return now
