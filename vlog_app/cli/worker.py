"""`flask vlog worker`: the local worker."""

import click
from flask.cli import with_appcontext

from .. import create_app
from ..config import Settings, settings


@click.group("worker")
def worker() -> None:
    """Do the work: encode what was uploaded."""


@worker.command("run")
@with_appcontext
def run() -> None:
    """Take jobs until stopped; the segment in hand is finished first."""
    run_worker(settings())


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
