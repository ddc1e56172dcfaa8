"""One film's source on a host without the storage: what its readers need is fetched, shared, and fetched once.

A reader is one connection of an ffmpeg. What it waits for comes first; then what lies ahead of it, further the longer
it reads on in order, so that a reader who jumps about fetches little and one who reads on never waits.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass

from encoder.inputs import Loopback

from .blocks import BlockFile
from .contract import Claim, LeaseLost, Unavailable

logger = logging.getLogger(__name__)

AT_ONCE = 3  # connections of one film
MOST_LEAD = 16  # blocks ahead of a reader
RUN = 8  # blocks of one request
WAIT_S = 0.2
BREAK_PAUSE_S = 1.0  # between two tries when the line is broken
ABANDON_S = 1.0  # a request that runs longer than this ends when nobody wants the rest of it

#: (claim, start, stop, etag): the bytes [start, stop) of the source in that state, as they come. Raises Unavailable
#: when the line breaks, LeaseLost, SourceUnreadable when the state is another one.
Fetch = Callable[[Claim, int, int, str], AbstractContextManager[Iterator[bytes]]]


@dataclass(slots=True, eq=False)
class Reader:
    """Where one connection stands."""

    reading: Reading
    block: int
    lead: int = 1
    waits_since: float | None = None

    def wants(self, block: int) -> bool:
        return self.block <= block < self.block + self.lead


class Reading:
    """One job's reading of a film: what `open_source` answers. See contract.OpenedSource."""

    def __init__(self, film: Film, claim: Claim, address: Loopback) -> None:
        self.film = film
        self.claim = claim
        self.address = address
        self.trouble: Exception | None = None
        self.is_closed = False

    @property
    def state(self) -> str:
        return self.film.etag

    @property
    def waited_s(self) -> float:
        return self.film.waited_s(self)

    def check(self) -> None:
        if self.trouble is not None:
            raise self.trouble


