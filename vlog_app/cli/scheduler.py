"""`flask vlog scheduler`: housekeeping on its intervals."""

import click
from flask.cli import with_appcontext

from .. import create_app
from ..config import Settings, settings


@click.group("scheduler")
def scheduler() -> None:
    """Do what has to be done again and again: sweep lost leases and forgotten uploads."""


@scheduler.command("run")
@with_appcontext
def run() -> None:
    """Run until stopped."""
    run_scheduler(settings())


def run_scheduler(config: Settings) -> None:
    from jobs import housekeeping

    from ..logs import log_to_stderr

    log_to_stderr()
    housekeeping.run_scheduler(create_app(config, surface="cli"))
