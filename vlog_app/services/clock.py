"""The time, as the database sees it: the only clock that judges leases."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from flask import current_app
from sqlalchemy import select
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.orm import Session
from sqlalchemy.sql.functions import FunctionElement

from ..models.types import UtcDateTime

SHIFT_KEY = "vlog.clock_shift_s"  # tests move the clock with it


class _Now(FunctionElement[datetime]):
    name = "database_now"
    type = UtcDateTime()
    inherit_cache = True


@compiles(_Now)
def _on_postgresql(_now: _Now, _compiler: Any, **_more: Any) -> str:
    return "clock_timestamp()"


@compiles(_Now, "sqlite")
def _on_sqlite(_now: _Now, _compiler: Any, **_more: Any) -> str:
    return "strftime('%Y-%m-%d %H:%M:%f', 'now')"


#: To read the clock with something else, in one statement. What comes out goes through `shifted`.
NOW = _Now()
_READ = select(NOW)


def database_now(session: Session) -> datetime:
    """Aware UTC. Differs from the clocks of web and worker hosts by whatever theirs are wrong. In a transaction that
    writes it is read once.
    """
    noted: datetime | None = session.info.get("vlog_now")
    if noted is not None:
        return noted
    now = shifted(session.execute(_READ).scalar_one())
    if session.info.get("vlog_write"):
        session.info["vlog_now"] = now
    return now


def shifted(read: datetime) -> datetime:
    shift_s: float = current_app.config.get(SHIFT_KEY, 0.0)
    return read + timedelta(seconds=shift_s)
