"""`flask vlog upload`: sends files to the admin site, and waits for them when asked to."""

import json
import time
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import click
from flask.cli import with_appcontext

from ..config import settings
from ..secret_files import admin_secret

if TYPE_CHECKING:
    from rich.progress import Progress

    from .tus import TusClient

LOOK_EVERY_S = 1.0


@click.command("upload")
@click.argument(
    "files", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path)
)
@click.option("--title", help="Title of the video; for one file only.")
@click.option("--wait", is_flag=True, help="Wait until the videos are ready.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object per file.")
@with_appcontext
def upload(files: tuple[Path, ...], title: str | None, wait: bool, as_json: bool) -> None:
    """Upload FILES. Interrupted uploads go on where they stopped when the command is run again."""
    from .tus import TusClient

    if title and len(files) > 1:
        raise click.UsageError("--title names one video; give one file with it.")
    config = settings()
    client = TusClient(
        config.admin_api_url,
        admin_secret(config) or "",
        answer_s=config.api_timeout,
        deadline_s=config.upload_timeout,
        home=Path.home(),
    )
    with closing(client), _progress(as_json) as progress:
        outcomes = [_one(client, progress, path, title or "", wait=wait, as_json=as_json) for path in files]
    if not all(outcomes):
        raise SystemExit(1)


def _one(
    client: "TusClient", progress: "Progress", path: Path, title: str, *, wait: bool, as_json: bool
) -> bool:
    from .tus import NothingAnswers, UploadFailed

    task = progress.add_task(path.name, total=path.stat().st_size)
    try:
        video = client.upload(path, title, lambda offset: progress.update(task, completed=offset))
        status = _wait(client, progress, path, video.video_id) if wait else "uploaded"
    except NothingAnswers as error:
        raise click.ClickException(str(error)) from None
    except UploadFailed as error:
        progress.remove_task(task)
        _tell(
            progress,
            as_json,
            {"file": str(path), "error": str(error), "code": error.code},
            f"{path.name}: {error}",
        )
        return False
    except KeyboardInterrupt:
        raise click.ClickException("Stopped; run the same command again to go on where it stopped.") from None
    facts = {"file": str(path), "video_id": video.video_id, "slug": video.slug, "status": status}
    _tell(progress, as_json, facts, f"{path.name}: video {video.video_id}, {video.slug}, {status}")
    return status != "failed"


def _wait(client: "TusClient", progress: "Progress", path: Path, video_id: int) -> str:
    """Follows the encode to its end and returns the last status."""
    task = progress.add_task(f"{path.name}: encoding", total=None)
    while True:
        state = client.get_json(f"/api/videos/{video_id}")
        if (percent := state.get("progress_percent")) is not None:
            progress.update(task, total=100, completed=float(str(percent)))
        if state["status"] in ("ready", "failed"):
            progress.remove_task(task)
            return str(state["status"])
        time.sleep(LOOK_EVERY_S)


def _progress(as_json: bool) -> "Progress":
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    return Progress(*columns, console=Console(stderr=True), disable=as_json, transient=True)


def _tell(progress: "Progress", as_json: bool, facts: dict[str, object], words: str) -> None:
    if as_json:
        click.echo(json.dumps(facts))
    else:
        progress.console.print(words, highlight=False, markup=False, soft_wrap=True)
