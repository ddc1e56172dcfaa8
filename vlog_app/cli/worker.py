"""`flask vlog worker`: work for this site, here or elsewhere, and look after those who do."""

import click
from flask.cli import with_appcontext

from .. import create_app
from ..config import Settings, settings
from . import fleet


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
@with_appcontext
def run(api: str | None) -> None:
    """Take jobs until stopped; the segment in hand is finished first."""
    if api is None:
        run_worker(settings())
        return
    from jobs.bootstrap import work_for

    raise SystemExit(work_for(api))


def run_worker(config: Settings) -> None:
    """Raises SystemExit with one sentence when this cannot be a worker."""
    from jobs.bootstrap import AlreadyRunning, run_local_worker

    from ..ffmpeg import FfmpegNotFound
    from ..logs import log_to_stderr

    log_to_stderr()
    try:
        run_local_worker(create_app(config, surface="cli"))
    except (AlreadyRunning, FfmpegNotFound) as error:
        raise SystemExit(str(error)) from None
