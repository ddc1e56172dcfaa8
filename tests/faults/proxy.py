"""A TCP line between two programs on this machine that can be cut, healed and slowed down, and counts its bytes."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

PIECE_BYTES = 64 * 1024
SLOW_PIECE_BYTES = 2048
SLOW_BUFFER_BYTES = 8 * 1024


class Way:
    """One direction of a line; all its connections share the rate."""

    def __init__(self, bytes_per_s: float | None) -> None:
        self._rate = bytes_per_s
        self._lock = threading.Lock()
        self._free_at = 0.0
        self.passed = 0

    @property
    def is_slow(self) -> bool:
        return self._rate is not None

    def take(self, count: int) -> None:
        """Wait until so many bytes may pass."""
        with self._lock:
            self.passed += count
            now = time.monotonic()
            self._free_at = max(self._free_at, now) + (count / self._rate if self._rate else 0)
            wait_s = self._free_at - now
        if wait_s > 0:
            time.sleep(wait_s)


class Line:
    """Passes bytes to `port` until it is cut; then every connection breaks and new ones are refused at once.
    `up`: towards `port`; `down`: its answers.
    """

    def __init__(self, port: int, *, up_bytes_per_s: float | None, down_bytes_per_s: float | None) -> None:
        self._target = ("127.0.0.1", port)
        self.up, self.down = Way(up_bytes_per_s), Way(down_bytes_per_s)
        self._listener = socket.create_server(("127.0.0.1", 0))
        if self.up.is_slow:
            self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SLOW_BUFFER_BYTES)
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._is_cut = False
        self.broken = 0  # connections that were open when the line was cut
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def cut(self) -> None:
        with self._lock:
            self._is_cut = True
            self.broken += len(self._open) // 2
            for end in self._open:
                with contextlib.suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)

    def heal(self) -> None:
        with self._lock:
            self._is_cut = False

    def close(self) -> None:
        self.cut()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                near, _address = self._listener.accept()
            except OSError:
                return
            with self._lock:
                is_cut = self._is_cut
            if is_cut:
                near.close()
                continue
            threading.Thread(target=self._join, args=(near,), daemon=True).start()

    def _join(self, near: socket.socket) -> None:
        try:
            far = self._connect()
        except OSError:
            near.close()
            return
        with self._lock:
            self._open |= {near, far}
        back = threading.Thread(target=_pass_on, args=(far, near, self.down), daemon=True)
        back.start()
        _pass_on(near, far, self.up)
        back.join()
        with self._lock:
            self._open -= {near, far}
        near.close()
        far.close()

    def _connect(self) -> socket.socket:
        """A slow way holds little in its buffers: what was sent into it is on its way."""
        far = socket.socket()
        if self.down.is_slow:
            far.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SLOW_BUFFER_BYTES)
        try:
            far.connect(self._target)
        except OSError:
            far.close()
            raise
        return far


def _pass_on(source: socket.socket, target: socket.socket, way: Way) -> None:
    piece_bytes = SLOW_PIECE_BYTES if way.is_slow else PIECE_BYTES
    with contextlib.suppress(OSError):
        while data := source.recv(piece_bytes):
            way.take(len(data))
            target.sendall(data)
    for end in (source, target):
        with contextlib.suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)


@contextmanager
def line_to(
    port: int, *, up_bytes_per_s: float | None = None, down_bytes_per_s: float | None = None
) -> Iterator[Line]:
    line = Line(port, up_bytes_per_s=up_bytes_per_s, down_bytes_per_s=down_bytes_per_s)
    try:
        yield line
    finally:
        line.close()
