"""The end of an upload: judged, and made a video exactly once; or forgotten when nobody came back for it."""

from __future__ import annotations

import logging
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import select
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from encoder.errors import SourceUnreadable
from encoder.model import Source
from encoder.probe import probe

from .. import storage
from ..config import settings
from ..extensions import db, transaction
from ..models import Upload, Video
from . import planning
from .incoming import Busy, Gone
from .slugs import unique_slug
from .upload_records import (
    Incoming,
    Received,
    discard,
    let_go_of_the_database,
    list_open_uploads,
    look_up,
    one_line,
    receiver_for,
    remove_stale_names,
)

logger = logging.getLogger(__name__)

ORPHAN_AGE_S = 3600.0  # a file without a row may belong to a row that is about to be committed


def finish_upload(upload_id: str) -> Received:
    """Turn a complete upload into a video: check, place, and commit row and work together. Exactly once:

    1. under the file's lock, a second caller waits, then finds the video;
    2. the file is probed in a limited child; a refused one leaves nothing behind;
    3. one transaction: video row, second name for the file, plan, and the upload's `video_id`;
    4. the first name goes. A crash before 3 commits is found by `finish_interrupted_uploads`, one after it by
       `expire_uploads`.
    """
    upload = look_up(upload_id)
    if upload is None:
        raise Gone
    if upload.video_id is None:
        upload = _finish_locked(upload)
    assert upload.video_id is not None and upload.slug is not None
    return Received(upload.video_id, upload.slug, upload.title)


def _finish_locked(upload: Incoming) -> Incoming:
    try:
        with receiver_for(upload) as receiver:
            path = receiver.path
            let_go_of_the_database()
            source = probe(path)
            video_id = _commit(upload.id, path, source)
    except SourceUnreadable:
        logger.info("upload refused", extra={"action": "upload_refused", "upload": upload.id})
        discard(upload.id)
        raise
    except Gone:
        finished = look_up(upload.id)
        if finished is None or finished.video_id is None:
            raise
        return finished
    storage.remove(path)
    logger.info("upload finished", extra={"action": "upload_finished", "video_id": video_id})
    finished = look_up(upload.id)
    assert finished is not None
    return finished


def _commit(upload_id: str, path: Path, source: Source) -> int:
    placed: list[Path] = []
    try:
        with transaction() as session:
            upload = session.get(Upload, upload_id)
            if upload is None:
                raise Gone
            remove_stale_names(session, path)
            video = _insert_video(session, upload, source)
            target = storage.safe_join(settings().uploads_dir, f"{video.id}.{source.extension}")
            video.source_path = str(target.relative_to(settings().storage_path))
            storage.place(path, target)
            placed.append(target)
            planning.plan_encode(session, video, source)
            upload.video_id = video.id
            return int(video.id)
    except BaseException as error:
        for target in placed:
            if not (_may_be_committed(error) and path.exists()):
                storage.unplace(path, target)
        raise


def _may_be_committed(error: BaseException) -> bool:
    """The database may have committed and died before it said so. Both names of the file stay: the next one who looks
    removes the one that no row knows.
    """
    return isinstance(error, DBAPIError)


def _insert_video(session: Session, upload: Upload, source: Source) -> Video:
    now = datetime.now(UTC)
    title = upload.title or one_line(_stem(upload.filename)) or "Untitled"
    video = Video(
        title=title,
        slug=unique_slug(session, title),
        description=upload.description,
        source_path="",
        source_name=upload.filename,
        source_size_bytes=source.size_bytes,
        source=replace(source, keyframes=None).to_json(),
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
    known = {row.id: row.video_id for row in db.session.execute(select(Upload.id, Upload.video_id))}
    db.session.rollback()
    for path in folder.iterdir():
        facts = path.stat()
        is_old = now.timestamp() - facts.st_mtime > ORPHAN_AGE_S
        is_second_name = known.get(path.name) is not None and facts.st_nlink > 1
        if is_second_name or (is_old and known.get(path.name, 0) is not None):
            storage.remove(path)
