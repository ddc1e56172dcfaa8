"""Getting a file in: an upload is announced, receives bytes, is judged, and becomes a video exactly once."""

from __future__ import annotations

import base64
import logging
import secrets
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from encoder.errors import SourceUnreadable
from encoder.layout import human_bytes
from encoder.model import Source
from encoder.probe import probe

from .. import storage
from ..config import settings
from ..extensions import db, transaction
from ..models import Upload, Video
from . import queue
from .incoming import CHECKSUMS, Busy, Gone, Receiver, TooLong, size_of
from .slugs import unique_slug

logger = logging.getLogger(__name__)

UPLOAD_LIFE = timedelta(hours=24)  # after the last byte; then the part that came is thrown away
MAX_OPEN = 100  # uploads under way at once
MAX_NAME = 255
MAX_DESCRIPTION = 20_000
ORPHAN_AGE_S = 3600.0  # a file without a row may belong to a row that is about to be committed


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


@dataclass(frozen=True, slots=True)
class Checksum:
    algorithm: str
    digest: bytes = field(repr=False)


# -- announcing ---------------------------------------------------------------------------------------------------


def create_upload(new: NewUpload, now: datetime | None = None) -> Incoming:
    """Announce an upload and reserve its room. The same idempotency key answers with the same upload.

    Raises UploadError (`upload_too_large`, `empty_file`, `too_many_uploads`), StorageLow, StorageMissing.
    """
    check_length(new.length_bytes)
    now = now or datetime.now(UTC)
    try:
        with transaction() as session:
            upload = _same_key(session, new.idempotency_key)
            if upload is None:
                _open_storage(session)
                _reserve(session, new.length_bytes)
                upload = _insert(session, new, now)
            return _as_incoming(session, upload)
    except IntegrityError:  # two requests with the same key at once: the other one made it
        with transaction() as session:
            upload = _same_key(session, new.idempotency_key)
            if upload is None:
                raise
            return _as_incoming(session, upload)


def check_length(length: int) -> None:
    most = settings().max_upload_size
    if length > most:
        raise UploadError(
            "upload_too_large",
            f"This file is {human_bytes(length)}; this site takes at most {human_bytes(most)}. Nothing was kept.",
            limit_bytes=most,
            needed_bytes=length,
        )
    if length == 0:
        raise UploadError("empty_file", "This file is empty. Nothing was kept. Export it again.")


def _same_key(session: Session, key: str | None) -> Upload | None:
    if not key:
        return None
    return session.scalar(select(Upload).where(Upload.idempotency_key == key))


def _open_storage(session: Session) -> None:
    has_library = session.scalar(select(func.count(Video.id))) or 0
    storage.open_storage(settings().storage_path, has_library=bool(has_library))


def _reserve(session: Session, length: int) -> None:
    """Every byte announced and not yet here is spoken for."""
    live = session.scalars(select(Upload).where(Upload.video_id.is_(None))).all()
    if len(live) >= MAX_OPEN:
        raise UploadError(
            "too_many_uploads",
            f"{MAX_OPEN} uploads are under way already. Finish or cancel some, then try again. Nothing was sent.",
        )
    spoken_for = sum(max(0, upload.length_bytes - (size_of(_path(upload.id)) or 0)) for upload in live)
    free = storage.free_bytes(settings().storage_path) - settings().storage_reserve_bytes - spoken_for
    if length > free:
        raise storage.StorageLow(
            f"{human_bytes(length)} needed, {human_bytes(max(0, free))} free on the disk that holds the library. "
            "Nothing was sent. Free space, then try again.",
            needed_bytes=length,
            free_bytes=max(0, free),
        )


def _insert(session: Session, new: NewUpload, now: datetime) -> Upload:
    upload = Upload(
        id=secrets.token_hex(16),
        idempotency_key=new.idempotency_key,
        length_bytes=new.length_bytes,
        filename=_one_line(new.filename),
        title=_one_line(new.title),
        description=new.description.strip()[:MAX_DESCRIPTION],
        extra={"is_exact": new.is_exact, "modified": new.modified[:32]},
        created_at=now,
        expires_at=now + UPLOAD_LIFE,
    )
    session.add(upload)
    session.flush()
    storage.make_folder(settings().incoming_dir)
    storage.create_empty(_path(upload.id))
    return upload


