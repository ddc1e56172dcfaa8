"""Segments on their way to the coordinator while the next ones are made: a short queue, a few at once."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from encoder.model import Segment

from .contract import Claim, Coordinator, Refused

logger = logging.getLogger(__name__)

WAIT_S = 0.2
MOST_BYTES = 64 << 20  # a minute of a ladder up to 1080p


class Outbox:
    """Sends in the background, first come first sent. What goes wrong is raised by the next call.

    It is full from `most_bytes` on until half of that has gone, so that whoever fills it stops and starts seldom.
    """

    def __init__(self, name: str, *, at_once: int = 2, most_bytes: int = MOST_BYTES) -> None:
        self._name = name
        self._at_once = at_once
        self._most_bytes = most_bytes
        self._moved = threading.Condition()
        self._waiting: list[tuple[Callable[[], object], int]] = []
        self._running = 0
        self._held_bytes = 0
        self._is_full = False
        self._error: Exception | None = None

    def put(self, send: Callable[[], object], size_bytes: int) -> None:
        """Raises what an earlier one raised; nothing more is sent then."""
        with self._moved:
            self._raise_error()
            self._waiting.append((send, size_bytes))
            self._hold(size_bytes)
            if self._running < self._at_once:
                self._running += 1
                threading.Thread(target=self._work, name=self._name, daemon=True).start()

    def is_full(self) -> bool:
        """Nothing should be put in for now, though it may. Raises like `put`."""
        with self._moved:
            self._raise_error()
            return self._is_full

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
        while (chosen := self._next()) is not None:
            send, size_bytes = chosen
            try:
                send()
            except Exception as error:
                self._fail(error)
            with self._moved:
                self._hold(-size_bytes)

    def _next(self) -> tuple[Callable[[], object], int] | None:
        with self._moved:
            if not self._waiting:
                self._running -= 1
            self._moved.notify_all()
            return self._waiting.pop(0) if self._waiting else None

    def _hold(self, more_bytes: int) -> None:
        self._held_bytes += more_bytes
        limit = self._most_bytes / 2 if self._is_full else self._most_bytes
        self._is_full = self._held_bytes > limit

    def _fail(self, error: Exception) -> None:
        with self._moved:
            self._error = self._error or error
            self._waiting.clear()

    def _raise_error(self) -> None:
        if self._error is not None:
            raise self._error


class Outboxes:
    """One coordinator's: an outbox for each lease. See Outbox."""

    def __init__(self, *, at_once: int = 2, most_bytes: int = MOST_BYTES) -> None:
        self._at_once = at_once
        self._most_bytes = most_bytes
        self._of: dict[str, Outbox] = {}  # by token

    def put(self, claim: Claim, send: Callable[[], object], size_bytes: int) -> None:
        made = Outbox(f"outbox-{claim.job_id}", at_once=self._at_once, most_bytes=self._most_bytes)
        self._of.setdefault(claim.token, made).put(send, size_bytes)

    def is_full(self, claim: Claim) -> bool:
        outbox = self._of.get(claim.token)
        return outbox is not None and outbox.is_full()

    def flush(self, claim: Claim) -> None:
        if (outbox := self._of.get(claim.token)) is not None:
            outbox.flush()

    def flush_anyhow(self, claim: Claim) -> None:
        """Before a job is given back: whatever is wrong with what is finished, it is given back all the same."""
        try:
            self.flush(claim)
        except Exception:
            facts = {"job_id": claim.job_id}
            logger.warning("a finished segment was not handed in", exc_info=True, extra=facts)

    def drop(self, claim: Claim) -> None:
        if (outbox := self._of.pop(claim.token, None)) is not None:
            outbox.abandon()


def send_wanted(line: Coordinator, claim: Claim, segment: Segment, send: Callable[[], object]) -> None:
    """A part that a viewer's demand gave to another job meanwhile is not missed here."""
    try:
        send()
    except Refused:
        if segment.index < line.renew(claim, None).end_segment:
            raise
