"""Making a finished encode the one viewers get: verified, folded, playlists on disk. Repeatable from the start."""

from __future__ import annotations

import logging
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from encoder.model import EncodePlan
from encoder.names import CMAF, init_name, playlist_name, segment_name
from jobs.layout import COPY, ENCODE, ESSENTIAL
from jobs.states import AttemptOutcome, JobState

from ..extensions import db, transaction
from ..models import Attempt, Encode, Job, Rendition, Segment, Video
from ..storage import write_atomic
from .clock import database_now
from .events import EventKind, record
from .generations import folder_of, live_encode, plays
from .manifest import manifest_text
from .playlists import Availability, Row, availability_of, master_text, media_text
from .queue import give_up, give_up_copy, stop_jobs
from .remaking import make_own, queue_parts, unfold
from .samples import Cell, HandedIn, damaged_segments, handed_in
from .taking_over import take_over

logger = logging.getLogger(__name__)

MASTER, MANIFEST = "master.m3u8", "manifest.mpd"
MAX_REDOS = 1  # how often a job is done again because of what became of its segments
LIVE = ("encoding", "viewable", "publishing")
VANISHED = "Finished parts of this film have gone from the disk."
BROKEN = "{names} was to stay as it is, but parts of it are gone or damaged. Encode it again as well."


def publish_finished() -> int:
    """Publish every encode whose essential jobs are all done; returns how many. Called after each finished job, and
    by the sweep for what a crash left between the two.
    """
    return sum(publish_encode(encode_id) for encode_id in _finished(db.session()))


def _finished(session: Session) -> list[int]:
    # In a live encode a job that was called off is one whose part came in otherwise.
    to_do = Job.state.not_in((JobState.DONE, JobState.CANCELLED))
    unfinished = select(Job.encode_id).where(Job.kind.in_(ESSENTIAL), to_do)
    live = Encode.state.in_(LIVE)
    return list(session.scalars(select(Encode.id).where(live, Encode.id.not_in(unfinished))))


def publish_encode(encode_id: int) -> bool:
    """False when something is missing or damaged: then that is made again, once.

    1. a source that turned out damaged is not shown as it is: its copied rung is encoded like the others
    2. files of rungs that are taken over from a former generation get a second name
    3. every planned segment has a row, and its file has the size the row says
    4. samples of every rendition are decoded: right size, right time, sound with the picture
    5. playlists are written to disk, so that the folder also plays by itself
    6. one transaction folds the segment rows, ends the encode, and makes it the one that viewers get
    """
    seen = handed_in(db.session(), encode_id)
    made = availability_of(db.session(), db.session().get_one(Encode, encode_id))
    if made.is_whole:
        return False
    if made.plan.copied and _is_damaged(encode_id) and _give_up_copy(encode_id):
        return False
    folder = folder_of(db.session(), made.encode)
    take_over(db.session(), made, folder)
    if missing := missing_segments(made, folder):
        _make_again(encode_id, missing, seen, VANISHED)
        return False
    if found := damaged_segments(made, folder, seen):
        _make_again(encode_id, {(each.rendition, each.index) for each in found}, seen, found[0].sentence)
        return False
    made = replace(made, is_whole=True)
    _write_playlists(made, folder)
    if not _make_ready(encode_id):
        return False
    _point_to(made, folder)
    return True


def _is_damaged(encode_id: int) -> bool:
    """Did a decoder complain about the pictures of the source?"""
    complaints = select(Attempt.id).join(Job, Job.id == Attempt.job_id).where(Attempt.damage > 0)
    pictures = Job.encode_id == encode_id, Job.kind.in_((ENCODE, COPY))
    return db.session().scalar(complaints.where(*pictures).limit(1)) is not None


def _give_up_copy(encode_id: int) -> bool:
    logger.warning("the source is damaged: its copied rung is encoded", extra={"encode_id": encode_id})
    with transaction() as session:
        encode = session.get_one(Encode, encode_id, with_for_update=True)
        return encode.state in LIVE and give_up_copy(session, encode, database_now(session))


def missing_segments(made: Availability, folder: Path) -> set[tuple[str, int]]:
    """(rendition, index) of planned segments that have no row or no file of the right size."""
    return {
        (row.rendition.name, index)
        for row in made.rows
        for index in range(row.rendition.planned_segments)
        if not _is_there(made, row, index, folder)
    }


def _is_there(made: Availability, row: Row, index: int, folder: Path) -> bool:
    name = row.rendition.name
    container = row.container(made.plan)
    file = folder / segment_name(container, name, index)
    if index not in row.sizes or _size(file) != row.sizes[index]:
        return False
    return container != CMAF or (folder / init_name(name, row.inits[index])).is_file()


def _size(file: Path) -> int:
    try:
        return file.stat().st_size
    except FileNotFoundError:
        return -1