def _one_line(text: str) -> str:
    """Text as a label: no line breaks or control signs, spaces folded, not too long."""
    return " ".join("".join(sign if sign.isprintable() else " " for sign in text).split())[:MAX_NAME]


# -- receiving ----------------------------------------------------------------------------------------------------


def find_upload(upload_id: str) -> Incoming | None:
    """Where an upload stands; one that had everything but was interrupted before its end is finished first."""
    found = _look_up(upload_id)
    if found is not None and found.is_whole and found.video_id is None:
        try:
            finish_upload(upload_id)
        except (Busy, Gone):
            return found
        return _look_up(upload_id)
    return found


def append(
    upload_id: str,
    offset: int,
    pieces: Iterable[bytes],
    *,
    announced: int | None = None,
    checksum: Checksum | None = None,
) -> tuple[int, Received | None]:
    """Append `pieces` (`announced` bytes, when that is known) at `offset`; the last byte finishes the upload.

    Returns the new offset, and the video once there is one. Raises Gone, Busy, TooLong, UploadError
    (`offset_mismatch`, `checksum_mismatch`), StorageLow (bytes are kept), SourceUnreadable (nothing is kept), and
    whatever `pieces` raises when the connection breaks (bytes are kept).
    """
    upload = _look_up(upload_id)
    if upload is None:
        raise Gone
    if upload.video_id is not None:
        return _append_to_finished(upload, offset)
    _let_go_of_the_database()
    try:
        with _receiver(upload) as receiver:
            if offset != receiver.offset:
                raise UploadError("offset_mismatch", "This part does not begin where the last one ended.")
            if announced is not None and offset + announced > upload.length_bytes:
                raise TooLong
            _write(receiver, pieces, checksum)
            end = receiver.offset
    except SourceUnreadable:
        discard(upload_id)
        raise
    _keep_alive(upload_id)
    return end, finish_upload(upload_id) if end == upload.length_bytes else None


def _append_to_finished(upload: Incoming, offset: int) -> tuple[int, Received | None]:
    """A repeated last request: nothing is written, the answer is the same."""
    if offset > upload.length_bytes:
        raise UploadError("offset_mismatch", "This part does not begin where the last one ended.")
    return upload.length_bytes, finish_upload(upload.id)


def _write(receiver: Receiver, pieces: Iterable[bytes], checksum: Checksum | None) -> None:
    start, digest = receiver.offset, CHECKSUMS[checksum.algorithm]() if checksum else None
    for piece in pieces:
        receiver.write(piece)
        if digest is not None:
            digest.update(piece)
    if checksum and digest is not None and digest.digest() != checksum.digest:
        receiver.rewind_to(start)
        raise UploadError("checksum_mismatch", "This part arrived damaged and was not kept. Send it again.")


def receive_whole(new: NewUpload, pieces: Iterator[bytes]) -> str:
    """Take a file that comes in one piece, of a length known only at its end; returns the upload's id.

    Not resumable: whatever goes wrong, nothing is kept.
    """
    upload = create_upload(new)
    if upload.video_id is not None:  # the same key again, after an answer that got lost
        return upload.id
    try:
        _let_go_of_the_database()
        with _receiver(upload) as receiver:
            receiver.rewind_to(0)
            for piece in pieces:
                receiver.write(piece)
            if not receiver.offset:
                raise UploadError("empty_file", "This file is empty. Nothing was kept. Export it again.")
            receiver.length = receiver.offset
            receiver.judge()
        return upload.id
    except Busy:
        raise
    except TooLong:
        discard(upload.id)
        check_length(upload.length_bytes + 1)
        raise
    except BaseException:
        discard(upload.id)
        raise


