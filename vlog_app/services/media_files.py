"""Where the media of a video lie: pictures and the first generation in its folder, later ones in `g2`, `g3` below."""

from __future__ import annotations

from pathlib import Path

from ..config import settings
from ..models import Video


def video_folder(videos_dir: Path, video: Video) -> Path:
    return videos_dir / video.slug


def generation_folder(videos_dir: Path, video: Video, generation: int) -> Path:
    """Where the renditions of one encode lie. No folder is used twice, so nothing that plays is ever written over."""
    folder = video_folder(videos_dir, video)
    return folder if generation == 1 else folder / f"g{generation}"


def source_file(video: Video) -> Path:
    return settings().storage_path / video.source_path
