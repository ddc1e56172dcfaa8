"""Addresses of a video's files: fixed by the HTTP contract, the same on the public and the admin surface."""

from __future__ import annotations

from ...models import Video


def poster_url(video: Video) -> str | None:
    """None until there is a poster; the version lets it be cached for long."""
    if not video.poster_version:
        return None
    return f"/videos/{video.slug}/thumbnail.jpg?v={video.poster_version}"


def storyboard_url(video: Video) -> str | None:
    if not video.storyboard_version:
        return None
    return f"/videos/{video.slug}/storyboard.vtt?v={video.storyboard_version}"


def master_url(video: Video) -> str:
    """Our player gets the whole timeline from the first segment on."""
    return f"/videos/{video.slug}/master.m3u8?timeline=full"


def progress_url(video: Video) -> str:
    return f"/api/videos/{video.slug}/progress"
