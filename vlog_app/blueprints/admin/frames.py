"""Posters beside the sign-in form: only of films that anyone may see."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from sqlalchemy import ColumnElement, and_, select

from ...config import settings
from ...extensions import db
from ...models import Video
from ...services.media_files import video_folder

LOGIN_FRAMES = 18
POSTER_FILE = "thumbnail.jpg"


def posters(now: datetime) -> list[Video]:
    """The newest first."""
    query = select(Video).where(_has_public_poster(now)).order_by(Video.published_at.desc())
    return list(db.session.scalars(query.limit(LOGIN_FRAMES)))


def poster_of(slug: str, now: datetime) -> Path | None:
    """The poster file of a film anyone may see; None for every other."""
    video = db.session.scalars(select(Video).where(Video.slug == slug, _has_public_poster(now))).one_or_none()
    return video_folder(settings().videos_dir, video) / POSTER_FILE if video else None


def _has_public_poster(now: datetime) -> ColumnElement[bool]:
    return and_(
        Video.deleted_at.is_(None),
        Video.published_at <= now,
        Video.state.in_(("viewable", "ready")),
        Video.poster_version > 0,
    )
