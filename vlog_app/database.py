"""A database that is away, and one that hangs: how that is noticed, and what it means."""

from __future__ import annotations

import logging
import select
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from flask import Flask
from sqlalchemy.exc import (
    DBAPIError,
    InterfaceError,
    OperationalError,
    PendingRollbackError,
    SQLAlchemyError,
    TimeoutError,
)

from jobs.contract import Unavailable

logger = logging.getLogger(__name__)

OUR_MISTAKES = (
    "no such table",
    "no such column",
    "syntax error",
)  # SQLite has one class for these and for "busy"
DONE, READS = 0, 1  # psycopg2.extensions.POLL_OK, POLL_READ
HURRY_S = 2.0  # how long an answer is waited for while the last one has not come


def is_away(error: SQLAlchemyError) -> bool:
    """The database cannot be reached, is busy for too long, or went away in the middle: try again later."""
    if isinstance(error, OperationalError):
        return not any(words in str(error.orig) for words in OUR_MISTAKES)
    if isinstance(error, InterfaceError | TimeoutError | PendingRollbackError):
        return True
    return isinstance(error, DBAPIError) and error.connection_invalidated


def words_of(error: SQLAlchemyError) -> str:
    """The first line of what the database said, for the log."""
    said = str(getattr(error, "orig", None) or error).strip()
    return said.splitlines()[0] if said else type(error).__name__


@contextmanager
def session_of(app: Flask) -> Iterator[None]:
    """The session of a program that is no web server: ends with the block. Raises Unavailable while the database is
    away.
    """
    with app.app_context():
        try:
            yield
        except SQLAlchemyError as error:
            if not is_away(error):
                raise
            raise Unavailable(f"the database does not answer: {words_of(error)}") from error


def init_app(app: Flask) -> None:
    """Registered after the extension, so that it is done before it: see `_let_go`."""
    app.teardown_appcontext(_let_go)


def _let_go(_error: BaseException | None) -> None:
    """A connection that died after the last question must not spoil an answer that is made."""
    from .extensions import db

    try:
        db.session.remove()
    except SQLAlchemyError as error:
        logger.warning("a connection to the database was lost: %s", words_of(error))
        db.session().invalidate()
        db.session.remove()


# --- a server that hangs -------------------------------------------------------------------------------------


class _Patience:
    """How long this process waits for the next sign of life of PostgreSQL. None: for ever."""

    def __init__(self) -> None:
        self.limit_s: float | None = None
        self.is_silent = False

    @property
    def wait_s(self) -> float | None:
        """One who waited in vain has told all others: they find out quickly whether it is back."""
        if self.limit_s is None:
            return None
        return min(HURRY_S, self.limit_s) if self.is_silent else self.limit_s


_patience = _Patience()


def limit_waiting(seconds: float) -> None:
    """No statement of this process waits longer for PostgreSQL; 0 is no limit. libpq itself would wait for ever: a
    server that hangs still holds its connections.
    """
    from psycopg2 import OperationalError, extensions

    _patience.limit_s = seconds or None
    _patience.is_silent = False
    extensions.set_wait_callback(partial(_wait, OperationalError))


@contextmanager
def all_the_time_in_the_world() -> Iterator[None]:
    """For migrations, which may rewrite a table."""
    before, _patience.limit_s = _patience.limit_s, None
    try:
        yield
    finally:
        _patience.limit_s = before


def _wait(error: type[Exception], connection: Any) -> None:
    """psycopg2 asks this to wait, several times a call. It closes the connection when this raises."""
    while (state := connection.poll()) != DONE:
        if not _is_ready(connection.fileno(), select.POLLIN if state == READS else select.POLLOUT):
            _patience.is_silent = True
            raise error("PostgreSQL was silent for too long")
    _patience.is_silent = False


def _is_ready(file: int, events: int) -> bool:
    wait_s = _patience.wait_s
    waiting = select.poll()
    waiting.register(file, events)
    return bool(waiting.poll(None if wait_s is None else wait_s * 1000))
