"""Taking files from workers that write to no disk of ours: streamed beside the videos, measured, then taken in.

A worker's word is checked against the bytes: whole, unchanged, and what the plan asks for. Until then they lie under
a random name where nobody looks, and are gone again whatever happens.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import shutil
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from sqlalchemy import select

from encoder.errors import OutputInvalid
from encoder.model import EncodePlan, RenditionPlan
from encoder.model import Segment as Declared
from encoder.segments import measure
from encoder.stills import storyboard_files, storyboard_layout
from jobs.contract import Claim, Refused
from jobs.kinds.stills import CANDIDATES, POSTER, STORYBOARD_INDEX
from jobs.layout import POSTER as POSTER_KIND
from jobs.layout import STORYBOARD as STORYBOARD_KIND
from jobs.wire import LeaseCode

from ..config import settings
from ..extensions import db
from ..models import Job, Rendition, Segment
from ..storage import StorageLow, free_bytes, full_disk_is_low
from .checkpoints import take_segment, take_still
from .leases import KeptLease

FOLDER = ".received"
ROOM_CHECK_BYTES = 16 << 20  # how much may be written between two looks at the free space
STALE_S = 3600.0  # what a killed process left; no transfer lives this long without a byte
LOW = "The storage of the server is nearly full. What was handed in is safe. Free some space there."
RATE_SLACK = 8  # a segment may be this many times its rung's rate, for a burst in a copied source
SIZE_SLACK = 4 << 20
JPEG_HEAD = b"\xff\xd8\xff"


class NotTaken(Exception):
    """Nothing of it was kept. `code` is stable, the text may be shown."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True, slots=True)
class Parcel:
    """A body on its way in, and what its sender says of it. The first `init_bytes` are the header of a CMAF segment."""

    pieces: Iterable[bytes]
    size_bytes: int
    sha256: str
    init_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Received:
    path: Path
    init: Path | None = None


def receive_segment(claim: Claim, declared: Declared, parcel: Parcel) -> bool:
    """Take one segment in. False: the same bytes were there already. Raises LeaseLost, Refused, NotTaken,
    StorageLow.
    """
    row = _row_of(claim, declared)
    if parcel.size_bytes > _largest_segment(claim.plan, row):
        raise NotTaken("too_large", f"A segment of {row.name} is never this large. Nothing was kept.")
    with unwrapped(claim, parcel) as received:
        measured = _measured(received, claim.plan, row, declared)
        if take_segment(claim, measured, received.path, received.init):
            return True
    if _digest_in(claim, declared) != measured.sha256:
        raise NotTaken(LeaseCode.DIFFERS, "This segment is in already, with other bytes. It stays as it was.")
    return False


def receive_still(claim: Claim, name: str, parcel: Parcel) -> None:
    """Take a poster or storyboard file in. Raises like `receive_segment`."""
    if name not in _stills_of(claim):
        raise Refused("that file is not of this job")
    if parcel.size_bytes > settings().max_thumbnail_size:
        raise NotTaken("too_large", "A picture is never this large. Nothing was kept.")
    with unwrapped(claim, parcel) as received:
        _check_still(claim.plan, name, received.path)
        take_still(claim, name, received.path)


def forget_stale_files() -> int:
    """Remove what killed processes left; returns how many files that were."""
    old = time.time() - STALE_S
    stale = [path for path in received_folder().glob("*") if _changed_at(path) < old]
    for path in stale:
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
    return len(stale)


