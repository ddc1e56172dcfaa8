"""The encodes of a video: the one that viewers get, and at times a later one that is being made beside it."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Select, and_, or_, select
from sqlalchemy.orm import Session

from ..config import settings
from ..models import Encode, Rendition, Video
from .media_files import generation_folder

AT_WORK = ("planned", "encoding", "viewable", "publishing")


def folder_of(session: Session, encode: Encode) -> Path:
    """Where its renditions lie."""
    return generation_folder(
        settings().videos_dir, session.get_one(Video, encode.video_id), encode.generation
    )


def plays(session: Session, encode: Encode) -> bool:
    """Is it the one that viewers get?"""
    return session.get_one(Video, encode.video_id).generation == encode.generation


def live_encode(session: Session, video: Video) -> Encode | None:
    query = select(Encode).where(Encode.video_id == video.id, Encode.generation == video.generation)
    return session.scalars(query).first()


def encode_beside(session: Session, video: Video) -> Encode | None:
    """The later generation that is being made, or that failed; None when there is none, or it was called off."""
    later = Encode.generation > video.generation, Encode.state != "cancelled"
    query = select(Encode).where(Encode.video_id == video.id, *later)
    return session.scalars(query.order_by(Encode.generation.desc())).first()


def former_generations(session: Session, video: Video) -> list[int]:
    """Those that viewers got before, as long as something of them may be on the disk."""
    query = select(Encode.generation).where(Encode.video_id == video.id, Encode.superseded_at.is_not(None))
    there = select(Rendition.id).where(Rendition.encode_id == Encode.id).exists()
    return list(session.scalars(query.where(there)))


def current_encodes() -> Select[Encode]:
    """Of each video the encode that viewers get and the one beside it, the latter first. Joined with Video."""
    beside = and_(Encode.generation > Video.generation, Encode.state != "cancelled")
    return (
        select(Encode)
        .join(Video, Video.id == Encode.video_id)
        .where(Video.deleted_at.is_(None), or_(Encode.generation == Video.generation, beside))
        .order_by(Encode.generation.desc())
    )
