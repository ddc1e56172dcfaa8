"""A tar.gz from a stranger, unpacked as it arrives. Nothing of it chooses where or how anything is written.

Regular files only, under names that the caller allows, into a new folder, each made anew (O_EXCL, O_NOFOLLOW). How
many files, how large, and how much altogether is counted while reading. The archive must be whole to its last byte.
"""

from __future__ import annotations

import hashlib
import os
import tarfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, cast

GZIP = 16 + zlib.MAX_WBITS
PIECE_BYTES = 256 * 1024
HEADER_BYTES = 64 * 1024  # read to find the next member: its header, and what it says of long names and times
END_BYTES = 1 << 20  # zeros behind the last member
FREE_BYTES, GROWTH = (
    32 << 20,
    20,
)  # media hardly get smaller: what grows more than this when unpacked is a trap
FILES = (tarfile.REGTYPE, tarfile.AREGTYPE)


class BadArchive(Exception):
    """The text may be shown. Nothing is kept."""


class TooMuch(BadArchive):
    """It holds more than may be taken."""


@dataclass(frozen=True, slots=True)
class Caps:
    files: int
    total_bytes: int
    file_bytes: int


@dataclass(frozen=True, slots=True)
class Unpacked:
    """One file, synced to the disk."""

    path: Path
    size_bytes: int
    sha256: str


class _Gunzipped:
    """What tarfile reads from: one gzip member, whole and with the right checksum, a bounded piece at a time."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self._pieces = iter(pieces)
        self._inflate = zlib.decompressobj(GZIP)
        self._ready = b""
        self._came = self._grown = 0
        self.allowance = HEADER_BYTES

    def read(self, size: int) -> bytes:
        """Raises TooMuch when more is asked for than the reader was allowed, BadArchive for damage."""
        if self.allowance < 0:
            raise TooMuch("It describes its files at too great a length.")
        while not self._ready and not self._inflate.eof:
            self._ready = self._more(self._next_input())
        data, self._ready = self._ready[:size], self._ready[size:]
        self.allowance -= len(data)
        return data

    def _next_input(self) -> bytes:
        if self._inflate.unconsumed_tail:
            return self._inflate.unconsumed_tail
        data = next(self._pieces, None)
        if data is None:
            raise BadArchive("It stops in the middle.")
        self._came += len(data)
        return data

    def _more(self, data: bytes) -> bytes:
        try:
            plain = self._inflate.decompress(data, PIECE_BYTES)
        except zlib.error as error:
            raise BadArchive("It is not a gzip file, or damaged.") from error
        self._grown += len(plain)
        if self._grown > FREE_BYTES + GROWTH * self._came:
            raise TooMuch("It grows far too much when it is unpacked.")
        return plain

    def require_end(self) -> None:
        """Nothing but zeros up to the end, and nothing behind it."""
        left = END_BYTES
        while data := self._rest():
            left -= len(data)
            if left < 0 or data.strip(b"\0"):
                raise BadArchive("Something stands behind its end.")
        if self._inflate.unused_data or next(self._pieces, b""):
            raise BadArchive("Something stands behind its end.")

    def _rest(self) -> bytes:
        self.allowance = END_BYTES
        return self.read(PIECE_BYTES)


def unpack(
    pieces: Iterable[bytes], folder: Path, is_allowed: Callable[[str], bool], caps: Caps
) -> dict[str, Unpacked]:
    """The files of the archive in `folder`, which is new and empty, by the names they came with.

    Raises BadArchive, TooMuch; what was written until then is the caller's to remove. A folder that stands before its
    files is passed over: the names of the files say it again.
    """
    source = _Gunzipped(pieces)
    found: dict[str, Unpacked] = {}
    left = caps.total_bytes
    try:
        with tarfile.open(fileobj=cast(IO[bytes], source), mode="r|", bufsize=PIECE_BYTES) as archive:
            for number, member in enumerate(_members(archive, source)):
                if number >= caps.files:
                    raise TooMuch(f"It holds more than {caps.files} files.")
                if member.isdir() and is_allowed(f"{member.name}/"):
                    continue
                _check(member, is_allowed, found)
                if member.size > min(left, caps.file_bytes):
                    raise TooMuch(f"{member.name} is larger than may be taken.")
                left -= member.size
                path = folder / f"{len(found):06d}"
                found[member.name] = _write(archive, source, member, path)
        source.require_end()
    except (tarfile.TarError, ValueError, OverflowError, EOFError) as error:
        raise BadArchive("It is not a tar archive, or damaged.") from error
    if not found:
        raise BadArchive("It holds nothing.")
    return found


def _members(archive: tarfile.TarFile, source: _Gunzipped) -> Iterator[tarfile.TarInfo]:
    while True:
        source.allowance = HEADER_BYTES
        member = archive.next()
        if member is None:
            return
        yield member
        cast(Any, archive).members = []  # it would remember every one


def _check(member: tarfile.TarInfo, is_allowed: Callable[[str], bool], found: dict[str, Unpacked]) -> None:
    if member.type not in FILES or member.sparse is not None:
        raise BadArchive("It holds something else than plain files.")
    if not is_allowed(member.name):
        raise BadArchive("It holds a file whose name is not one of those that belong here.")
    if member.name in found:
        raise BadArchive(f"It holds {member.name} twice.")


def _write(archive: tarfile.TarFile, source: _Gunzipped, member: tarfile.TarInfo, path: Path) -> Unpacked:
    source.allowance = member.size + HEADER_BYTES
    reader = archive.extractfile(member)
    assert reader is not None
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
    with os.fdopen(handle, "wb") as file:
        digest = _copy(reader, file, member.size)
        file.flush()
        os.fsync(file.fileno())
    return Unpacked(path, member.size, digest)


def _copy(reader: IO[bytes], file: IO[bytes], size: int) -> str:
    digest, left = hashlib.sha256(), size
    while left:
        data = reader.read(min(PIECE_BYTES, left))
        if not data:
            raise BadArchive("It stops in the middle.")
        file.write(data)
        digest.update(data)
        left -= len(data)
    return digest.hexdigest()
