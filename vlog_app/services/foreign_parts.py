"""Renditions that come file by file from an existing worker: kept aside for its attempt until all are there."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

from jobs.contract import Claim

from ..config import settings
from ..extensions import transaction
from ..storage import fsync_file
from .foreign import is_whole
from .foreign_intake import TOO_LARGE, NotPublished, publish_files
from .foreign_names import ForeignName, Role, read_name
from .handing_in import NotTaken, Parcel, received_folder, unwrapped
from .queue import hold_lease
from .tarballs import Unpacked

PIECE_BYTES = 1 << 20


def receive_part(claim: Claim, quality: str, filename: str, parcel: Parcel) -> bool:
    """Keep one file of a rendition. False: these bytes were there already. Other bytes take their place, since nobody
    has been shown them. Raises NotPublished, LeaseLost, StorageLow.
    """
    name = _require_name(quality, filename)
    if parcel.size_bytes > settings().max_hls_single_file_size:
        raise NotPublished(TOO_LARGE, "A file is never this large. Nothing was kept.")
    try:
        return _keep(claim, quality, name, parcel)
    except NotPublished:
        raise
    except NotTaken as error:
        raise NotPublished(error.code, str(error)) from error


def _keep(claim: Claim, quality: str, name: ForeignName, parcel: Parcel) -> bool:
    with unwrapped(claim, parcel) as file:
        if is_whole(claim, quality):
            return False
        place = _folder(claim, quality) / _flat(name)
        if place.is_file() and _digest(place) == parcel.sha256:
            return False
        fsync_file(file.path)
        with transaction() as session:
            hold_lease(session, claim)
            _require_few(place.parent, parcel.size_bytes)
            place.parent.mkdir(parents=True, exist_ok=True)
            file.path.replace(place)
        return True


def parts_there(claim: Claim, quality: str) -> tuple[list[str], int]:
    """(sorted names of segments, bytes of them)"""
    if is_whole(claim, quality):
        return [], 0
    found = _found(claim, quality)
    names = sorted(name.name.rpartition("/")[2] for name in found if name.role is Role.SEGMENT)
    return names, sum(path.stat().st_size for name, path in found.items() if name.role is Role.SEGMENT)


def finish_parts(claim: Claim, quality: str, count: int) -> list[str]:
    """Publish a rendition of `count` segments; the names of those that are still missing, when there are any. Raises
    NotPublished, LeaseLost.
    """
    if is_whole(claim, quality):
        return []
    found = _found(claim, quality)
    there = {name.index for name in found if name.role is Role.SEGMENT}
    is_cmaf = any(name.container == "cmaf" for name in found)
    pattern = "seg_{:04d}.m4s" if is_cmaf else f"{quality}_{{:04d}}.ts"
    missing = [pattern.format(index) for index in range(count) if index not in there]
    if is_cmaf and not any(name.role is Role.INIT for name in found):
        missing.insert(0, "init.mp4")
    if missing:
        return missing
    files = {name.name: Unpacked(path, path.stat().st_size, _digest(path)) for name, path in found.items()}
    publish_files(claim, quality, files)
    shutil.rmtree(_folder(claim, quality), ignore_errors=True)
    return []


def forget_parts(job_id: int) -> None:
    """A job has ended: what was not published goes."""
    for folder in received_folder().glob(f"parts-{job_id}-*"):
        shutil.rmtree(folder, ignore_errors=True)


def _require_name(quality: str, filename: str) -> ForeignName:
    name = read_name(filename) or read_name(f"{quality}/{filename}")
    if name is None or name.quality != quality:
        raise NotPublished("bad_name", "A file of this rendition is not called that. Nothing was kept.")
    return name


def _require_few(folder: Path, coming: int) -> None:
    sizes = [path.stat().st_size for path in folder.glob("*")]
    config = settings()
    if len(sizes) >= config.max_hls_archive_files or sum(sizes) + coming > config.max_hls_archive_size:
        raise NotPublished(
            TOO_LARGE, "More of this rendition came than may be taken. This file was not kept."
        )


def _folder(claim: Claim, quality: str) -> Path:
    return received_folder() / f"parts-{claim.job_id}-{claim.attempt_id}-{quality}"


def _flat(name: ForeignName) -> str:
    return name.name.replace("/", "~")


def _found(claim: Claim, quality: str) -> dict[ForeignName, Path]:
    paths = sorted(_folder(claim, quality).glob("*"))
    return {name: path for path in paths if (name := read_name(path.name.replace("~", "/")))}


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
