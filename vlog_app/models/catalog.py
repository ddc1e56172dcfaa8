"""What viewers see: videos."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy import JSON, BigInteger, CheckConstraint, Index, String, Text
from sqlalchemy.orm import Mapped, mapped_column, relationship

from ..extensions import db
from .types import UtcDateTime

if TYPE_CHECKING:
    from .work import Encode

VIDEO_STATES = ("pending", "processing", "viewable", "ready", "failed")


class Video(db.Model):  # type: ignore[name-defined,misc]
    """One video. `state` is written by services.queue and services.publish only.

    `generation` is the encode viewers get; `source_path` is relative to the storage root; `poster_version` changes
    when the poster does, so that its URL may be cached for long.
    """

    __tablename__ = "videos"
    __table_args__ = (
        CheckConstraint(f"state IN {VIDEO_STATES}", name="state"),
        Index("ix_videos_listed", "deleted_at", "published_at"),
        {"sqlite_autoincrement": True},  # an id names a file: it must never come back
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    title: Mapped[str] = mapped_column(String(255))
    slug: Mapped[str] = mapped_column(String(255), unique=True)
    description: Mapped[str] = mapped_column(Text, default="")
    state: Mapped[str] = mapped_column(String(16), default="pending")
    error_code: Mapped[str | None] = mapped_column(String(64))
    error_message: Mapped[str | None] = mapped_column(String(500))
    source_path: Mapped[str] = mapped_column(String(255))
    source_name: Mapped[str] = mapped_column(String(255), default="")
    source_size_bytes: Mapped[int] = mapped_column(BigInteger)
    source: Mapped[dict[str, Any]] = mapped_column(JSON)  # encoder.model.Source as JSON
    duration_s: Mapped[float]
    width: Mapped[int]
    height: Mapped[int]
    generation: Mapped[int] = mapped_column(default=1)
    poster_version: Mapped[int] = mapped_column(default=0)
    storyboard_version: Mapped[int] = mapped_column(default=0)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    published_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    deleted_at: Mapped[datetime | None] = mapped_column(UtcDateTime)

    encodes: Mapped[list[Encode]] = relationship(
        back_populates="video", order_by="Encode.generation", lazy="raise"
    )
