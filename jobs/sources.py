"""Sources of films on a host without the storage: each is fetched once, shared by the jobs of its film, and dropped."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from .contract import Claim, Drained

logger = logging.getLogger(__name__)

KEEP_IDLE_S = 600.0  # the next job of a film comes soon, or goes to somebody else
TURN_S = 0.2


@dataclass(slots=True)
class Entry:
    """One film's source. While it is fetched `path` grows under `part`; `etag` is the state of the file it is of."""

    path: Path
    part: Path
    etag: str = ""
    lock: threading.Lock = field(default_factory=threading.Lock)
    holds: dict[str, float] = field(default_factory=dict)  # lease token -> believed until
    used_at: float = 0.0


class Sources:
    """A lease holds its film's source while it is renewed (`touch`); nobody has to let go of a lost one."""

    def __init__(
        self,
        folder: Path,
        max_bytes: int,
        leaving: threading.Event,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._folder = folder
        self._max_bytes = max_bytes
        self._leaving = leaving
        self._clock = clock
        self._lock = threading.Lock()
        self._entries: dict[int, Entry] = {}

    def get(
        self,
        claim: Claim,
        fetch: Callable[[Entry], None],
        is_current: Callable[[Entry], bool] = lambda _entry: True,
    ) -> Path:
        """The source of the claim's film. `fetch` brings what is missing of `part`. Raises Drained, and what `fetch`
        raises: what came until then is kept for the next try. `is_current`: whether the site still has this file.
        """
        self.tidy()
        entry = self._hold(claim)
        with self._alone(entry):
            if not (entry.path.exists() and is_current(entry)):
                entry.path.unlink(missing_ok=True)  # who reads it now goes on reading it
                entry.part.parent.mkdir(parents=True, exist_ok=True)
                fetch(entry)
                entry.part.rename(entry.path)
        return entry.path

    def touch(self, claim: Claim) -> None:
        with self._lock:
            entry = self._entries.get(claim.video_id)
            if entry is not None and claim.token in entry.holds:
                self._note(entry, claim)

    def let_go(self, claim: Claim) -> None:
        with self._lock:
            if (entry := self._entries.get(claim.video_id)) is not None:
                entry.holds.pop(claim.token, None)
        self.tidy()

    def tidy(self) -> None:
        """Drop what no lease holds and is old or too much, the longest unused first."""
        with self._lock:
            now = self._clock()
            idle = [item for item in self._entries.items() if not _is_held(item[1], now)]
            kept = sum(_size(entry) for _, entry in idle)
            for video_id, entry in sorted(idle, key=lambda item: item[1].used_at):
                if kept <= self._max_bytes and now - entry.used_at < KEEP_IDLE_S:
                    continue
                kept -= _size(entry)
                del self._entries[video_id]
                entry.path.unlink(missing_ok=True)
                entry.part.unlink(missing_ok=True)
                logger.info("source dropped", extra={"action": "source_dropped", "video_id": video_id})

    def _hold(self, claim: Claim) -> Entry:
        with self._lock:
            name = f"film-{claim.video_id}"
            entry = self._entries.setdefault(
                claim.video_id, Entry(self._folder / name, self._folder / f"{name}.part")
            )
            self._note(entry, claim)
            return entry

    def _note(self, entry: Entry, claim: Claim) -> None:
        entry.used_at = self._clock()
        entry.holds[claim.token] = entry.used_at + claim.lease_s

    @contextmanager
    def _alone(self, entry: Entry) -> Iterator[None]:
        """One job fetches, the others of its film wait for it."""
        while not entry.lock.acquire(timeout=TURN_S):
            if self._leaving.is_set():
                raise Drained
        try:
            yield
        finally:
            entry.lock.release()


def _is_held(entry: Entry, now: float) -> bool:
    return entry.lock.locked() or any(until > now for until in entry.holds.values())


def _size(entry: Entry) -> int:
    return sum(path.stat().st_size for path in (entry.path, entry.part) if path.exists())
