"""Sources on a host without the storage: fetched as they are read, shared by the jobs of a film, and dropped."""

from __future__ import annotations

import logging
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol
from uuid import uuid4

from encoder.errors import StorageFull

from .blocks import BLOCK_BYTES, BlockFile
from .contract import Claim, Drained
from .film import RUN, Film, Reading
from .film_server import FilmServer
from .source_state import SourceChanged

logger = logging.getLogger(__name__)

KEEP_IDLE_S = 600.0  # the next job of a film comes soon, or goes to somebody else
TURN_S = 0.2
RUN_BYTES = RUN * BLOCK_BYTES
SHED_BYTES = 8 * RUN_BYTES  # so that room is not made for every request
NO_ROOM = "The disk of the worker is too full for this film. Everything finished is kept."


@dataclass(frozen=True, slots=True)
class Head:
    """State, length and first block of a source."""

    etag: str
    size_bytes: int
    data: bytes


class SourceLine(Protocol):
    """Where sources come from."""

    def look(self, claim: Claim, etag: str) -> Head | None:
        """None: the source still is in the state `etag`. Raises LeaseLost, Unavailable, SourceUnreadable, Drained."""
        ...

    def fetch(
        self, claim: Claim, start: int, stop: int, etag: str
    ) -> AbstractContextManager[Iterator[bytes]]:
        """See film.Fetch."""
        ...


@dataclass(slots=True)
class Entry:
    film: Film | None = None
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
        *,
        reserve_bytes: int = 0,
    ) -> None:
        self._folder = folder
        self._max_bytes = max_bytes
        self._reserve_bytes = reserve_bytes
        self._leaving = leaving
        self._clock = clock
        self._lock = threading.Lock()
        self._entries: dict[int, Entry] = {}
        self._server = FilmServer()

    def open(self, claim: Claim, line: SourceLine) -> Reading:
        """The source of the claim's film, with what is here of it. Raises what `line.look` raises, and StorageFull."""
        self.tidy()
        entry = self._hold(claim)
        with self._alone(entry):
            entry.film = film = self._current(claim, entry.film, line)
            return self._server.open(film, claim)

    def touch(self, claim: Claim) -> None:
        with self._lock:
            entry = self._entries.get(claim.video_id)
            if entry is not None and claim.token in entry.holds:
                self._note(entry, claim)

    def let_go(self, claim: Claim) -> None:
        self._server.forget(claim)
        with self._lock:
            if (entry := self._entries.get(claim.video_id)) is not None:
                entry.holds.pop(claim.token, None)
        self.tidy()

    def tidy(self) -> None:
        """Drop what no lease holds and is old or too much, the longest unused first; all of that when the disk is
        short of room.
        """
        most = self._max_bytes if self._has_room(RUN_BYTES) else 0
        with self._lock:
            now = self._clock()
            idle = [item for item in self._entries.items() if not _is_held(item[1], now)]
            kept = sum(_size(entry) for _, entry in idle)
            for video_id, entry in sorted(idle, key=lambda item: item[1].used_at):
                if kept <= most and now - entry.used_at < KEEP_IDLE_S:
                    continue
                kept -= _size(entry)
                del self._entries[video_id]
                if entry.film is not None:
                    self._server.forget_film(entry.film)  # jobs whose leases were lost unheard
                    entry.film.blocks.drop()
                logger.info("source dropped", extra={"action": "source_dropped", "video_id": video_id})

    def close(self) -> None:
        self._server.close()

    def _current(self, claim: Claim, film: Film | None, line: SourceLine) -> Film:
        """The owner may have put another file in the place of the one that is kept here."""
        head = line.look(claim, film.etag if film else "")
        if head is None:
            assert film is not None  # there was a state to compare with
            return film
        if film is not None:
            film.stop(SourceChanged())
            film.blocks.drop()
        self._folder.mkdir(parents=True, exist_ok=True)
        self._make_room(len(head.data))
        blocks = BlockFile(self._folder / f"film-{claim.video_id}-{uuid4().hex[:8]}", head.size_bytes)
        try:
            blocks.write(0, head.data)
        except OSError:
            blocks.drop()
            raise
        return Film(blocks, head.etag, line.fetch, self._make_room)

    def _make_room(self, coming: int) -> None:
        """What nobody needs goes first, then what has been read of films that are larger than the disk."""
        if not self._has_room(coming):
            self.tidy()
        while not self._has_room(coming):  # others may take what was given up, as long as there is more
            if not self._shed():
                raise StorageFull(NO_ROOM)

    def _shed(self) -> int:
        """Returns how many bytes."""
        with self._lock:
            films = [entry.film for entry in self._entries.values() if entry.film is not None]
        return sum(film.shed(SHED_BYTES) for film in films)

    def _has_room(self, coming: int) -> bool:
        if not self._folder.exists():
            return True
        return shutil.disk_usage(self._folder).free - coming >= self._reserve_bytes

    def _hold(self, claim: Claim) -> Entry:
        with self._lock:
            entry = self._entries.setdefault(claim.video_id, Entry())
            self._note(entry, claim)
            return entry

    def _note(self, entry: Entry, claim: Claim) -> None:
        entry.used_at = self._clock()
        entry.holds[claim.token] = entry.used_at + claim.lease_s

    @contextmanager
    def _alone(self, entry: Entry) -> Iterator[None]:
        """One job looks at the source, the others of its film wait for it."""
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
    return entry.film.blocks.kept_bytes if entry.film else 0
