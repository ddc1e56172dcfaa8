"""Bytes on their way in: one file per upload, one writer at a time, the file's size is the offset."""

from __future__ import annotations

import fcntl
import hashlib
import os
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from encoder.boxes import check_head, human_bytes
from encoder.sniff import HEAD_BYTES

from .. import storage

LOCK_WAIT_S = (
    3.0  # a broken connection's last request lets go within its stall limit; clients try again on 423
)
LOCK_POLL_S = 0.05
ROOM_CHECK_BYTES = 16 << 20  # how much may be written between two looks at the free space
CHECKSUMS = {"sha1": hashlib.sha1, "sha256": hashlib.sha256, "md5": hashlib.md5}


class Busy(Exception):
    """Another request is writing this upload."""


class Gone(Exception):
    """The upload was cancelled, refused or has expired."""


class TooLong(Exception):
    """More bytes came than were announced."""


class Receiver:
    """The one writer of an incoming file. What was written is kept and on disk when the block is left, also by
    an error; `forget` and `rewind_to` are the exceptions.

    The type is judged as soon as the first 64 kB are here (or all of a smaller file): `write` then raises
    SourceUnreadable. `length` is the announced size, or the most it can be when `is_exact` is False.
    """

    def __init__(self, path: Path, *, length: int, reserve_bytes: int, is_exact: bool = True) -> None:
        self.path = path
        self.length = length
        self._reserve = reserve_bytes
        self._is_exact = is_exact
        self._unchecked = 0
        self._fd = -1
        self.offset = 0

    def __enter__(self) -> Self:
        try:
            self._fd = os.open(self.path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
        except FileNotFoundError:
            raise Gone from None
        try:
            self._lock()
        except BaseException:
            os.close(self._fd)
            raise
        self.offset = os.lseek(self._fd, 0, os.SEEK_END)
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _tb: TracebackType | None
    ) -> None:
        try:
            with storage.full_disk_is_low("The disk is full. Only part of what was sent is safe."):
                os.fsync(self._fd)
        finally:
            os.close(self._fd)  # the lock goes with it

    def write(self, data: bytes) -> None:
        """Append; raises TooLong before anything beyond the length is kept, Gone, StorageLow, SourceUnreadable."""
        if self.offset + len(data) > self.length:
            raise TooLong
        self._check_room(len(data))
        before, view = self.offset, memoryview(data)
        with storage.full_disk_is_low(f"The disk is full. {human_bytes(before)} of this file are safe."):
            while view:
                written = os.write(self._fd, view)
                self.offset += written
                view = view[written:]
        if before < self._judged_at() <= self.offset:
            self.judge()

    def judge(self) -> None:
        """Look at the head; raises SourceUnreadable when this can be no film."""
        check_head(os.pread(self._fd, HEAD_BYTES, 0), self.length)

    def rewind_to(self, offset: int) -> None:
        os.ftruncate(self._fd, offset)
        self.offset = os.lseek(self._fd, 0, os.SEEK_END)

    def _judged_at(self) -> int:
        return min(HEAD_BYTES, self.length) if self._is_exact else HEAD_BYTES

    def _check_room(self, coming: int) -> None:
        if self._unchecked > 0:
            self._unchecked -= coming
            return
        self._unchecked = ROOM_CHECK_BYTES
        if os.fstat(self._fd).st_nlink == 0:
            raise Gone
        free = storage.free_bytes(self.path.parent)
        if free - coming < self._reserve:
            raise storage.StorageLow(
                f"{human_bytes(self.length - self.offset)} are still to come, "
                f"{human_bytes(max(0, free - self._reserve))} free. The upload is paused, not lost: "
                f"{human_bytes(self.offset)} are safe. Free space, then resume.",
                needed_bytes=self.length - self.offset,
                free_bytes=free,
            )

    def _lock(self) -> None:
        deadline = time.monotonic() + LOCK_WAIT_S
        while True:
            try:
                fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise Busy from None
                time.sleep(LOCK_POLL_S)
        if os.fstat(self._fd).st_nlink == 0:
            raise Gone


def size_of(path: Path) -> int | None:
    """The offset of the upload at `path`; None when there is no such file."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return None
