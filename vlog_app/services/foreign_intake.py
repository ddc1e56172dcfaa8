"""Taking in what workers of an existing installation upload: unpacked beside the videos, measured, then published.

What they say of it is compared and never believed: the playlists of the site are written by the site. Until all of a
rendition is measured it lies in a folder of its own where nobody looks, and that is gone again whatever happens.
"""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from encoder.errors import OutputInvalid
from encoder.foreign import ForeignFacts, measure_foreign, sum_up
from encoder.names import CMAF
from jobs.contract import Claim

from ..config import settings
from ..storage import full_disk_is_low
from .foreign import ForeignFiles, is_whole, take_poster, take_rendition
from .foreign_names import QUALITIES, THUMBNAIL, ForeignName, Role, read_name
from .foreign_playlist import check_playlist
from .handing_in import JPEG_HEAD, LOW, ROOM_CHECK_BYTES, NotTaken, received_folder, require_room
from .leases import KeptLease
from .tarballs import BadArchive, Caps, TooMuch, Unpacked, unpack

SLACK_S, SLACK_PART = 1.0, 0.01  # how much shorter or longer than the film a rendition may be
TOO_LARGE = "too_large"


class NotPublished(NotTaken):
    """An archive or a rendition that viewers cannot get. Nothing of it was kept."""


def receive_quality(claim: Claim, quality: str, pieces: Iterable[bytes]) -> bool:
    """One rendition in a tar.gz. False: it was in already. Raises NotPublished, LeaseLost, StorageLow."""
    if is_whole(claim, quality):
        _throw_away(claim, pieces)
        return False
    with _unpacked(claim, pieces, lambda name: name.quality == quality) as files:
        return publish_files(claim, quality, files)


def receive_extras(claim: Claim, pieces: Iterable[bytes]) -> None:
    """What belongs to the whole film: its poster. Playlists are our own. Raises like `receive_quality`."""
    with _unpacked(claim, pieces, lambda name: name.role is Role.EXTRA) as files:
        _take_extras(claim, files)


def receive_everything(claim: Claim, pieces: Iterable[bytes]) -> list[str]:
    """All renditions and the poster in one tar.gz; names of what is in now. Raises like `receive_quality`."""
    with _unpacked(claim, pieces, lambda _name: True) as files:
        names = {read.quality for name in files if (read := read_name(name)) and read.quality}
        if not names:
            raise NotPublished("bad_archive", "There is no rendition in this archive. Nothing was kept.")
        measured = [(quality, *_measured(claim, quality, files)) for quality in QUALITIES if quality in names]
        for _quality, found, facts in measured:
            take_rendition(claim, found, facts)
        _take_extras(claim, files)
        return [quality for quality, _found, _facts in measured]


def publish_files(claim: Claim, quality: str, files: Mapping[str, Unpacked]) -> bool:
    """False: it was in already. Raises NotPublished, LeaseLost."""
    found, facts = _measured(claim, quality, files)
    return take_rendition(claim, found, facts)


def _measured(claim: Claim, quality: str, files: Mapping[str, Unpacked]) -> tuple[ForeignFiles, ForeignFacts]:
    found = _sorted_out(quality, files)
    paths, init = [file.path for file in found.segments], found.init.path if found.init else None
    try:
        # Reading a long film takes a while; it is time in which the worker cannot speak.
        batches = KeptLease(claim).while_working(measure_foreign(paths, init))
        facts = sum_up([piece for batch in batches for piece in batch])
    except OutputInvalid as error:
        raise NotPublished("bad_rendition", f"{quality}: {error.public_message} Nothing was kept.") from error
    _require_film(claim, quality, facts)
    return found, facts


def _require_film(claim: Claim, quality: str, facts: ForeignFacts) -> None:
    """All of the film, with its sound."""
    plan = claim.plan
    if abs(facts.duration_s - plan.duration_s) > SLACK_S + SLACK_PART * plan.duration_s:
        lengths = f"{facts.duration_s:.1f} s instead of {plan.duration_s:.1f} s"
        raise NotPublished("bad_rendition", f"{quality} lasts {lengths}. Nothing was kept.")
    if plan.audio and len(facts.codecs) < 2:
        raise NotPublished("bad_rendition", f"{quality} has no sound, and the film has. Nothing was kept.")


