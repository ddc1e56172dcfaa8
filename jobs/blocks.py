"""A file of which only some blocks are here: sparse on the disk, with a map of what has been fetched."""

from __future__ import annotations

import ctypes
import os
import socket
import threading
import weakref
from pathlib import Path

BLOCK_BYTES = 128 * 1024  # at 20 kB/s one takes seven seconds: that much a broken line may cost
KEEP_SIZE, PUNCH_HOLE = 1, 2  # linux/falloc.h


class BlockFile:
    """`size_bytes` long; every block but the last has `block_bytes`. For several threads at once."""

    def __init__(self, path: Path, size_bytes: int, block_bytes: int = BLOCK_BYTES) -> None:
        self.path = path
        self.size_bytes = size_bytes
        self.block_bytes = block_bytes
        self.count = -(-size_bytes // block_bytes)
        self.kept_bytes = 0
        self._here = bytearray(self.count)
        self._lock = threading.Lock()
        self._handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        # Whoever reads it when it is dropped reads on: the bytes go with the last of them.
        weakref.finalize(self, os.close, self._handle)
        os.ftruncate(self._handle, size_bytes)

    def has(self, block: int) -> bool:
        return bool(self._here[block])

    def block_at(self, offset: int) -> int:
        return offset // self.block_bytes

    def span(self, block: int) -> tuple[int, int]:
        """[start, stop) in bytes."""
        start = block * self.block_bytes
        return start, min(start + self.block_bytes, self.size_bytes)

    def write(self, block: int, data: bytes) -> None:
        """Raises OSError when the disk is full; the block is not here then."""
        start, stop = self.span(block)
        if len(data) != stop - start:
            raise ValueError(f"block {block} has {stop - start} bytes, not {len(data)}")
        _write_all(self._handle, data, start)
        with self._lock:
            self.kept_bytes += 0 if self.has(block) else len(data)
            self._here[block] = 1

    def forget(self, block: int) -> int:
        """Give its place on the disk back; returns how many bytes that were, 0 where the file system cannot."""
        start, stop = self.span(block)
        with self._lock:
            if not self.has(block) or not _punch(self._handle, start, stop - start):
                return 0
            self._here[block] = 0
            self.kept_bytes -= stop - start
            return stop - start

    def send(self, connection: socket.socket, start: int, stop: int) -> None:
        """Bytes that are here, to a blocking socket."""
        while start < stop:
            start += os.sendfile(connection.fileno(), self._handle, start, stop - start)

    def drop(self) -> None:
        self.path.unlink(missing_ok=True)


def _punch(handle: int, start: int, count: int) -> bool:
    """Make a hole where bytes were; Python has no call for it."""
    call = getattr(ctypes.CDLL(None), "fallocate", None)
    if call is None:
        return False
    call.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64)
    return bool(call(handle, KEEP_SIZE | PUNCH_HOLE, start, count) == 0)


def _write_all(handle: int, data: bytes, at: int) -> None:
    view = memoryview(data)
    while view:
        written = os.pwrite(handle, view, at)
        view, at = view[written:], at + written