def describe_whole(upload_id: str, *, title: str, description: str) -> None:
    """The fields of a form may come after its file: from here on the upload is like any other that is complete."""
    with transaction() as session:
        upload = session.get(Upload, upload_id)
        if upload is None:
            raise Gone
        if upload.video_id is not None:
            return
        upload.title = _one_line(title)
        upload.description = description.strip()[:MAX_DESCRIPTION]
        upload.length_bytes = size_of(_path(upload_id)) or 0
        upload.extra = {"is_exact": True}


def rename_upload(upload_id: str, title: str) -> None:
    """A title typed while the file is still on its way."""
    with transaction() as session:
        upload = session.get(Upload, upload_id)
        if upload is None or upload.video_id is not None:
            raise Gone
        upload.title = _one_line(title)


def discard(upload_id: str) -> bool:
    """Nothing of an unfinished upload stays. A finished one only forgets its id. False when there was none."""
    with transaction() as session:
        upload = session.get(Upload, upload_id)
        if upload is None:
            return False
        session.delete(upload)
    storage.remove(_path(upload_id))
    return True


def _keep_alive(upload_id: str) -> None:
    with transaction() as session:
        upload = session.get(Upload, upload_id)
        if upload is not None:
            upload.expires_at = datetime.now(UTC) + UPLOAD_LIFE


# -- finishing ----------------------------------------------------------------------------------------------------


def finish_upload(upload_id: str) -> Received:
    """Turn a complete upload into a video: check, place, and commit row and work together. Exactly once:

    1. under the file's lock, a second caller waits, then finds the video;
    2. the file is probed in a limited child; a refused one leaves nothing behind;
    3. one transaction: video row, second name for the file, plan, and the upload's `video_id`;
    4. the first name goes. A crash before 3 commits is found by `finish_interrupted_uploads`, one after it by
       `expire_uploads`.
    """
    upload = _look_up(upload_id)
    if upload is None:
        raise Gone
    if upload.video_id is None:
        upload = _finish_locked(upload)
    assert upload.video_id is not None and upload.slug is not None
    return Received(upload.video_id, upload.slug, upload.title)


def _finish_locked(upload: Incoming) -> Incoming:
    try:
        with _receiver(upload) as receiver:
            path = receiver.path
            _let_go_of_the_database()
            source = probe(path)
            video_id = _commit(upload.id, path, source)
    except SourceUnreadable:
        logger.info("upload refused", extra={"action": "upload_refused", "upload": upload.id})
        discard(upload.id)
        raise
    except Gone:
        finished = _look_up(upload.id)
        if finished is None or finished.video_id is None:
            raise
        return finished
    storage.remove(path)
    logger.info("upload finished", extra={"action": "upload_finished", "video_id": video_id})
    finished = _look_up(upload.id)
    assert finished is not None
    return finished


def _commit(upload_id: str, path: Path, source: Source) -> int:
    placed: list[Path] = []
    try:
        with transaction() as session:
            upload = session.get(Upload, upload_id)
            if upload is None:
                raise Gone
            _remove_stale_names(session, path)
            video = _insert_video(session, upload, source)
            target = storage.safe_join(settings().uploads_dir, f"{video.id}.{source.extension}")
            video.source_path = str(target.relative_to(settings().storage_path))
            storage.place(path, target)
            placed.append(target)
            queue.plan_encode(session, video, source)
            upload.video_id = video.id
            return int(video.id)
    except BaseException:
        for target in placed:
            storage.unplace(path, target)
        raise


def _remove_stale_names(session: Session, path: Path) -> None:
    """A crash just before the commit left a second name of this file that no row knows."""
    if path.stat().st_nlink == 1:
        return
    for other in settings().uploads_dir.iterdir():
        name = str(other.relative_to(settings().storage_path))
        if other.samefile(path) and session.scalar(select(Video.id).where(Video.source_path == name)) is None:
            storage.remove(other)


