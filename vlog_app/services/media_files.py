"""Where the media of a video lie: pictures and the first generation in its folder, later ones in `g2`, `g3` below."""

from __future__ import annotations

from pathlib import Path

from encoder.errors import SourceUnreadable
from jobs.source_state import SourceReplaced
from jobs.wire import LeaseCode

from ..config import settings
from ..models import Video


class SourceGone(SourceUnreadable):
    code = LeaseCode.NO_SOURCE

    def __init__(self) -> None:
        super().__init__("The source file is gone from the storage.")


def video_folder(videos_dir: Path, video: Video) -> Path:
    return videos_dir / video.slug


def generation_folder(videos_dir: Path, video: Video, generation: int) -> Path:
    """Where the renditions of one encode lie. No folder is used twice, so nothing that plays is ever written over."""
    folder = video_folder(videos_dir, video)
    return folder if generation == 1 else folder / f"g{generation}"


def source_file(video: Video) -> Path:
    return settings().storage_path / video.source_path


def source_to_read(video: Video) -> Path:
    """The source, for a job that begins to read it. Raises SourceGone, or SourceReplaced when it is not
    the file that the film was planned from.
    """
    path = source_file(video)
    try:
        size = path.stat().st_size
    except FileNotFoundError:
        raise SourceGone from None
    if size != video.source_size_bytes:
        raise SourceReplaced
    return path
