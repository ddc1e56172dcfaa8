"""Files of rungs that a new generation takes over from the one before: the same bytes under a second name."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy.orm import Session

from encoder.names import CMAF, init_name, segment_name

from ..config import settings
from ..models import Video
from ..storage import add_name, fsync_dir
from .media_files import generation_folder
from .playlists import Availability, Row


def take_over(session: Session, made: Availability, folder: Path) -> None:
    """Repeatable from the start. What is missing there is missing here; whoever publishes looks."""
    taken = [row for row in made.rows if row.rendition.taken_from is not None]
    if not taken:
        return
    video = session.get_one(Video, made.encode.video_id)
    changed: set[Path] = set()
    for row in taken:
        former = generation_folder(settings().videos_dir, video, row.rendition.taken_from or 1)
        for name in _files(made, row):
            if add_name(former / name, folder / name):
                changed.add((folder / name).parent)
    for parent in changed:
        fsync_dir(parent)


def _files(made: Availability, row: Row) -> list[str]:
    name, container = row.rendition.name, row.container(made.plan)
    segments = [segment_name(container, name, index) for index in range(row.rendition.planned_segments)]
    headers = [init_name(name, number) for number in range(len(row.rendition.inits))]
    return [*headers, *segments] if container == CMAF else segments