def _insert_video(session: Session, upload: Upload, source: Source) -> Video:
    now = datetime.now(UTC)
    title = upload.title or _one_line(_stem(upload.filename)) or "Untitled"
    video = Video(
        title=title,
        slug=unique_slug(session, title),
        description=upload.description,
        source_path="",
        source_name=upload.filename,
        source_size_bytes=source.size_bytes,
        source=source.to_json(),
        duration_s=source.duration_s,
        width=source.width,
        height=source.height,
        created_at=now,
        published_at=now,
    )
    session.add(video)
    session.flush()
    return video


def _stem(filename: str) -> str:
    """`Holiday 2026.final.mp4` is called `Holiday 2026.final`."""
    stem, dot, _ = filename.rpartition(".")
    return stem if dot and stem else filename


# -- housekeeping -------------------------------------------------------------------------------------------------


def finish_interrupted_uploads() -> int:
    """Finish what had all its bytes when the server went away. Called at start and by the scheduler."""
    finished = 0
    for upload in list_open_uploads():
        if not upload.is_whole:
            continue
        try:
            finish_upload(upload.id)
            finished += 1
        except (Busy, Gone, SourceUnreadable):
            continue  # somebody else has it, or it was no film and is gone
    return finished


def expire_uploads(now: datetime | None = None) -> int:
    """Throw away uploads that stood still for a day, and files that belong to none."""
    now = now or datetime.now(UTC)
    old = db.session.scalars(select(Upload.id).where(Upload.expires_at <= now)).all()
    db.session.rollback()
    for upload_id in old:
        discard(upload_id)
    _remove_orphans(now)
    return len(old)


def _remove_orphans(now: datetime) -> None:
    folder = settings().incoming_dir
    if not folder.is_dir():
        return
    known = set(db.session.scalars(select(Upload.id).where(Upload.video_id.is_(None))))
    db.session.rollback()
    for path in folder.iterdir():
        age_s = now.timestamp() - path.stat().st_mtime
        if path.name not in known and age_s > ORPHAN_AGE_S:
            storage.remove(path)


def list_open_uploads() -> list[Incoming]:
    """Uploads that are not videos yet, oldest first."""
    rows = db.session.scalars(
        select(Upload).where(Upload.video_id.is_(None)).order_by(Upload.created_at)
    ).all()
    found = [_as_incoming(db.session(), row) for row in rows]
    db.session.rollback()
    return found


# -- small ones ---------------------------------------------------------------------------------------------------


def parse_checksum(header: str) -> Checksum:
    """tus: `sha256 <base64>`. Raises ValueError."""
    algorithm, _, digest = header.partition(" ")
    if algorithm not in CHECKSUMS:
        raise ValueError("unknown checksum algorithm")
    return Checksum(algorithm, base64.b64decode(digest, validate=True))


def _look_up(upload_id: str) -> Incoming | None:
    row = db.session.get(Upload, upload_id, populate_existing=True)
    found = _as_incoming(db.session(), row) if row is not None else None
    db.session.rollback()
    return found


def _as_incoming(session: Session, row: Upload) -> Incoming:
    slug = title = None
    if row.video_id is not None:
        slug, title = session.execute(select(Video.slug, Video.title).where(Video.id == row.video_id)).one()
    return Incoming(
        id=row.id,
        length_bytes=row.length_bytes,
        offset=row.length_bytes if row.video_id is not None else size_of(_path(row.id)) or 0,
        filename=row.filename,
        title=title or row.title,
        expires_at=row.expires_at,
        modified=str(row.extra.get("modified", "")),
        is_exact=bool(row.extra.get("is_exact", True)),
        video_id=row.video_id,
        slug=slug,
    )


def _receiver(upload: Incoming) -> Receiver:
    return Receiver(
        _path(upload.id),
        length=upload.length_bytes,
        reserve_bytes=settings().storage_reserve_bytes,
        is_exact=upload.is_exact,
    )


def _path(upload_id: str) -> Path:
    return storage.safe_join(settings().incoming_dir, upload_id)


def _let_go_of_the_database() -> None:
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
