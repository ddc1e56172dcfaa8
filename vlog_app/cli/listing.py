"""`flask vlog list`: what is in the library."""

import json
from typing import TYPE_CHECKING

import click
from flask.cli import with_appcontext

if TYPE_CHECKING:
    from ..models import Video


@click.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option(
    "--limit", type=click.IntRange(1, 100_000), default=100, show_default=True, help="Newest first."
)
@with_appcontext
def list_videos(as_json: bool, limit: int) -> None:
    """List videos, newest first."""
    videos = _newest(limit)
    if as_json:
        click.echo(json.dumps([_facts(video) for video in videos], indent=2))
    elif videos:
        _print_table(videos)
    else:
        click.echo("No videos yet. Upload one: flask vlog upload FILE")


def _newest(limit: int) -> "list[Video]":
    from sqlalchemy import select
    from sqlalchemy.exc import OperationalError, ProgrammingError

    from ..extensions import db
    from ..models import Video

    query = select(Video).where(Video.deleted_at.is_(None)).order_by(Video.id.desc()).limit(limit)
    try:
        return list(db.session.scalars(query))
    except (OperationalError, ProgrammingError):
        raise click.ClickException(
            "The database does not answer or was not made yet; run: flask vlog db upgrade"
        ) from None


def _facts(video: "Video") -> dict[str, object]:
    return {
        "id": video.id,
        "slug": video.slug,
        "title": video.title,
        "status": video.state,
        "duration_s": video.duration_s,
        "width": video.width,
        "height": video.height,
        "size_bytes": video.source_size_bytes,
        "created_at": video.created_at.isoformat(),
        "published_at": video.published_at.isoformat() if video.published_at else None,
        "error": video.error_message,
    }


def _print_table(videos: "list[Video]") -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("Id", "Status", "Length", "Size", "Title", "Slug"):
        table.add_column(heading, justify="right" if heading in ("Id", "Length") else "left", overflow="fold")
    for video in videos:
        size = f"{video.width}x{video.height}"
        table.add_row(str(video.id), video.state, _clock(video.duration_s), size, video.title, video.slug)
    Console().print(table)


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