def _make_again(encode_id: int, cells: set[Cell], seen: dict[Cell, HandedIn], why: str) -> None:
    """Once. When what was made again is no better, another time would not be either: the encode fails."""
    logger.error("segments made again: %s", why, extra={"encode_id": encode_id, "count": len(cells)})
    with transaction() as session:
        encode = session.get_one(Encode, encode_id, with_for_update=True)
        if encode.state not in LIVE:
            return  # it was cancelled meanwhile
        now = database_now(session)
        taken = sorted({name for name, _ in cells} & _taken_over(session, encode_id))
        if taken and not plays(session, encode):
            give_up(session, encode, "taken_rung_broken", BROKEN.format(names=", ".join(taken)), now)
            return
        make_own(session, encode, taken)
        unfold(session, encode, cells, now)
        queued = queue_parts(session, encode, _drop(session, encode_id, cells, seen), now)
        if _most_finishes(session, queued) > MAX_REDOS:
            sentence = f"{why} Making it again did not help. Everything else is kept; try again."
            give_up(session, encode, "output_damaged", sentence, now)


def _taken_over(session: Session, encode_id: int) -> set[str]:
    taken = Rendition.encode_id == encode_id, Rendition.taken_from.is_not(None)
    return set(session.scalars(select(Rendition.name).where(*taken)))


def _drop(session: Session, encode_id: int, cells: set[Cell], seen: dict[Cell, HandedIn]) -> set[Cell]:
    """Forget segments; returns which. One that somebody handed in since it was looked at is kept."""
    now_there = handed_in(session, encode_id)
    gone = {cell for cell in cells if now_there.get(cell) in (None, seen.get(cell))}
    for rendition in session.scalars(select(Rendition).where(Rendition.encode_id == encode_id)):
        indexes = [index for name, index in gone if name == rendition.name]
        found = Segment.rendition_id == rendition.id, Segment.index.in_(indexes)
        for segment in session.scalars(select(Segment).where(*found)):
            rendition.done_segments -= 1
            rendition.size_bytes -= segment.size_bytes
            session.delete(segment)
    return gone


def _most_finishes(session: Session, job_ids: list[int]) -> int:
    """How often the most tried of these jobs has been done to its end."""
    finished = Attempt.job_id.in_(job_ids), Attempt.outcome == AttemptOutcome.FINISHED
    counts = select(func.count()).select_from(Attempt).where(*finished).group_by(Attempt.job_id)
    return max(session.scalars(counts), default=0)


def _write_playlists(made: Availability, folder: Path) -> None:
    for row in made.rows:
        text = media_text(made, row, timeline="full", suffix=False)
        write_atomic(folder / playlist_name(row.container(made.plan), row.rendition.name), text.encode())
    write_atomic(folder / MASTER, master_text(made, timeline="full", suffix=False).encode())
    if made.plan.container == CMAF and made.is_of_the_grid:
        write_atomic(folder / MANIFEST, manifest_text(made, suffix=False).encode())


def _make_ready(encode_id: int) -> bool:
    with transaction() as session:
        encode = session.get_one(Encode, encode_id, with_for_update=True)
        if encode.state not in LIVE:
            return False  # somebody else was first, or it was cancelled meanwhile
        now = database_now(session)
        video = session.get_one(Video, encode.video_id, with_for_update=True)
        if encode.is_over or encode.generation < video.generation:
            return False  # a later one plays
        for row in availability_of(session, encode).rows:
            if row.rendition.index is None:
                _fold(session, row.rendition)
            row.rendition.peak_bps, row.rendition.average_bps = row.peak_bps, row.average_bps
        encode.state, encode.finished_at = "done", now
        beside = {"generation": encode.generation} if _supersede(session, video, encode, now) else {}
        video.state, video.generation = "ready", encode.generation
        video.duration_s = EncodePlan.from_json(encode.plan).duration_s
        video.error_code = video.error_message = None
        record(session, video.id, EventKind.READY, now, **beside)
        return True


def _supersede(session: Session, video: Video, encode: Encode, now: datetime) -> bool:
    """The encode that played until now is to go, when another one takes its place."""
    former = live_encode(session, video)
    if former is None or former.id == encode.id:
        return False
    stop_jobs(session, former.id, now)
    former.superseded_at = now
    if former.state != "done":
        former.state, former.finished_at = "cancelled", former.finished_at or now
    return True


def _point_to(made: Availability, folder: Path) -> None:
    """The folder of the video plays by itself too, whichever generation lies in it."""
    if folder.name == f"g{made.encode.generation}":
        text = master_text(made, timeline="full", suffix=False, prefix=f"{folder.name}/")
        write_atomic(folder.parent / MASTER, text.encode())


def _fold(session: Session, rendition: Rendition) -> None:
    """One compact index instead of a row a segment, so that a large library stays a small database."""
    query = select(Segment).where(Segment.rendition_id == rendition.id).order_by(Segment.index)
    segments = session.scalars(query).all()
    rendition.index = {
        "durations": [round(segment.duration_s, 6) for segment in segments],
        "sizes": [segment.size_bytes for segment in segments],
        "sha256": [segment.sha256 for segment in segments],
        **({"inits": [segment.init for segment in segments]} if rendition.inits else {}),
    }
    session.execute(delete(Segment).where(Segment.rendition_id == rendition.id))
