"""How often a call asks the database, wherever that is. More than this is a mistake, or has a reason to be told."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from typing import Any

import psycopg2.extensions
import pytest
from flask import Flask
from sqlalchemy import event

from tests.worker_api.conftest import RemoteWorker
from vlog_app.extensions import db
from vlog_app.models import Video

pytestmark = pytest.mark.usefixtures("database", "film")

PROGRESS = {"segment": 1, "fraction": 0.5, "speed": 2.0, "device": "cpu"}


BESIDE = ("BEGIN", "COMMIT", "ROLLBACK", "PRAGMA", "SET LOCAL")  # what frames a transaction


@pytest.fixture
def asked(server: Flask) -> Iterator[list[str]]:
    """Every statement that a driver is given from now on; transactions begin and end beside them."""
    statements: list[str] = []

    def note(statement: str) -> None:
        if not statement.startswith(BESIDE):
            statements.append(statement)

    class Noting(psycopg2.extensions.cursor):
        def execute(self, statement: str, values: Any = None) -> None:
            note(statement)
            super().execute(statement, values)

    def listen(connection: Any, *_more: object) -> None:
        if isinstance(connection, sqlite3.Connection):
            connection.set_trace_callback(note)
        else:
            connection.cursor_factory = Noting

    with server.app_context():
        engine = db.engine
        engine.dispose()  # so that all connections are opened anew
    event.listen(engine, "connect", listen)
    yield statements
    event.remove(engine, "connect", listen)


def test_a_poll_that_finds_nothing_asks_for_the_key_and_for_the_queue(
    atlas: RemoteWorker, asked: list[str]
) -> None:
    assert atlas.claim("nothing") is None  # notes the use of the key, once a minute
    asked.clear()
    assert atlas.claim("nothing") is None
    assert len(asked) == 2


def test_a_claim_is_seven_statements(
    atlas: RemoteWorker, asked: list[str], server: Flask, film: Video
) -> None:
    assert atlas.claim("encode") is not None
    asked.clear()
    assert atlas.claim("encode") is not None
    on_sqlite = 1  # it looks before it takes the one lock for all that write
    assert len(asked) == 7 + (on_sqlite if _is_sqlite(server) else 0)


def test_progress_is_three_statements(
    atlas: RemoteWorker, asked: list[str], hire: Callable[[str], RemoteWorker]
) -> None:
    claim = atlas.claim("encode")
    assert claim is not None
    assert atlas.about(claim, "POST", "renew", json={"progress": PROGRESS}).status_code == 200
    asked.clear()
    assert atlas.about(claim, "POST", "renew", json={"progress": PROGRESS}).status_code == 200
    assert len(asked) == 3


@pytest.mark.parametrize("database", ["postgresql"], indirect=True)
def test_postgresql_plans_what_is_asked_often_once(
    atlas: RemoteWorker, asked: list[str], film: Video
) -> None:
    assert atlas.claim("encode") is not None
    asked.clear()
    assert atlas.claim("encode") is not None
    assert all(statement.startswith("EXECUTE") for statement in asked)


def _is_sqlite(server: Flask) -> bool:
    with server.app_context():
        return bool(db.engine.dialect.name == "sqlite")
