"""Making a finished encode the one viewers get: verified, folded, playlists on disk. Repeatable from the start."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from jobs.layout import ESSENTIAL
from jobs.states import JobState

from ..config import settings
from ..extensions import db, transaction
from ..models import Encode, Job, Rendition, Segment, Video
from ..storage import write_atomic
from .clock import database_now
from .events import EventKind, record
from .media_files import segment_name, video_folder
from .playlists import Grid, grid_of, master_text, media_text
from .queue import redo_jobs

logger = logging.getLogger(__name__)

MASTER = "master.m3u8"


def publish_finished() -> int:
    """Publish every encode whose essential jobs are all done; returns how many. Called after each finished job, and
    by the sweep for what a crash left between the two.
    """
    return sum(publish_encode(encode_id) for encode_id in _finished(db.session()))


def _finished(session: Session) -> list[int]:
    unfinished = select(Job.encode_id).where(Job.kind.in_(ESSENTIAL), Job.state != JobState.DONE)
    live = Encode.state.in_(("encoding", "viewable", "publishing"))
    return list(session.scalars(select(Encode.id).where(live, Encode.id.not_in(unfinished))))


def publish_encode(encode_id: int) -> bool:
    """False when something is missing: then what is missing is made again.

    1. every planned segment has a row, and its file has the size the row says
    2. playlists are written to disk, so that the folder also plays by itself
    3. one transaction folds the segment rows, ends the encode, and makes the video ready
    """
    grid = grid_of(db.session(), db.session().get_one(Encode, encode_id))
    video = db.session().get_one(Video, grid.encode.video_id)
    folder = video_folder(settings().videos_dir, video)
    missing = missing_segments(grid, folder)
    if missing:
        _make_again(encode_id, missing)
        return False
    _write_playlists(replace(grid, is_whole=True), folder)
    return _make_ready(encode_id)


def missing_segments(grid: Grid, folder: Path) -> set[tuple[str, int]]:
    """(rendition, index) of planned segments that have no row or no file of the right size."""
    missing = set()
    for row in grid.rows:
        for index in range(row.rendition.planned_segments):
            file = folder / segment_name(row.rendition.name, index)
            if index not in row.sizes or _size(file) != row.sizes[index]:
                missing.add((row.rendition.name, index))
    return missing


def _size(file: Path) -> int:
    try:
        return file.stat().st_size
    except FileNotFoundError:
        return -1


def _make_again(encode_id: int, missing: set[tuple[str, int]]) -> None:
    logger.error("segments are gone, made again", extra={"encode_id": encode_id, "count": len(missing)})
    with transaction() as session:
        encode = session.get_one(Encode, encode_id)
        for rendition in session.scalars(select(Rendition).where(Rendition.encode_id == encode_id)):
            gone = [index for name, index in missing if name == rendition.name]
            found = Segment.rendition_id == rendition.id, Segment.index.in_(gone)
            for segment in session.scalars(select(Segment).where(*found)):
                rendition.done_segments -= 1
                rendition.size_bytes -= segment.size_bytes
                session.delete(segment)
        redo_jobs(session, encode, missing, database_now(session))


def _write_playlists(grid: Grid, folder: Path) -> None:
    for row in grid.rows:
        text = media_text(grid, row, timeline="full", suffix=False)
        write_atomic(folder / f"{row.rendition.name}.m3u8", text.encode())
    write_atomic(folder / MASTER, master_text(grid, timeline="full", suffix=False).encode())


def _make_ready(encode_id: int) -> bool:
    with transaction() as session:
        encode = session.get_one(Encode, encode_id, with_for_update=True)
        if encode.state not in ("encoding", "viewable", "publishing"):
            return False  # somebody else was first, or it was cancelled meanwhile
        now = database_now(session)
        for row in grid_of(session, encode).rows:
            _fold(session, row.rendition)
            row.rendition.peak_bps, row.rendition.average_bps = row.peak_bps, row.average_bps
        encode.state, encode.finished_at = "done", now
        video = session.get_one(Video, encode.video_id)
        video.state, video.generation = "ready", encode.generation
        video.error_code = video.error_message = None
        record(session, video.id, EventKind.READY, now)
        return True


def _fold(session: Session, rendition: Rendition) -> None:
    """One compact index instead of a row a segment, so that a large library stays a small database."""
    query = select(Segment).where(Segment.rendition_id == rendition.id).order_by(Segment.index)
    segments = session.scalars(query).all()
    rendition.index = {
        "durations": [round(segment.duration_s, 6) for segment in segments],
        "sizes": [segment.size_bytes for segment in segments],
        "sha256": [segment.sha256 for segment in segments],
    }
    session.execute(delete(Segment).where(Segment.rendition_id == rendition.id))
