"""Renditions that somebody else cut: files in their places, and rows beside those of the grid."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import select
from sqlalchemy.orm import Session

from encoder.foreign import ForeignFacts
from encoder.model import Container
from encoder.names import CMAF, init_name, segment_name
from encoder.playlist import peak_bps
from jobs.contract import Claim, LeaseLost
from jobs.kinds.stills import POSTER

from ..config import settings
from ..extensions import db, transaction
from ..models import Attempt, Encode, Job, Rendition, Video
from ..storage import fsync_dir
from .clock import database_now
from .encodes import update_viewable
from .events import EventKind, record
from .generations import folder_of
from .media_files import video_folder
from .queue import hold_lease
from .tarballs import Unpacked


@dataclass(frozen=True, slots=True)
class ForeignFiles:
    """The files of one rendition, in the order of the film; `init` in CMAF."""

    name: str
    container: Container
    segments: tuple[Unpacked, ...]
    init: Unpacked | None = None


def whole_renditions(video_id: int, encode_id: int) -> list[str]:
    """Names of what came in of an encode, highest first."""
    rows = select(Rendition.name).join(Encode, Encode.id == Rendition.encode_id)
    wanted = Encode.video_id == video_id, Rendition.encode_id == encode_id, Rendition.origin == "foreign"
    return list(db.session.scalars(rows.where(*wanted).order_by(Rendition.position)))


def is_whole(claim: Claim, name: str) -> bool:
    """Has this rendition come in already? Leaves no transaction open: what comes next may take long."""
    try:
        job = db.session.get_one(Job, claim.job_id)
        return name in whole_renditions(claim.video_id, job.encode_id)
    finally:
        db.session.rollback()


def take_rendition(claim: Claim, files: ForeignFiles, facts: ForeignFacts) -> bool:
    """Put a measured rendition in its place; it is watchable from the commit on. False when it was there already.
    Raises LeaseLost. The files are synced; see checkpoints.take_segment for the order of things.
    """
    with transaction() as session:
        job = hold_lease(session, claim)
        encode = session.get_one(Encode, job.encode_id)
        rendition = _rendition(session, encode, files.name)
        if rendition.is_foreign:
            return False
        _place(files, folder_of(session, encode))
        _describe(rendition, files, facts)
        _put_in_order(session, encode)
        session.get_one(Attempt, job.attempt_id).segments_done += len(files.segments)
        now = database_now(session)
        record(session, encode.video_id, EventKind.RENDITION, now, rendition=rendition.name)
        update_viewable(session, encode, now)
        return True


def _rendition(session: Session, encode: Encode, name: str) -> Rendition:
    """The planned one of this name becomes foreign: nothing of it is made. Or a new one."""
    query = select(Rendition).where(Rendition.encode_id == encode.id, Rendition.name == name)
    rendition = session.scalars(query.with_for_update()).first()
    if rendition is None:
        rendition = Rendition(
            encode_id=encode.id, name=name, kind="video", position=0, max_bitrate_bps=0, planned_segments=0,
            done_segments=0, origin="grid",
        )  # fmt: skip
        session.add(rendition)
    elif rendition.done_segments and not rendition.is_foreign:
        raise LeaseLost("parts of this rendition were made by others")
    return rendition


def _place(files: ForeignFiles, folder: Path) -> None:
    """Rename everything into place; what a former try left under these names is replaced."""
    pairs = [
        (file.path, folder / segment_name(files.container, files.name, index))
        for index, file in enumerate(files.segments)
    ]
    if files.init is not None:
        pairs.append((files.init.path, folder / init_name(files.name, 0)))
    parents = {place.parent for _file, place in pairs}
    for parent in parents:
        parent.mkdir(parents=True, exist_ok=True)
    for file, place in pairs:
        os.replace(file, place)
    for parent in parents:
        fsync_dir(parent)


def _describe(rendition: Rendition, files: ForeignFiles, facts: ForeignFacts) -> None:
    sizes = [file.size_bytes for file in files.segments]
    inits = [files.init.sha256] if files.container == CMAF and files.init else []
    rendition.origin, rendition.container = "foreign", files.container
    rendition.width, rendition.height = facts.width, facts.height
    rendition.codecs = ",".join(facts.codecs)
    rendition.planned_segments = rendition.done_segments = len(sizes)
    rendition.size_bytes = sum(sizes)
    rendition.peak_bps = peak_bps(list(zip(facts.durations_s, sizes, strict=True)))
    rendition.average_bps = round(rendition.size_bytes * 8 / facts.duration_s)
    rendition.max_bitrate_bps = rendition.peak_bps
    rendition.inits = inits
    rendition.index = {
        "durations": [round(seconds, 6) for seconds in facts.durations_s],
        "sizes": sizes,
        "sha256": [file.sha256 for file in files.segments],
        "fps": facts.fps,
        "is_independent": facts.is_independent,
        **({"inits": [0] * len(sizes)} if inits else {}),
    }


def _put_in_order(session: Session, encode: Encode) -> None:
    """The original first, then the largest pictures; sound last."""
    session.flush()
    rows = session.scalars(select(Rendition).where(Rendition.encode_id == encode.id)).all()
    order = sorted(
        rows, key=lambda r: (r.kind == "audio", r.name != "original", -r.width * r.height, r.position)
    )
    for position, rendition in enumerate(order):
        rendition.position = position


def take_poster(claim: Claim, file: Path) -> bool:
    """A picture for a film that has none yet; False when it has one. Raises LeaseLost."""
    with transaction() as session:
        job = hold_lease(session, claim)
        video = session.get_one(Video, job.video_id)
        if video.poster_version:
            return False
        folder = video_folder(settings().videos_dir, video)
        folder.mkdir(parents=True, exist_ok=True)
        os.replace(file, folder / POSTER)
        fsync_dir(folder)
        video.poster_version += 1
        record(session, video.id, EventKind.POSTER, database_now(session))
        return True
