"""What one call of a worker costs: processor time here and in PostgreSQL, and how often the database is asked.

    python -m benchmarks.calls [--calls 300]

In this process, without a web server around it, so that two versions can be compared on a busy machine: what counts is
the ratio within a minute. On SQLite, and on PostgreSQL with its default settings.
"""

from __future__ import annotations

import argparse
import io
import json
import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg2.extensions
from flask import Flask
from sqlalchemy import event, update

from benchmarks.worker_api import FACTS, SECRET, SLOT
from jobs.layout import ENCODE
from jobs.states import JobState
from jobs.wire import KEY_HEADER, TOKEN_HEADER, VERSION
from tests.conftest import dispose, migrate
from tests.factories import make_source, make_video
from tests.provision.postgres import AS_IT_COMES, running_postgres
from vlog_app import create_app
from vlog_app.config import Settings
from vlog_app.extensions import db, transaction
from vlog_app.models import Job

FILMS = 30  # of an hour each: about sixty jobs
WARM_UP = 20
FRAMES = ("BEGIN", "COMMIT", "ROLLBACK", "PRAGMA", "SET LOCAL", "PREPARE")


@dataclass(slots=True)
class Site:
    """The worker API as a function, and what it asks of its database."""

    app: Flask
    asked: int = 0
    key: str = ""

    def call(self, path: str, body: object, **headers: str) -> Any:
        data = json.dumps(body).encode()
        named = {f"HTTP_{name.upper().replace('-', '_')}": value for name, value in headers.items()}
        environ = {
            "REQUEST_METHOD": "POST",
            "PATH_INFO": f"/api/worker/{path}",
            "SERVER_NAME": "127.0.0.1",
            "SERVER_PORT": "9002",
            "SERVER_PROTOCOL": "HTTP/1.1",
            "REMOTE_ADDR": "127.0.0.1",
            "CONTENT_TYPE": "application/json",
            "CONTENT_LENGTH": str(len(data)),
            "wsgi.url_scheme": "http",
            "wsgi.input": io.BytesIO(data),
            "wsgi.errors": sys.stderr,
            **named,
        }
        status: list[str] = []

        def start(line: str, _headers: object, _error: object = None, /) -> Callable[[bytes], object]:
            status.append(line)
            return sys.stdout.buffer.write

        answer = self.app.wsgi_app(environ, start)
        text = b"".join(answer)
        assert status[0].startswith("200"), (path, status, text)
        return json.loads(text)

    def listen(self) -> None:
        """From now on every statement that the driver is given counts."""

        def note(statement: str) -> None:
            self.asked += not statement.startswith(FRAMES)

        class Noting(psycopg2.extensions.cursor):  # type: ignore[misc]
            def execute(self, statement: str, values: Any = None) -> None:
                note(statement)
                super().execute(statement, values)

        def opened(connection: Any, *_more: object) -> None:
            if isinstance(connection, sqlite3.Connection):
                connection.set_trace_callback(note)
            else:
                connection.cursor_factory = Noting

        with self.app.app_context():
            event.listen(db.engine, "connect", opened)
            db.engine.dispose()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--calls", type=int, default=300)
    calls = parser.parse_args().calls
    with tempfile.TemporaryDirectory() as folder:
        measure("SQLite", f"sqlite:///{folder}/vlog.db", Path(folder), calls)
        with running_postgres(AS_IT_COMES) as server, server.database(is_empty=True) as url:
            measure("PostgreSQL", url, Path(folder), calls)


def measure(name: str, url: str, storage: Path, calls: int) -> None:
    migrate(url)
    limits = {"rate_limit_enabled": False, "storage_reserve_bytes": 0}
    config = Settings(storage_path=storage, database_url=url, worker_admin_secret=SECRET, **limits)  # type: ignore[arg-type]
    site = Site(create_app(config, surface="worker_api"))
    site.listen()
    hired = site.call("register", {"worker_name": "bench"}, x_admin_secret=SECRET)
    site.key = hired["api_key"]
    site.call("greet", {"facts": FACTS, "code_version": VERSION}, **{KEY_HEADER: site.key})
    backends = _backends(site.app)
    report = _reporter(name, site, backends, calls)
    report("poll of an empty queue", lambda: claim(site))
    _fill(site.app)
    lease, token = claim(site)
    report("progress", lambda: progress(site, lease["job_id"], token))
    report("claim", lambda: claim(site))
    dispose(site.app)


def claim(site: Site) -> tuple[Any, str]:
    token = uuid4().hex
    body = {"slot": SLOT, "token": token, "code_version": VERSION}
    return site.call("leases", body, **{KEY_HEADER: site.key})["lease"], token


def progress(site: Site, job_id: int, token: str) -> None:
    said = {"segment": 1, "fraction": time.monotonic() % 1, "speed": 1.5, "device": "cpu"}
    headers = {KEY_HEADER: site.key, TOKEN_HEADER: token}
    site.call(f"leases/{job_id}/renew", {"progress": said}, **headers)


def _reporter(
    name: str, site: Site, backends: Callable[[], float], calls: int
) -> Callable[[str, Callable[[], object]], None]:
    def report(what: str, ask: Callable[[], object]) -> None:
        for _ in range(WARM_UP):
            ask()
        asked, here, there = site.asked, time.process_time(), backends()
        for _ in range(calls):
            ask()
        ms = [1000 * spent / calls for spent in (time.process_time() - here, backends() - there)]
        times = (site.asked - asked) / calls
        print(f"{name:>12} {what:>24}: {times:4.1f} statements, {ms[0]:.2f} ms here, {ms[1]:.2f} ms there")

    return report


def _backends(app: Flask) -> Callable[[], float]:
    """Processor time of PostgreSQL's processes, in seconds."""
    with app.app_context(), db.engine.connect() as connection:
        if connection.dialect.name == "sqlite":
            return lambda: 0.0
        data = connection.exec_driver_sql("SHOW data_directory").scalar()
    parent = Path(f"{data}/postmaster.pid").read_text().split()[0]

    def spent() -> float:
        children = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
        return sum(int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) for pid in children) / 1e9

    return spent


def _fill(app: Flask) -> None:
    with app.app_context():
        for number in range(FILMS):
            make_video(f"Film {number}", source=make_source(seconds=3600))
        with transaction() as session:
            session.execute(update(Job).where(Job.kind != ENCODE).values(state=JobState.CANCELLED))


if __name__ == "__main__":
    main()
