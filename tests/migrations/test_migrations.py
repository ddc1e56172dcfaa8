"""The migrations are the tables: up, nothing left over, down, and up again, on both databases."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from flask import Flask
from sqlalchemy import inspect

from tests.conftest import dispose
from vlog_app import create_app
from vlog_app.cli.database import MIGRATIONS, upgrade_database
from vlog_app.config import Settings
from vlog_app.extensions import db


@pytest.fixture
def empty_url(database: str, tmp_path: Path, request: pytest.FixtureRequest) -> str:
    """A database without any table, of both kinds."""
    if database == "postgresql":
        return str(request.getfixturevalue("empty_postgres_url"))
    return f"sqlite:///{tmp_path / 'empty.db'}"


@pytest.fixture
def empty_app(empty_url: str) -> Iterator[Flask]:
    app = create_app(Settings(database_url=empty_url), surface="cli")
    with app.app_context():
        yield app
    dispose(app)


def tables() -> set[str]:
    return set(inspect(db.engine).get_table_names())


def head() -> str | None:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    return ScriptDirectory.from_config(config).get_current_head()


@pytest.mark.usefixtures("empty_app")
def test_an_empty_database_gets_every_table() -> None:
    assert upgrade_database() == (None, head())
    assert tables() == {*db.metadata.tables, "alembic_version"}


@pytest.mark.usefixtures("empty_app")
def test_the_migrations_make_what_the_models_say() -> None:
    upgrade_database()
    with db.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, db.metadata) == []


@pytest.mark.usefixtures("empty_app")
def test_a_second_upgrade_changes_nothing() -> None:
    upgrade_database()
    assert upgrade_database() == (head(), head())


@pytest.mark.usefixtures("empty_app")
def test_the_way_down_leaves_nothing_and_the_way_up_works_again() -> None:
    from flask_migrate import downgrade

    upgrade_database()
    downgrade(directory=str(MIGRATIONS), revision="base")
    assert tables() <= {"alembic_version"}
    upgrade_database()
    assert tables() == {*db.metadata.tables, "alembic_version"}


@pytest.mark.usefixtures("empty_app")
def test_constraints_have_names_that_a_later_migration_can_find() -> None:
    upgrade_database()
    looker = inspect(db.engine)
    for table in db.metadata.tables:
        found = [*looker.get_foreign_keys(table), *looker.get_unique_constraints(table)]
        found += looker.get_check_constraints(table)
        assert all(constraint["name"] for constraint in found), table


def test_there_is_one_line_of_migrations() -> None:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    script = ScriptDirectory.from_config(config)
    assert len(script.get_heads()) == 1
    names = [Path(revision.path).stem for revision in script.walk_revisions()]
    assert all(name[:4].isdecimal() for name in names)
