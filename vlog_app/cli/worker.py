"""`flask vlog worker`: work for this site, here or elsewhere, and look after those who do."""

import re

import click
from flask.cli import with_appcontext

from .. import create_app
from ..config import Settings, settings
from . import fleet

NAME = r"[A-Za-z0-9][A-Za-z0-9.-]{0,39}"  # it names a folder


@click.group("worker")
def worker() -> None:
    """Do the work: encode what was uploaded. And look after the workers."""


for command in (
    fleet.register,
    fleet.list_workers,
    fleet.status,
    fleet.revoke,
    fleet.drain,
    fleet.disable,
):
    worker.add_command(command)


@worker.command("run")
@click.option("--api", metavar="URL", help="Work for the site with this worker API, not beside its database.")
@click.option("--name", help="Needed for a second worker on one machine; else the machine's own name.")
@with_appcontext
def run(api: str | None, name: str | None) -> None:
    """Take jobs until stopped; the segment in hand is finished first. VLOG_JOB_QUEUE_MODE makes it an RQ worker."""
    if name is not None and not re.fullmatch(NAME, name):
        raise click.BadParameter("use up to 40 letters, digits, dots and dashes", param_hint="--name")
    if api is None:
        run_worker(settings(), name)
        return
    from jobs.bootstrap import work_for

    raise SystemExit(work_for(api))


def run_worker(config: Settings, name: str | None = None) -> None:
    """Raises SystemExit with one sentence when this cannot be a worker."""
    from jobs.bootstrap import AlreadyRunning, run_local_worker

    from ..ffmpeg import FfmpegNotFound
    from ..logs import log_to_stderr

    log_to_stderr()
    try:
        run_local_worker(create_app(config, surface="cli"), name)
    except (AlreadyRunning, FfmpegNotFound) as error:
        raise SystemExit(str(error)) from None
