"""`flask vlog reencode SLUG`: a film is encoded again beside what plays."""

import json

import click
from flask.cli import with_appcontext


@click.command("reencode")
@click.argument("slug")
@click.option(
    "--rungs", default="", help="Only these, with commas, such as 720p,480p,audio; the rest stays as it is."
)
@click.option("--priority", type=click.Choice(["high", "normal", "low"]), default="normal", show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@with_appcontext
def reencode(slug: str, rungs: str, priority: str, as_json: bool) -> None:
    """Encode the video SLUG again by the settings of today. Viewers get what there is until all of it is whole."""
    from jobs.layout import Priority

    from ..services import wakeup
    from ..services.reencode import NotAgain, encode_again

    names = [name.strip() for name in rungs.split(",") if name.strip()] or None
    video_id = _find(slug)
    try:
        queued = encode_again(video_id, names, Priority.of(priority))
    except NotAgain as error:
        raise click.ClickException(str(error)) from None
    wakeup.ring(())
    if as_json:
        click.echo(json.dumps({"video_id": video_id, "slug": slug, "priority": priority, "rungs": queued}))
    else:
        click.echo(f"{', '.join(queued)}: encoded again. Viewers get what there is until all of it is whole.")


def _find(slug: str) -> int:
    from sqlalchemy import select

    from ..extensions import db
    from ..models import Video

    query = select(Video.id).where(Video.slug == slug, Video.deleted_at.is_(None))
    video_id = db.session.scalar(query)
    if video_id is None:
        raise click.ClickException(f"There is no video {slug}; see: flask vlog list")
    return video_id
