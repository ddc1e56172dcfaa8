"""Encodes that nobody gets any more: first nobody is told of their files, then the files go, then their rows.

Each step may be repeated, so a crash between two is made good by the next round. Rows say what may go; a folder that
they do not know is never touched.
"""

from __future__ import annotations

import logging
import re
import shutil
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from ..config import settings
from ..extensions import db, transaction
from ..models import Encode, Rendition, Video
from ..storage import MARKER, fsync_dir
from .clock import database_now
from .media_files import generation_folder

logger = logging.getLogger(__name__)

LINGER_S = 60.0  # a playlist that was given out the moment before still names the files
ENDED = ("failed", "cancelled")
RUNG_FILE = re.compile(r"[a-z0-9]+(-[a-z0-9]+)?(_[0-9]{4,6}\.ts|\.m3u8)|manifest\.mpd")
RUNG_FILE_CMAF = re.compile(r"init(_[0-9]{1,3})?\.mp4|seg_[0-9]{4,6}\.m4s|stream\.m3u8")
LATER_FOLDER = re.compile(r"g[0-9]+")
MASTER = "master.m3u8"


def retire_encodes() -> int:
    """One round; returns of how many encodes the files went."""
    if not _is_our_storage():
        return 0
    with transaction() as session:
        now = database_now(session)
        for encode in _done_with(session, now):
            encode.retired_at = now
    return sum(_remove(encode_id) for encode_id in _removable(db.session()))


def remove_leftovers() -> int:
    """Files of encodes whose rows went: somebody was killed in between, or still wrote a playlist. How many went."""
    if not _is_our_storage():
        return 0
    session = db.session()
    there = select(Rendition.id).where(Rendition.encode_id == Encode.id).exists()
    query = (
        select(Encode).join(Video, Video.id == Encode.video_id).where(Encode.retired_at.is_not(None), ~there)
    )
    return sum(_remove_files(session, encode) for encode in session.scalars(query).all())


def _is_our_storage() -> bool:
    """Not an empty folder where a disk is not mounted."""
    return (settings().storage_path / MARKER).is_file()


def _done_with(session: Session, now: datetime) -> Iterator[Encode]:
    """It failed beside what plays, or whoever began to watch it before another took its place has seen its end."""
    former = Encode.generation != Video.generation
    query = select(Encode, Video.duration_s).join(Video, Video.id == Encode.video_id)
    query = query.where(Encode.retired_at.is_(None), former).with_for_update(of=Encode, skip_locked=True)
    for encode, duration_s in session.execute(query):
        kept = timedelta(seconds=settings().old_files_kept + duration_s)
        played_until = encode.superseded_at
        if encode.state in ENDED if played_until is None else played_until + kept <= now:
            yield encode


def _removable(session: Session) -> list[int]:
    linger = timedelta(seconds=min(LINGER_S, settings().old_files_kept))
    until = database_now(session) - linger
    there = select(Rendition.id).where(Rendition.encode_id == Encode.id).exists()
    unseen = Encode.superseded_at.is_(None)
    query = select(Encode.id).where(there, Encode.retired_at.is_not(None))
    return list(session.scalars(query.where(unseen | (Encode.retired_at <= until))))


def _remove(encode_id: int) -> bool:
    session = db.session()
    encode = session.get_one(Encode, encode_id)
    _remove_files(session, encode)
    with transaction() as writing:
        writing.execute(delete(Rendition).where(Rendition.encode_id == encode_id))
    about = {"action": "encode_retired", "video_id": encode.video_id, "generation": encode.generation}
    logger.info("files of a former encode removed", extra=about)
    return True


def _remove_files(session: Session, encode: Encode) -> bool:
    """False: there were none."""
    video = session.get_one(Video, encode.video_id)
    if video.generation == encode.generation:
        return False  # never what plays
    folder = generation_folder(settings().videos_dir, video, encode.generation)
    if encode.generation == 1:
        return _clear_first(folder)
    if not folder.is_dir():
        return False
    shutil.rmtree(folder)
    fsync_dir(folder.parent)
    return True


def _clear_first(folder: Path) -> bool:
    """The first generation lies among the pictures of the video, and its later generations."""
    if not folder.is_dir():
        return False
    names = [entry for entry in folder.iterdir() if entry.name != MASTER]
    files = [entry for entry in names if RUNG_FILE.fullmatch(entry.name) and entry.is_file()]
    for file in files:
        file.unlink(missing_ok=True)
    folders = [entry for entry in names if entry.is_dir() and not LATER_FOLDER.fullmatch(entry.name)]
    gone = [_clear_rendition(each) for each in folders]
    fsync_dir(folder)
    return bool(files) or any(gone)


def _clear_rendition(folder: Path) -> bool:
    files = [entry for entry in folder.iterdir() if RUNG_FILE_CMAF.fullmatch(entry.name)]
    for file in files:
        file.unlink(missing_ok=True)
    with suppress(OSError):
        folder.rmdir()  # something else is in it: it stays
    return bool(files)
