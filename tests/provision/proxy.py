"""A wire to a Redis that can be cut, mended, or made to swallow everything: it still accepts, and says nothing."""

from __future__ import annotations

import selectors
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class Wire:
    """Listens on loopback, passes bytes on to a socket in the file system."""

    def __init__(self, target: Path) -> None:
        self._target = target
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._lock = threading.Lock()
        self._pairs: dict[socket.socket, socket.socket] = {}
        self._silent: list[socket.socket] = []
        self._mode = "open"
        self._is_over = False
        self._thread = threading.Thread(target=self._run, name="wire", daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self._listener.getsockname()[1]}"

    def altered(self, data: bytes) -> bytes:
        """What is passed on of it."""
        return data

    def mend(self) -> None:
        self._become("open")

    def cut(self) -> None:
        """Every connection breaks, and new ones are closed at once."""
        self._become("cut")

    def swallow(self) -> None:
        """Connections stay, new ones are taken, and nobody answers."""
        self._become("silent")

    def close(self) -> None:
        self._is_over = True
        self._thread.join()
        for each in (self._listener, *self._pairs, *self._silent):
            each.close()
        self._selector.close()

    def _become(self, mode: str) -> None:
        with self._lock:
            self._mode = mode
            if mode == "silent":
                return
            for each in self._silent:
                each.close()
            self._silent.clear()
            if mode == "cut":
                for each in list(self._pairs):
                    self._drop(each)

    def _run(self) -> None:
        while not self._is_over:
            for key, _events in self._selector.select(0.05):
                with self._lock:
                    if key.fileobj is self._listener:
                        self._accept()
                    elif key.fileobj in self._pairs:
                        self._pass_on(key.fileobj)  # type: ignore[arg-type]

    def _accept(self) -> None:
        here, _address = self._listener.accept()
        if self._mode == "silent":
            self._silent.append(here)
            return
        there = socket.socket(socket.AF_UNIX)
        try:
            if self._mode == "cut":
                raise ConnectionError
            there.connect(str(self._target))
        except OSError:
            here.close()
            there.close()
            return
        self._pairs |= {here: there, there: here}
        for each in (here, there):
            self._selector.register(each, selectors.EVENT_READ)

    def _pass_on(self, source: socket.socket) -> None:
        try:
            data = source.recv(65536)
            if data and self._mode != "silent":
                self._pairs[source].sendall(self.altered(data))
        except OSError:
            data = b""
        if not data:
            self._drop(source)

    def _drop(self, source: socket.socket) -> None:
        other = self._pairs.pop(source, None)
        if other is None:
            return
        self._pairs.pop(other, None)
        for each in (source, other):
            self._selector.unregister(each)
            each.close()


@contextmanager
def wired(target: Path) -> Iterator[Wire]:
    wire = Wire(target)
    try:
        yield wire
    finally:
        wire.close()
