"""Segments on their way to the coordinator while the next ones are made: a short queue, a few at once."""

from __future__ import annotations

import threading
from collections.abc import Callable

WAIT_S = 0.2


class Outbox:
    """Sends in the background, first come first sent. What goes wrong is raised by the next call.

    `most`: when this many wait, `put` waits too, so that a slow line is felt where segments are made.
    """

    def __init__(self, name: str, *, at_once: int = 2, most: int = 8) -> None:
        self._name = name
        self._at_once = at_once
        self._most = most
        self._moved = threading.Condition()
        self._waiting: list[Callable[[], object]] = []
        self._running = 0
        self._error: Exception | None = None

    def put(self, send: Callable[[], object]) -> None:
        """Raises what an earlier one raised; nothing more is sent then."""
        with self._moved:
            while len(self._waiting) >= self._most and self._error is None:
                self._moved.wait(WAIT_S)
            self._raise_error()
            self._waiting.append(send)
            if self._running < self._at_once:
                self._running += 1
                threading.Thread(target=self._work, name=self._name, daemon=True).start()

    def flush(self) -> None:
        """Wait until everything is sent. Raises like `put`."""
        with self._moved:
            while self._running:
                self._moved.wait(WAIT_S)
            self._raise_error()

    def abandon(self) -> None:
        """Send nothing more; what is being sent now ends by itself."""
        with self._moved:
            self._waiting.clear()
            self._moved.notify_all()

    def _work(self) -> None:
        while (send := self._next()) is not None:
            try:
                send()
            except Exception as error:
                self._fail(error)

    def _next(self) -> Callable[[], object] | None:
        with self._moved:
            if not self._waiting:
                self._running -= 1
            self._moved.notify_all()
            return self._waiting.pop(0) if self._waiting else None

    def _fail(self, error: Exception) -> None:
        with self._moved:
            self._error = self._error or error
            self._waiting.clear()

    def _raise_error(self) -> None:
        if self._error is not None:
            raise self._error