class Film:
    """`make_room(bytes)` raises StorageFull when there is no place for so much more."""

    def __init__(self, blocks: BlockFile, etag: str, fetch: Fetch, make_room: Callable[[int], None]) -> None:
        self.blocks = blocks
        self.etag = etag
        self._fetch = fetch
        self._make_room = make_room
        self._moved = threading.Condition()
        self._readings: list[Reading] = []
        self._readers: list[Reader] = []
        self._coming: set[int] = set()
        self._fetchers = 0
        self._heard_at = time.monotonic()  # when the last bytes came
        self._silent_since: float | None = None  # since when the line has been broken

    # --- readings -------------------------------------------------------------------------------------------

    def open(self, reading: Reading) -> None:
        with self._moved:
            self._silent_since = None
            self._readings.append(reading)

    def close(self, reading: Reading) -> None:
        """Its connections end; what nobody else wants is fetched no further."""
        with self._moved:
            reading.is_closed = True
            self._readings.remove(reading)
            self._moved.notify_all()

    def waited_s(self, reading: Reading) -> float:
        with self._moved:
            now = time.monotonic()
            return max(
                (now - (each.waits_since or now) for each in self._readers if each.reading is reading),
                default=0.0,
            )

    def shed(self, wanted_bytes: int) -> int:
        """Give up what nobody reads at the moment, from the front on, until so much is free. It can be had again.
        Returns how many bytes that was.
        """
        shed_bytes = 0
        with self._moved:
            for block in range(self.blocks.count):
                if shed_bytes >= wanted_bytes:
                    break
                if not any(reader.wants(block) for reader in self._readers):
                    shed_bytes += self.blocks.forget(block)
        return shed_bytes

    # --- readers --------------------------------------------------------------------------------------------

    @contextmanager
    def reader(self, reading: Reading, block: int) -> Iterator[Reader]:
        reader = Reader(reading, block)
        with self._moved:
            self._readers.append(reader)
        try:
            yield reader
        finally:
            with self._moved:
                self._readers.remove(reader)

    def bring(self, reader: Reader, block: int, is_gone: Callable[[], bool]) -> bool:
        """Wait until the block is here. False: the reader has gone, or its job has.

        When something is wrong this waits on: a reader that heard of an end would take it for the end of the film, and
        its job learns the truth from `Reading.check`.
        """
        with self._moved:
            self._step(reader, block)
            while not self.blocks.has(block):
                reader.waits_since = reader.waits_since or time.monotonic()
                self._start_fetchers()
                self._moved.wait(WAIT_S)
                if reader.reading.is_closed or is_gone():
                    return False
            reader.waits_since = None
            self._start_fetchers()
            return not reader.reading.is_closed

    def _step(self, reader: Reader, block: int) -> None:
        if block > reader.block:
            reader.lead = min(MOST_LEAD, reader.lead + 1)
        reader.block = block

    # --- fetching -------------------------------------------------------------------------------------------

    def _start_fetchers(self) -> None:
        if self._fetchers < AT_ONCE and self._next_run() is not None:
            self._fetchers += 1
            threading.Thread(target=self._fetch_runs, name="film", daemon=True).start()

    def _fetch_runs(self) -> None:
        while (chosen := self._take_run()) is not None:
            self._fetch_run(*chosen)

    def _take_run(self) -> tuple[Reading, range] | None:
        with self._moved:
            chosen = self._next_run()
            if chosen is None:
                self._fetchers -= 1
            else:
                self._coming.update(chosen[1])
            return chosen

    def _next_run(self) -> tuple[Reading, range] | None:
        """What is wanted most: the block somebody has waited for longest, else one that a reader will come to."""
        now = time.monotonic()
        for reader in sorted(self._readers, key=lambda each: each.waits_since or now):
            if reader.reading.is_closed or reader.reading.trouble is not None:
                continue
            end = min(reader.block + reader.lead, self.blocks.count)
            first = next((block for block in range(reader.block, end) if self._is_lacking(block)), end)
            # Small requests cost a round trip each: ahead of a reader they are as long as the lead allows.
            if first == reader.block or end - first >= min(RUN, max(1, reader.lead // 2)):
                run = self._run_from(first, min(end, first + RUN))
                if run:
                    return reader.reading, run
        return None

    def _run_from(self, first: int, end: int) -> range:
        stop = first
        while stop < end and self._is_lacking(stop):
            stop += 1
        return range(first, stop)

    def _is_lacking(self, block: int) -> bool:
        return not self.blocks.has(block) and block not in self._coming

    def _fetch_run(self, reading: Reading, run: range) -> None:
        began = time.monotonic()
        start, stop = self.blocks.span(run[0])[0], self.blocks.span(run[-1])[1]
        try:
            self._make_room(stop - start)
            with self._fetch(reading.claim, start, stop, self.etag) as pieces:
                self._keep(run, pieces, began)
        except Unavailable as away:
            self._note_silence(reading, began, away)
        except LeaseLost as lost:
            reading.trouble = lost
        except Exception as error:
            self.stop(error)
        finally:
            with self._moved:
                self._coming.difference_update(run)
                self._moved.notify_all()

    def _keep(self, run: range, pieces: Iterable[bytes], began: float) -> None:
        """Raises Unavailable when fewer bytes come than were asked for."""
        left = list(run)
        held = bytearray()
        for piece in pieces:
            self._heard_at, self._silent_since = time.monotonic(), None
            held += piece
            while left and len(held) >= (size := self._size_of(left[0])):
                block = left.pop(0)
                self.blocks.write(block, bytes(held[:size]))
                del held[:size]
                self._arrived(block)
                if left and time.monotonic() - began > ABANDON_S and not self._is_wanted(left):
                    return
        if left:
            raise Unavailable("the connection broke in the middle of the source")

    def _size_of(self, block: int) -> int:
        start, stop = self.blocks.span(block)
        return stop - start

    def _arrived(self, block: int) -> None:
        with self._moved:
            self._coming.discard(block)
            self._moved.notify_all()

    def _is_wanted(self, blocks: list[int]) -> bool:
        with self._moved:
            return any(reader.wants(block) for reader in self._readers for block in blocks)

    def _note_silence(self, reading: Reading, began: float, away: Unavailable) -> None:
        """A broken line is waited for as long as the lease can be believed in."""
        logger.info("the source is waited for: %s", away, extra={"job_id": reading.claim.job_id})
        with self._moved:
            if self._silent_since is None:
                self._silent_since = max(began, self._heard_at)
            is_over = time.monotonic() - self._silent_since > reading.claim.lease_s
        if is_over:
            self.stop(Unavailable("the source cannot be fetched"))
        time.sleep(BREAK_PAUSE_S)

    def stop(self, error: Exception) -> None:
        """Nobody who reads it now can go on: each hears why."""
        logger.warning("a source cannot be read on", exc_info=error)
        with self._moved:
            for reading in self._readings:
                reading.trouble = reading.trouble or error
            self._moved.notify_all()
