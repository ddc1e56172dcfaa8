"""How often a call asks the database, wherever that is. More than this is a mistake, or has a reason to be told."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from flask import Flask
from sqlalchemy import event

from tests.worker_api.conftest import RemoteWorker
from vlog_app.extensions import db
from vlog_app.models import Video

pytestmark = pytest.mark.usefixtures("database", "film")

PROGRESS = {"segment": 1, "fraction": 0.5, "speed": 2.0, "device": "cpu"}


@pytest.fixture
def asked(server: Flask) -> Iterator[list[str]]:
    """Every statement from now on; transactions begin and end beside them."""
    statements: list[str] = []

    def note(_connection: object, _cursor: object, statement: str, *_more: object) -> None:
        if not statement.startswith("BEGIN"):
            statements.append(statement)

    with server.app_context():
        engine = db.engine
    event.listen(engine, "before_cursor_execute", note)
    yield statements
    event.remove(engine, "before_cursor_execute", note)


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


def test_progress_is_seven_statements(
    atlas: RemoteWorker, asked: list[str], hire: Callable[[str], RemoteWorker]
) -> None:
    claim = atlas.claim("encode")
    assert claim is not None
    assert atlas.about(claim, "POST", "renew", json={"progress": PROGRESS}).status_code == 200
    asked.clear()
    assert atlas.about(claim, "POST", "renew", json={"progress": PROGRESS}).status_code == 200
    assert len(asked) == 7


def _is_sqlite(server: Flask) -> bool:
    with server.app_context():
        return bool(db.engine.dialect.name == "sqlite")
