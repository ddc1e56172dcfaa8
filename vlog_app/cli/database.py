"""`flask vlog db`: the database's own commands."""

import contextlib
import logging
from collections.abc import Iterator
from pathlib import Path

import click
from flask.cli import with_appcontext

MIGRATIONS = Path(__file__).parents[2] / "migrations"


@click.group("db")
def database() -> None:
    """Look after the database."""


@database.command("upgrade")
@with_appcontext
def upgrade_command() -> None:
    """Bring the database to the form this version needs; safe to repeat."""
    before, after = upgrade_database()
    click.echo("The database is up to date." if before == after else f"The database is now at {after}.")


def upgrade_database() -> tuple[str | None, str | None]:
    """The revisions before and after. Raises click.ClickException with one sentence when it cannot be reached."""
    from flask_migrate import upgrade
    from sqlalchemy.exc import OperationalError

    from ..database import all_the_time_in_the_world

    try:
        before = _revision()
        with _quiet("alembic"), all_the_time_in_the_world():
            upgrade(directory=str(MIGRATIONS))
        return before, _revision()
    except OperationalError as error:
        reason = str(error.orig).strip().splitlines()[0]
        raise click.ClickException(
            f"The database does not answer: {reason}. Check VLOG_DATABASE_URL."
        ) from None


def _revision() -> str | None:
    from alembic.migration import MigrationContext

    from ..extensions import db

    with db.engine.connect() as connection:
        revision: str | None = MigrationContext.configure(connection).get_current_revision()
        return revision


@contextlib.contextmanager
def _quiet(name: str) -> Iterator[None]:
    logger = logging.getLogger(name)
    level = logger.level
    logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        logger.setLevel(level)
