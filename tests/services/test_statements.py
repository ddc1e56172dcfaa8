"""Statements that a driver runs: values and errors are SQLAlchemy's, and plans are kept where that is safe."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from flask import Flask
from sqlalchemy import Connection, bindparam, insert, make_url, select
from sqlalchemy.exc import IntegrityError, OperationalError

from tests.conftest import AppFactory
from tests.factories import make_video
from tests.provision.proxy import Wire
from vlog_app import statements
from vlog_app.config import Settings
from vlog_app.extensions import db, glance, transaction
from vlog_app.models import Event, Video
from vlog_app.models.types import table_of
from vlog_app.statements import Statement

pytestmark = pytest.mark.usefixtures("database", "app")
ON_POSTGRES = pytest.mark.parametrize("database", ["postgresql"], indirect=True)

EVENTS = table_of(Event)
COLUMNS = ("video_id", "kind", "data", "created_at")
NOTE = Statement(insert(EVENTS).values({name: bindparam(name) for name in COLUMNS}).returning(EVENTS.c.id))
READ = Statement(
    select(EVENTS.c.kind, EVENTS.c.data, EVENTS.c.created_at).where(EVENTS.c.id == bindparam("event_id"))
)
OF_TITLE = Statement(
    select(Video.id).where(Video.title == bindparam("title"), Video.deleted_at.is_(None)).limit(1)
)
NOON = datetime(2026, 2, 3, 12, 0, 0, 250_000, UTC)


def plans_of(connection: Connection) -> set[str]:
    with connection.connection.cursor() as cursor:
        cursor.execute("SELECT name FROM pg_prepared_statements")
        return {name for (name,) in cursor.fetchall()}


def test_values_are_those_of_the_model() -> None:
    told = {"kind": "edited", "data": {"ä": [1, None]}, "created_at": NOON}
    video = make_video()
    with transaction() as session:
        event_id = NOTE.scalar(session.connection(), video_id=video.id, **told)
    with glance() as connection:
        row = READ.first(connection, event_id=event_id)
        assert READ.first(connection, event_id=event_id + 1) is None
    assert row._asdict() == told
    read = db.session.get(Event, event_id)
    assert read is not None
    assert (read.kind, read.data, read.created_at) == tuple(told.values())


@pytest.mark.parametrize("title", ["100 % 'new'", "$1 ? :x %(y)s", "ä\\n"])
def test_no_sign_in_a_value_means_anything(title: str) -> None:
    video = make_video(title, slug="odd")
    with glance() as connection:
        assert OF_TITLE.scalar(connection, title=title) == video.id


def test_what_the_database_refuses_is_said_as_ever() -> None:
    values = {"kind": "edited", "data": {}, "created_at": NOON}
    with pytest.raises(IntegrityError), transaction() as session:
        NOTE.rows(session.connection(), video_id=999, **values)
    video = make_video()
    with transaction() as session:
        assert NOTE.scalar(session.connection(), video_id=video.id, **values) > 0


@ON_POSTGRES
def test_a_plan_outlives_the_transaction_that_made_it() -> None:
    values = {"kind": "edited", "data": {}, "created_at": NOON}
    for _ in range(2):
        with pytest.raises(IntegrityError), transaction() as session:
            NOTE.rows(session.connection(), video_id=999, **values)
    with glance() as connection:
        assert OF_TITLE.scalar(connection, title="none") is None
        assert len(plans_of(connection)) >= 2


@ON_POSTGRES
def test_a_new_connection_has_its_own_plans() -> None:
    for _ in range(2):
        with glance() as connection:
            assert OF_TITLE.scalar(connection, title="none") is None
            assert len(plans_of(connection)) == 1
        db.engine.dispose()


@ON_POSTGRES
def test_a_plan_is_made_anew_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(statements, "PLAN_FITS_S", -1.0)
    video = make_video("Kiln")
    with glance() as connection:
        made = {_asked_at(connection) for _ in range(3)}
        assert OF_TITLE.scalar(connection, title="Kiln") == video.id
    assert len(made) == 3


def _asked_at(connection: Connection) -> datetime:
    OF_TITLE.rows(connection, title="none")
    with connection.connection.cursor() as cursor:
        cursor.execute("SELECT max(prepare_time) FROM pg_prepared_statements")
        at: datetime = cursor.fetchone()[0]  # type: ignore[index]
        return at


@ON_POSTGRES
def test_a_connection_that_dies_is_known_as_one() -> None:
    with glance() as connection:
        assert OF_TITLE.scalar(connection, title="none") is None
        pid = connection.connection.dbapi_connection.info.backend_pid  # type: ignore[union-attr]
        with db.engine.connect() as other:
            other.exec_driver_sql("SELECT pg_terminate_backend(%s, 60000)", (pid,))
        with pytest.raises(OperationalError) as caught:
            OF_TITLE.scalar(connection, title="none")
    assert caught.value.connection_invalidated
    with glance() as connection:
        assert OF_TITLE.scalar(connection, title="none") is None


# --- a pooler between ----------------------------------------------------------------------------------------


class Pooler(Wire):
    """Says a number of a process of its own, as those do that lend their connections to many clients."""

    def altered(self, data: bytes) -> bytes:
        at = data.find(b"K\x00\x00\x00\x0c")
        return data if at < 0 else data[: at + 5] + struct.pack("!i", 1) + data[at + 9 :]


@pytest.fixture
def pooled_url(postgres_url: str) -> Iterator[str]:
    url = make_url(postgres_url)
    folder = url.query.get("host")
    if not isinstance(folder, str):
        pytest.skip("the server is not reached by a file")
    pooler = Pooler(Path(folder) / f".s.PGSQL.{url.port or 5432}")
    host, _, port = pooler.url.removeprefix("redis://").partition(":")
    yield url.set(host=host, port=int(port), query={}).render_as_string(hide_password=False)
    pooler.close()


@ON_POSTGRES
def test_behind_a_pooler_nothing_is_left_in_a_session(
    app_factory: AppFactory, config: Settings, pooled_url: str
) -> None:
    app: Flask = app_factory("worker_api", database_url=pooled_url)
    with app.app_context():
        video = make_video("50 %")
        with glance() as connection:
            assert OF_TITLE.scalar(connection, title="50 %") == video.id
            assert plans_of(connection) == set()


# --- what may be lost ----------------------------------------------------------------------------------------


def durability(connection: Connection) -> object:
    is_sqlite = connection.dialect.name == "sqlite"
    return connection.exec_driver_sql(
        "PRAGMA synchronous" if is_sqlite else "SHOW synchronous_commit"
    ).scalar()


def test_only_what_may_be_lost_is_answered_before_it_is_on_the_disk(database: str) -> None:
    if database == "postgresql":  # that of the tests is in a hurry
        name = db.engine.url.database
        with db.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.exec_driver_sql(f'ALTER DATABASE "{name}" SET synchronous_commit TO ON')
        db.engine.dispose()
    with db.engine.connect() as connection:
        usual = durability(connection)
    assert usual in ("on", 2)
    with transaction(may_be_lost=True) as session:
        assert durability(session.connection()) in ("off", 1)
    with transaction() as session:
        assert durability(session.connection()) == usual
