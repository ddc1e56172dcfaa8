"""How many connections to PostgreSQL a process opens."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from vlog_app import connections
from vlog_app.connections import FEW, MOST_KEPT
from vlog_app.extensions import db

pytestmark = [
    pytest.mark.usefixtures("database", "app"),
    pytest.mark.parametrize("database", ["postgresql"], indirect=True),
]


def test_many_who_ask_at_once_share_a_few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "MOMENT_S", 60.0)
    engine, start = db.engine, threading.Barrier(25)

    def ask() -> None:
        start.wait()
        with engine.connect() as connection:
            connection.exec_driver_sql("SELECT pg_sleep(0.01)")

    with ThreadPoolExecutor(25) as threads:
        for asked in [threads.submit(ask) for _ in range(25)]:
            asked.result()
    assert engine.pool.checkedin() < 2 * FEW  # type: ignore[attr-defined]


def test_where_none_comes_back_more_are_opened() -> None:
    held = [db.engine.connect() for _ in range(MOST_KEPT)]
    assert len({each.connection.dbapi_connection for each in held}) == MOST_KEPT
    for each in held:
        each.close()
