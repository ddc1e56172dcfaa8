"""The time, as the database sees it: the only clock that judges leases."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from flask import current_app
from sqlalchemy import text
from sqlalchemy.orm import Session

SHIFT_KEY = "vlog.clock_shift_s"  # tests move the clock with it


def database_now(session: Session) -> datetime:
    """Aware UTC. Differs from the clocks of web and worker hosts by whatever theirs are wrong."""
    if session.get_bind().dialect.name == "sqlite":
        value = session.scalar(text("SELECT strftime('%Y-%m-%d %H:%M:%f', 'now')"))
        now = datetime.strptime(str(value), "%Y-%m-%d %H:%M:%S.%f").replace(tzinfo=UTC)
    else:
        now = session.scalar(text("SELECT clock_timestamp()"))
    shift_s: float = current_app.config.get(SHIFT_KEY, 0.0)
    return now + timedelta(seconds=shift_s)
