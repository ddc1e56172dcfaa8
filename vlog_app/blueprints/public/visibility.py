"""Who may see a video: one rule for pages, media and JSON."""

from __future__ import annotations

from datetime import UTC, datetime

from flask import current_app

from ...models import Video


def is_visible(video: Video) -> bool:
    """Deleted: nobody. Not (yet) published: the owner's surface only, which asks for a sign-in by itself."""
    if video.deleted_at is not None:
        return False
    if current_app.config["VLOG_SURFACE"] == "admin":
        return True
    return video.published_at is not None and video.published_at <= datetime.now(UTC)
