"""Where the media of a video lie."""

from __future__ import annotations

from pathlib import Path

from ..config import settings
from ..models import Video


def video_folder(videos_dir: Path, video: Video) -> Path:
    return videos_dir / video.slug


def source_file(video: Video) -> Path:
    return settings().storage_path / video.source_path
