"""Taking in what a worker finished: a file in place, then its row, under the lease."""

from __future__ import annotations

import os
from contextlib import suppress
from datetime import datetime
from pathlib import Path

from sqlalchemy import select
from sqlalchemy.orm import Session

from encoder.levels import joined
from encoder.model import Segment as Measured
from encoder.names import CMAF, init_name, segment_name
from jobs.contract import Claim, Refused
from jobs.kinds.stills import CANDIDATES, POSTER, STORYBOARD_INDEX
from jobs.layout import POSTER as POSTER_KIND
from jobs.layout import STORYBOARD as STORYBOARD_KIND

from ..config import settings
from ..extensions import transaction
from ..models import Attempt, Encode, Job, Rendition, Segment, Video
from ..storage import fsync_dir, fsync_file, place, write_atomic
from .clock import database_now
from .encodes import update_viewable
from .events import EventKind, record
from .generations import folder_of
from .media_files import video_folder
from .queue import hold_lease


def take_segment(claim: Claim, measured: Measured, file: Path, init: Path | None = None) -> bool:
    """Put one segment in its place, and its header `init` if it is a new one. False when it was there already. Raises
    LeaseLost or Refused.

    1. the bytes are on the disk before anything says so
    2. the lease is proved and held: from here to the commit nobody else can be given this job
    3. a name in its place, durable; a crash before the commit leaves a file there that the next attempt replaces
    4. the row, and once that is committed the worker's own name goes

    May be tried again when the database went away in the middle: then the file may be in its place already.
    """
    _settle(file)
    with transaction() as session:
        job = hold_lease(session, claim)
        _require_inside(job, measured)
        rendition = _rendition(session, job, measured.rendition)
        is_new = session.get(Segment, (rendition.id, measured.index)) is None
        if is_new:
            _join_codec(rendition, measured)
            folder = folder_of(session, session.get_one(Encode, job.encode_id))
            number = _take_init(rendition, measured, folder, init) if claim.plan.container == CMAF else 0
            target = folder / segment_name(claim.plan.container, measured.rendition, measured.index)
            _link(file, target)
            _write_rows(session, job, rendition, measured, number, database_now(session))
    file.unlink(missing_ok=True)
    return is_new


def _require_inside(job: Job, measured: Measured) -> None:
    inside = job.first_segment <= measured.index < job.end_segment and measured.rendition in job.renditions
    if not inside:
        raise Refused(f"segment {measured.index} of {measured.rendition} is not of this job")


def _join_codec(rendition: Rendition, measured: Measured) -> None:
    """Segments of one rendition must decode as one stream, whoever made them."""
    together = joined(rendition.codecs, measured.codecs) if rendition.codecs else measured.codecs
    if together is None:
        raise Refused(f"{measured.codecs} does not join {rendition.codecs} in {rendition.name}")
    rendition.codecs = together


def _take_init(rendition: Rendition, measured: Measured, folder: Path, init: Path | None) -> int:
    """The number of the segment's header. Encoders of other kinds or versions write other ones; each is kept once."""
    if init is None or not measured.init_sha256:
        raise Refused(f"segment {measured.index} of {measured.rendition} came without its header")
    if measured.init_sha256 not in rendition.inits:
        rendition.inits = [*rendition.inits, measured.init_sha256]
    number = rendition.inits.index(measured.init_sha256)
    place = folder / init_name(rendition.name, number)
    if not place.is_file():  # a new one, or one that has gone from the disk
        place.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(place, init.read_bytes())
    return number


def _rendition(session: Session, job: Job, name: str) -> Rendition:
    query = select(Rendition).where(Rendition.encode_id == job.encode_id, Rendition.name == name)
    return session.scalars(query.with_for_update()).one()


def _write_rows(
    session: Session, job: Job, rendition: Rendition, measured: Measured, init: int, now: datetime
) -> None:
    session.add(
        Segment(
            rendition_id=rendition.id,
            index=measured.index,
            duration_s=measured.duration_s,
            size_bytes=measured.size_bytes,
            sha256=measured.sha256,
            init=init,
            attempt_id=job.attempt_id,
            created_at=now,
        )
    )
    rendition.done_segments += 1
    rendition.size_bytes += measured.size_bytes
    session.get_one(Attempt, job.attempt_id).segments_done += 1
    session.flush()
    where = {"rendition": rendition.name, "index": measured.index}
    record(session, job.video_id, EventKind.SEGMENT, now, **where)
    if rendition.done_segments == rendition.planned_segments:
        record(session, job.video_id, EventKind.RENDITION, now, rendition=rendition.name)
    update_viewable(session, session.get_one(Encode, job.encode_id), now)


def take_still(claim: Claim, name: str, file: Path) -> None:
    """Put a poster or storyboard file in its place. Raises LeaseLost or Refused."""
    _settle(file)
    with transaction() as session:
        job = hold_lease(session, claim)
        if not _is_still_of(job.kind, name):
            raise Refused("that file is not of this job")
        video = session.get_one(Video, job.video_id)
        _move(file, video_folder(settings().videos_dir, video) / name)
        if name == POSTER:
            video.poster_version += 1
            record(session, video.id, EventKind.POSTER, database_now(session))
        elif name == STORYBOARD_INDEX:  # comes last
            video.storyboard_version += 1


def _is_still_of(kind: str, name: str) -> bool:
    if kind == POSTER_KIND:
        return name in (POSTER, *CANDIDATES)
    is_sheet = name.startswith("storyboard_") and name.endswith(".jpg") and name[11:-4].isdecimal()
    return kind == STORYBOARD_KIND and (is_sheet or name == STORYBOARD_INDEX)


def _settle(file: Path) -> None:
    with suppress(FileNotFoundError):  # an earlier try moved it, see `_move`
        fsync_file(file)


def _link(file: Path, target: Path) -> None:
    """Both names missing is an error. Only the holder of the lease writes here, so what is there is of this file."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if file.exists() or not target.exists():
        place(file, target)


def _move(file: Path, target: Path) -> None:
    """The same for what takes the place of a former one."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if file.exists() or not target.exists():
        os.replace(file, target)
    fsync_dir(target.parent)
