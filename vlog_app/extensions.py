"""Flask extensions, unbound, and `transaction()`: the one way to write to the database."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from blinker import Signal
from flask import Flask, current_app
from flask_htmx import HTMX
from flask_limiter import Limiter
from flask_limiter.util import get_remote_address
from flask_migrate import Migrate
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import Connection, Engine, MetaData, event
from sqlalchemy.orm import DeclarativeBase, Session

from .statements import run

# Constraint names are fixed so that SQLite's batch migrations can find them again.
NAMING = {
    "ix": "ix_%(column_0_N_label)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}

SQLITE_BUSY_MS = 30_000  # how long a writer waits for another before it gives up
SYNCED = "vlog.synced"  # how a connection to SQLite waits for its disk


class Base(DeclarativeBase):
    metadata = MetaData(naming_convention=NAMING)


db = SQLAlchemy(model_class=Base, session_options={"expire_on_commit": False})
migrate = Migrate(render_as_batch=True, compare_type=True)
limiter = Limiter(get_remote_address, in_memory_fallback_enabled=True)
htmx = HTMX()


#: Sent after each commit that made news, with `news`. Receivers must not raise: what they tell is a hint.
committed = Signal()


@dataclass(slots=True)
class News:
    """What a transaction made that somebody waits for: jobs that may be taken, videos to which something happened."""

    jobs: set[int] = field(default_factory=set)
    videos: set[int] = field(default_factory=set)


class Brief:
    """A transaction without objects; what it knows of a Session is enough for statements."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.info: dict[Any, Any] = {"vlog_write": True, "vlog_news": News()}

    def connection(self) -> Connection:
        return self._connection


Writing = Session | Brief


def news_of(writing: Writing) -> News:
    """What the running transaction will tell."""
    news: News = writing.info.setdefault("vlog_news", News())
    return news


@event.listens_for(Engine, "connect")
def _prepare_sqlite(connection: Any, _record: Any) -> None:
    if not isinstance(connection, sqlite3.Connection):
        return
    connection.isolation_level = None  # we say BEGIN ourselves, see below
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("PRAGMA foreign_keys=ON")
    connection.execute(f"PRAGMA busy_timeout={SQLITE_BUSY_MS}")


@event.listens_for(Engine, "begin")
def _begin(connection: Connection) -> None:
    """A writer takes SQLite's write lock at once: a read that turns into a write would fail instead of waiting."""
    options = connection.get_execution_options()
    may_be_lost = options.get("vlog_may_be_lost", False)
    if connection.dialect.name == "sqlite":
        _sync_sqlite(connection, "NORMAL" if may_be_lost else "FULL")
        run(connection, "BEGIN IMMEDIATE" if options.get("vlog_write", False) else "BEGIN")
    elif may_be_lost:
        run(connection, "SET LOCAL synchronous_commit TO OFF")


def _sync_sqlite(connection: Connection, wanted: str) -> None:
    """With NORMAL a commit is not waited for: a power cut takes the last ones, a crash of ours none."""
    if connection.info.get(SYNCED, "FULL") != wanted:
        run(connection, f"PRAGMA synchronous={wanted}")
        connection.info[SYNCED] = wanted


@contextmanager
def glance() -> Iterator[Connection]:
    """Read outside of any transaction: one round trip a statement, and nothing is held between or afterwards."""
    with db.engine.connect() as connection:
        if connection.dialect.name == "sqlite":
            yield connection
            return
        driver: Any = connection.connection.dbapi_connection
        driver.autocommit = True  # SQLAlchemy's own switch asks the server each time
        try:
            yield connection
        finally:
            if not driver.closed:
                driver.autocommit = False


@contextmanager
def transaction(*, may_be_lost: bool = False) -> Iterator[Session]:
    """Write in one transaction: commits at the end, rolls back on any error; inside another one it joins it.

    Objects read before it started are expired first, so decisions are made on what the database says now. The clock
    stands still in it: `services.clock`. What `may_be_lost` is answered before it is on the disk: for half a second a
    power cut takes it, whole. What is committed the other way later takes it along to the disk.
    """
    session: Session = db.session()
    if session.info.get("vlog_write"):
        yield session
        return
    session.rollback()
    session.expire_all()
    session.info["vlog_write"] = True
    session.info["vlog_news"] = news = News()
    try:
        session.connection(execution_options={"vlog_write": True, "vlog_may_be_lost": may_be_lost})
        yield session
        session.commit()
    except BaseException:
        session.rollback()
        raise
    finally:
        session.info.pop("vlog_write", None)
        session.info.pop("vlog_news", None)
        session.info.pop("vlog_now", None)
    _tell(news)


@contextmanager
def brief_transaction(*, may_be_lost: bool = False) -> Iterator[Writing]:
    """The same for a few statements: a session costs more than they do, so none is made for them."""
    if db.session.registry.has():
        with transaction(may_be_lost=may_be_lost) as session:
            yield session
        return
    with db.engine.connect() as connection:
        connection = connection.execution_options(vlog_write=True, vlog_may_be_lost=may_be_lost)
        with connection.begin():
            yield (brief := Brief(connection))
    _tell(news_of(brief))


def _tell(news: News) -> None:
    if news.jobs or news.videos:
        app: Flask = current_app._get_current_object()  # type: ignore[attr-defined]
        committed.send(app, news=news)