def _sorted_out(quality: str, files: Mapping[str, Unpacked]) -> ForeignFiles:
    """The files of one rendition: every segment from the first on without a hole. Raises NotPublished."""
    names = [read for name in files if (read := read_name(name)) and read.quality == quality]
    segments = sorted((name for name in names if name.role is Role.SEGMENT), key=lambda name: name.index)
    containers = {name.container for name in names}
    if not segments or len(containers) != 1:
        raise NotPublished(
            "bad_archive", f"{quality} has no segments, or two kinds of them. Nothing was kept."
        )
    if [name.index for name in segments] != list(range(len(segments))):
        raise NotPublished("bad_archive", f"Segments of {quality} are missing. Nothing was kept.")
    container = containers.pop()
    init = next((files[name.name] for name in names if name.role is Role.INIT), None)
    if container == CMAF and init is None:
        raise NotPublished("bad_archive", f"The header of {quality} is missing. Nothing was kept.")
    _check_playlists(names, segments, files)
    ordered = tuple(files[name.name] for name in segments)
    if not all(file.size_bytes for file in ordered):
        raise NotPublished("bad_archive", f"A segment of {quality} is empty. Nothing was kept.")
    return ForeignFiles(quality, container, ordered, init)


def _check_playlists(
    names: list[ForeignName], segments: list[ForeignName], files: Mapping[str, Unpacked]
) -> None:
    listed = [name.name.rpartition("/")[2] for name in segments]
    for name in names:
        if name.role is Role.PLAYLIST and (wrong := check_playlist(files[name.name].path, listed)):
            raise NotPublished("bad_playlist", f"The playlist {name.name} {wrong}. Nothing was kept.")


def _take_extras(claim: Claim, files: Mapping[str, Unpacked]) -> None:
    """The poster, when it is a picture; our own is not replaced by it."""
    poster = files.get(THUMBNAIL)
    if poster is None:
        return
    with poster.path.open("rb") as file:
        looks_right = file.read(len(JPEG_HEAD)) == JPEG_HEAD
    if not looks_right or poster.size_bytes > settings().max_thumbnail_size:
        raise NotPublished("bad_archive", f"{THUMBNAIL} is not a picture that can be used. Nothing was kept.")
    take_poster(claim, poster.path)


@contextmanager
def _unpacked(
    claim: Claim, pieces: Iterable[bytes], belongs: Callable[[ForeignName], bool]
) -> Iterator[dict[str, Unpacked]]:
    folder = received_folder() / secrets.token_hex(16)
    config = settings()
    caps = Caps(config.max_hls_archive_files, config.max_hls_archive_size, config.max_hls_single_file_size)
    folder.mkdir(parents=True)
    try:
        with full_disk_is_low(LOW):
            files = unpack(
                _while_room(claim, pieces, folder), folder, lambda name: _is_of(name, belongs), caps
            )
        yield files
    except TooMuch as error:
        raise NotPublished(TOO_LARGE, f"This archive cannot be taken. {error} Nothing was kept.") from error
    except BadArchive as error:
        raise NotPublished(
            "bad_archive", f"This archive cannot be used. {error} Nothing was kept."
        ) from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _is_of(name: str, belongs: Callable[[ForeignName], bool]) -> bool:
    """A folder is allowed where files of a rendition stand in it."""
    read = read_name(f"{name}init.mp4" if name.endswith("/") else name)
    return read is not None and belongs(read)


def _while_room(claim: Claim, pieces: Iterable[bytes], folder: Path) -> Iterator[bytes]:
    """Bytes that move renew the lease, and leave room on the disk."""
    unchecked = ROOM_CHECK_BYTES
    for piece in KeptLease(claim).while_moving(pieces):
        if unchecked >= ROOM_CHECK_BYTES:
            require_room(folder, 0)
            unchecked = 0
        unchecked += len(piece)
        yield piece


def _throw_away(claim: Claim, pieces: Iterable[bytes]) -> None:
    for _piece in KeptLease(claim).while_moving(pieces):
        pass