def _changed_at(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return time.time()


def received_folder() -> Path:
    """On the file system of the videos, so that a rename takes a file in."""
    return settings().work_dir / FOLDER


@contextmanager
def unwrapped(claim: Claim, parcel: Parcel) -> Iterator[Received]:
    """The whole parcel in files of its own; gone when the block ends, unless it was taken."""
    received_folder().mkdir(parents=True, exist_ok=True)
    path = received_folder() / secrets.token_hex(16)
    init = path.with_suffix(".init") if parcel.init_bytes else None
    try:
        with full_disk_is_low(LOW):
            digest = _write(path, claim, parcel)
            if init is not None:
                _split(path, init, parcel.init_bytes)
        if digest != parcel.sha256:
            raise NotTaken(
                LeaseCode.CHECKSUM, "The bytes were changed on the way. Nothing was kept. Send it again."
            )
        yield Received(path, init)
    finally:
        for file in (path, init):
            if file is not None:
                file.unlink(missing_ok=True)


def _write(path: Path, claim: Claim, parcel: Parcel) -> str:
    """The SHA-256 of what came. The lease is renewed while bytes come."""
    digest, size, unchecked = hashlib.sha256(), 0, 0
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
    with os.fdopen(handle, "wb") as file:
        require_room(path.parent, parcel.size_bytes)
        for piece in KeptLease(claim).while_moving(parcel.pieces):
            size += len(piece)
            if size > parcel.size_bytes:
                break
            file.write(piece)
            digest.update(piece)
            unchecked += len(piece)
            if unchecked > ROOM_CHECK_BYTES:
                require_room(path.parent, parcel.size_bytes - size)
                unchecked = 0
    if size != parcel.size_bytes:
        raise NotTaken(LeaseCode.LENGTH, "More or fewer bytes came than were announced. Nothing was kept.")
    return digest.hexdigest()


def _split(path: Path, init: Path, length: int) -> None:
    """The header leaves the file of its segment."""
    data = path.read_bytes()
    init.write_bytes(data[:length])
    path.write_bytes(data[length:])


def require_room(folder: Path, coming: int) -> None:
    free = free_bytes(folder)
    if free - coming < settings().storage_reserve_bytes:
        raise StorageLow(LOW, needed_bytes=coming, free_bytes=free)


def _row_of(claim: Claim, declared: Declared) -> RenditionPlan:
    if declared.rendition not in claim.renditions or declared.index not in claim.chunk:
        raise Refused(f"segment {declared.index} of {declared.rendition} is not of this job")
    return claim.plan.rendition(declared.rendition)


def _largest_segment(plan: EncodePlan, row: RenditionPlan) -> int:
    """Bytes. Measuring reads a segment into memory, so that a sender may not choose its size."""
    planned = row.max_bitrate_bps / 8 * plan.segment_s
    return min(settings().max_hls_single_file_size, int(RATE_SLACK * planned) + SIZE_SLACK)


def _measured(received: Received, plan: EncodePlan, row: RenditionPlan, declared: Declared) -> Declared:
    """What is really in the file. Raises NotTaken when that is not what the plan asks for, or not what was said."""
    try:
        measured = measure(received.path, plan, row, declared.index, received.init)
    except OutputInvalid as error:
        raise NotTaken(error.code, f"{error.public_message} Nothing was kept.") from error
    if replace(measured, duration_s=declared.duration_s) != declared:  # seconds are rounded on the way
        raise NotTaken("wrong_facts", "This segment is not what was said of it. Nothing was kept.")
    return measured


def _digest_in(claim: Claim, declared: Declared) -> str | None:
    query = (
        select(Segment.sha256)
        .join(Rendition, Rendition.id == Segment.rendition_id)
        .join(Job, Job.encode_id == Rendition.encode_id)
        .where(Job.id == claim.job_id, Rendition.name == declared.rendition, Segment.index == declared.index)
    )
    return db.session.scalar(query)


def _stills_of(claim: Claim) -> tuple[str, ...]:
    """The names that this job may hand in."""
    if claim.kind == POSTER_KIND:
        return (POSTER, *CANDIDATES)
    if claim.kind != STORYBOARD_KIND:
        return ()
    sheets = storyboard_files(storyboard_layout(claim.plan), Path())
    return (*(sheet.name for sheet in sheets), STORYBOARD_INDEX)


def _check_still(plan: EncodePlan, name: str, path: Path) -> None:
    """Pictures look like pictures; the index of a storyboard follows from the plan, so only that one is taken."""
    data = path.read_bytes()
    if name == STORYBOARD_INDEX:
        is_right = data == storyboard_layout(plan).webvtt().encode()
    else:
        is_right = data.startswith(JPEG_HEAD)
    if not is_right:
        raise NotTaken("output_invalid", f"{name} is not what its name says. Nothing was kept.")
