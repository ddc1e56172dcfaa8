"""Connections to the database: how many a process keeps, and that a dead one is noticed before it is used."""

from __future__ import annotations

import select
import sqlite3
import time
from typing import Any

from sqlalchemy import event
from sqlalchemy.exc import InvalidatePoolError
from sqlalchemy.pool import Pool, QueuePool
from sqlalchemy.util.queue import Empty

from .config import Settings

MOST_KEPT = 15  # of one process; requests beyond wait for one
# So many are opened as they are asked for. One more costs PostgreSQL as much as fifty questions: before it is opened,
# those that are in use have a moment to come back.
FEW = 4
MOMENT_S = 0.1
# How long a connection rests before its server is asked: what stands between may have forgotten it.
ASK_AFTER_S = 30.0
RESTS_SINCE = "vlog.rests_since"
MAY_PREPARE = "vlog.may_prepare"


def engine_options(settings: Settings) -> dict[str, Any]:
    """For PostgreSQL. The connection that was used last is used next, so that a busy one is never tested."""
    if settings.uses_sqlite:
        return {}
    return {
        "poolclass": PatientPool,
        "pool_size": MOST_KEPT,
        "max_overflow": 0,
        "pool_use_lifo": True,
    }


class PatientPool(QueuePool):
    """Fifty workers that ask at once are served by a few connections sooner than by fifteen new ones."""

    def _do_get(self) -> Any:
        if self.checkedout() >= FEW and not self.checkedin():
            try:
                return self._pool.get(True, MOMENT_S)
            except Empty:
                pass
        return super()._do_get()


@event.listens_for(Pool, "connect")
def _find_the_other_end(connection: Any, record: Any) -> None:
    """A pooler between us and PostgreSQL gives each transaction another session, which does not know what was prepared
    in the last one. It is told by its process, which is not the one that answers.
    """
    if not isinstance(connection, sqlite3.Connection):
        record.info[MAY_PREPARE] = _is_direct(connection)


def _is_direct(connection: Any) -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        answers: int = cursor.fetchone()[0]
    connection.rollback()
    told: int = connection.info.backend_pid
    return answers == told


@event.listens_for(Pool, "checkin")
def _note_rest(_connection: Any, record: Any) -> None:
    record.info[RESTS_SINCE] = time.monotonic()


@event.listens_for(Pool, "checkout")
def _test_after_rest(connection: Any, record: Any, _proxy: Any) -> None:
    """A server that was restarted has dropped all its connections: then this one and all others are opened anew."""
    rests_since = record.info.get(RESTS_SINCE)
    if rests_since is None or isinstance(connection, sqlite3.Connection):
        return
    if time.monotonic() - rests_since < ASK_AFTER_S and not _has_something_to_say(connection):
        return
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
        connection.rollback()
    except Exception as error:
        raise InvalidatePoolError from error


def _has_something_to_say(connection: Any) -> bool:
    """A server that ends says so, unasked, and hangs up. A look at the socket costs a thousandth of a question."""
    if connection.closed:
        return True
    socket = select.poll()
    socket.register(connection.fileno(), select.POLLIN)
    return bool(socket.poll(0))
