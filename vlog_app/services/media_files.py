"""Where the media of a video lie. Pure paths."""

from __future__ import annotations

from pathlib import Path

from ..models import Video


def video_folder(videos_dir: Path, video: Video) -> Path:
    return videos_dir / video.slug
