"""Uploads as they stand: their rows, and the files that hold their bytes."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from .. import storage
from ..config import settings
from ..extensions import db, transaction
from ..models import Upload, Video
from .incoming import Receiver, size_of

MAX_NAME = 255


class UploadError(Exception):
    """`code` is stable, `public_message` may be shown; `facts` are numbers for programs."""

    def __init__(self, code: str, public_message: str, **facts: int | str) -> None:
        super().__init__(public_message)
        self.code = code
        self.public_message = public_message
        self.facts = facts


@dataclass(frozen=True, slots=True)
class NewUpload:
    """What a client announces. `is_exact` is False when only an upper limit of the length is known."""

    length_bytes: int
    filename: str = ""
    title: str = ""
    description: str = ""
    idempotency_key: str | None = None
    is_exact: bool = True
    modified: str = ""  # the file's own time stamp as the client gives it: tells two files of one name apart


@dataclass(frozen=True, slots=True)
class Incoming:
    """An upload as it stands. `offset` is what is safe on disk."""

    id: str
    length_bytes: int
    offset: int
    filename: str
    title: str
    expires_at: datetime
    modified: str = ""
    is_exact: bool = True
    video_id: int | None = None
    slug: str | None = None

    @property
    def is_whole(self) -> bool:
        return self.is_exact and self.offset == self.length_bytes


@dataclass(frozen=True, slots=True)
class Received:
    """A finished upload."""

    video_id: int
    slug: str
    title: str


def look_up(upload_id: str) -> Incoming | None:
    row = db.session.get(Upload, upload_id, populate_existing=True)
    found = as_incoming(db.session(), row) if row is not None else None
    db.session.rollback()
    return found


def list_open_uploads() -> list[Incoming]:
    """Uploads that are not videos yet, oldest first."""
    rows = db.session.scalars(
        select(Upload).where(Upload.video_id.is_(None)).order_by(Upload.created_at)
    ).all()
    found = [as_incoming(db.session(), row) for row in rows]
    db.session.rollback()
    return found


def discard(upload_id: str) -> bool:
    """Nothing of an unfinished upload stays. A finished one only forgets its id. False when there was none."""
    with transaction() as session:
        upload = session.get(Upload, upload_id)
        if upload is None:
            return False
        remove_stale_names(session, path_of(upload_id))
        session.delete(upload)
    storage.remove(path_of(upload_id))
    return True


def remove_stale_names(session: Session, path: Path) -> None:
    """A crash around the commit of a video left a second name of this file that no row knows."""
    if not path.exists() or path.stat().st_nlink == 1:
        return
    for other in settings().uploads_dir.iterdir():
        name = str(other.relative_to(settings().storage_path))
        if other.samefile(path) and session.scalar(select(Video.id).where(Video.source_path == name)) is None:
            storage.remove(other)


def as_incoming(session: Session, row: Upload) -> Incoming:
    slug = title = None
    if row.video_id is not None:
        slug, title = session.execute(select(Video.slug, Video.title).where(Video.id == row.video_id)).one()
    return Incoming(
        id=row.id,
        length_bytes=row.length_bytes,
        offset=row.length_bytes if row.video_id is not None else size_of(path_of(row.id)) or 0,
        filename=row.filename,
        title=title or row.title,
        expires_at=row.expires_at,
        modified=str(row.extra.get("modified", "")),
        is_exact=bool(row.extra.get("is_exact", True)),
        video_id=row.video_id,
        slug=slug,
    )


def receiver_for(upload: Incoming) -> Receiver:
    return Receiver(
        path_of(upload.id),
        length=upload.length_bytes,
        reserve_bytes=settings().storage_reserve_bytes,
        is_exact=upload.is_exact,
    )


def path_of(upload_id: str) -> Path:
    return storage.safe_join(settings().incoming_dir, upload_id)


def one_line(text: str) -> str:
    """Text as a label: no line breaks or control signs, spaces folded, not too long."""
    return " ".join("".join(sign if sign.isprintable() else " " for sign in text).split())[:MAX_NAME]


def let_go_of_the_database() -> None:
    """No connection is held while bytes arrive or a child works: that can take hours."""
    db.session.rollback()


def as_json(upload: Incoming) -> dict[str, Any]:
    return {
        "id": upload.id,
        "filename": upload.filename,
        "title": upload.title,
        "modified": upload.modified,
        "length": upload.length_bytes,
        "offset": upload.offset,
        "expires_at": upload.expires_at.isoformat(),
        "video_id": upload.video_id,
        "slug": upload.slug,
    }
