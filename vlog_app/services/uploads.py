"""Getting a file in: an upload is announced, its room reserved, and its bytes taken; the last one finishes it."""

from __future__ import annotations

import base64
import secrets
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from sqlalchemy import func, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from encoder.boxes import human_bytes
from encoder.errors import SourceUnreadable

from .. import storage
from ..config import settings
from ..extensions import transaction
from ..models import Upload, Video
from .incoming import CHECKSUMS, Busy, Gone, Receiver, TooLong, size_of
from .upload_finish import expire_uploads, finish_interrupted_uploads, finish_upload
from .upload_records import (
    MAX_NAME,
    Incoming,
    NewUpload,
    Received,
    UploadError,
    as_incoming,
    as_json,
    discard,
    let_go_of_the_database,
    list_open_uploads,
    look_up,
    one_line,
    path_of,
    receiver_for,
)

__all__ = [
    "MAX_NAME",
    "Checksum",
    "Incoming",
    "NewUpload",
    "Received",
    "UploadError",
    "append",
    "as_json",
    "check_length",
    "create_upload",
    "describe_whole",
    "discard",
    "expire_uploads",
    "find_upload",
    "finish_interrupted_uploads",
    "finish_upload",
    "list_open_uploads",
    "parse_checksum",
    "receive_whole",
    "rename_upload",
]

UPLOAD_LIFE = timedelta(hours=24)  # after the last byte; then the part that came is thrown away
MAX_OPEN = 100  # uploads under way at once
MAX_DESCRIPTION = 20_000


@dataclass(frozen=True, slots=True)
class Checksum:
    algorithm: str
    digest: bytes = field(repr=False)


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
            return as_incoming(session, upload)
    except IntegrityError:  # two requests with the same key at once: the other one made it
        with transaction() as session:
            upload = _same_key(session, new.idempotency_key)
            if upload is None:
                raise
            return as_incoming(session, upload)


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
    spoken_for = sum(max(0, upload.length_bytes - (size_of(path_of(upload.id)) or 0)) for upload in live)
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
        filename=one_line(new.filename),
        title=one_line(new.title),
        description=new.description.strip()[:MAX_DESCRIPTION],
        extra={"is_exact": new.is_exact, "modified": new.modified[:32]},
        created_at=now,
        expires_at=now + UPLOAD_LIFE,
    )
    session.add(upload)
    session.flush()
    storage.make_folder(settings().incoming_dir)
    storage.create_empty(path_of(upload.id))
    return upload


def find_upload(upload_id: str) -> Incoming | None:
    """Where an upload stands; one that had everything but was interrupted before its end is finished first."""
    found = look_up(upload_id)
    if found is not None and found.is_whole and found.video_id is None:
        try:
            finish_upload(upload_id)
        except (Busy, Gone):
            return found
        return look_up(upload_id)
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
    upload = look_up(upload_id)
    if upload is None:
        raise Gone
    if upload.video_id is not None:
        return _append_to_finished(upload, offset)
    let_go_of_the_database()
    try:
        with receiver_for(upload) as receiver:
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
        let_go_of_the_database()
        with receiver_for(upload) as receiver:
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
        upload.title = one_line(title)
        upload.description = description.strip()[:MAX_DESCRIPTION]
        upload.length_bytes = size_of(path_of(upload_id)) or 0
        upload.extra = {"is_exact": True}


def rename_upload(upload_id: str, title: str) -> None:
    """A title typed while the file is still on its way."""
    with transaction() as session:
        upload = session.get(Upload, upload_id)
        if upload is None or upload.video_id is not None:
            raise Gone
        upload.title = one_line(title)


def _keep_alive(upload_id: str) -> None:
    with transaction() as session:
        upload = session.get(Upload, upload_id)
        if upload is not None:
            upload.expires_at = datetime.now(UTC) + UPLOAD_LIFE


def parse_checksum(header: str) -> Checksum:
    """tus: `sha256 <base64>`. Raises ValueError."""
    algorithm, _, digest = header.partition(" ")
    if algorithm not in CHECKSUMS:
        raise ValueError("unknown checksum algorithm")
    return Checksum(algorithm, base64.b64decode(digest, validate=True))
