"""Sources on a worker's host: one for all jobs of a film, and not kept for ever."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from encoder.model import Chunk
from encoder.plan import make_plan
from jobs.contract import Claim, Drained
from jobs.sources import KEEP_IDLE_S, Head, Sources
from jobs.testing import FakeClock
from tests.factories import make_source
from tests.jobs.source_lines import CountingLine

FILM = b"x" * 100
PLAN = make_plan(make_source(seconds=12))


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def line() -> CountingLine:
    return CountingLine(FILM)


@pytest.fixture
def opened() -> Iterator[list[Sources]]:
    sources: list[Sources] = []
    yield sources
    for each in sources:
        each.close()


class Shelf:
    """Sources in a folder whose files can be counted."""

    def __init__(self, folder: Path, clock: FakeClock, opened: list[Sources]) -> None:
        self.folder = folder / "films"
        self.clock = clock
        self._opened = opened

    def sources(self, *, most: int = 1000) -> Sources:
        made = Sources(self.folder, most, threading.Event(), self.clock)
        self._opened.append(made)
        return made

    @property
    def films(self) -> list[str]:
        return sorted("-".join(path.name.split("-")[:2]) for path in self.folder.iterdir())


@pytest.fixture
def shelf(tmp_path: Path, clock: FakeClock, opened: list[Sources]) -> Shelf:
    return Shelf(tmp_path, clock, opened)


def lease(video: int, token: str) -> Claim:
    return Claim(1, token, 120.0, 1, "encode", video, PLAN, Chunk(0, 2), ("360p",))


def test_jobs_of_one_film_share_one_file(shelf: Shelf, line: CountingLine) -> None:
    sources = shelf.sources()
    for token in "abc":
        sources.open(lease(1, token), line)
    assert shelf.films == ["film-1"]
    assert line.looks == 3


def test_jobs_that_ask_at_once_share_one_file_too(shelf: Shelf, line: CountingLine) -> None:
    sources, ready = shelf.sources(), threading.Barrier(4)

    def ask(token: str) -> None:
        ready.wait(5)
        sources.open(lease(1, token), line)

    threads = [threading.Thread(target=ask, args=(token,)) for token in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(5)
    assert shelf.films == ["film-1"]


def test_a_source_is_kept_for_the_next_job_and_dropped_when_none_comes(
    shelf: Shelf, line: CountingLine
) -> None:
    sources = shelf.sources()
    sources.open(lease(1, "a"), line)
    sources.let_go(lease(1, "a"))
    shelf.clock.advance(KEEP_IDLE_S - 1)
    sources.tidy()
    assert shelf.films == ["film-1"]
    shelf.clock.advance(2)
    sources.tidy()
    assert shelf.films == []


def test_the_longest_unused_goes_first_when_they_take_too_much(shelf: Shelf, line: CountingLine) -> None:
    sources = shelf.sources(most=250)
    for video in (1, 2, 3):
        sources.open(lease(video, str(video)), line)
        sources.let_go(lease(video, str(video)))
        shelf.clock.advance(1)
    assert shelf.films == ["film-2", "film-3"]


def test_what_a_lease_holds_is_never_dropped(shelf: Shelf, line: CountingLine) -> None:
    sources = shelf.sources(most=0)
    sources.open(lease(1, "a"), line)
    for _ in range(20):
        shelf.clock.advance(100)
        sources.touch(lease(1, "a"))  # as every renewal does
        sources.tidy()
    assert shelf.films == ["film-1"]
    sources.let_go(lease(1, "a"))
    assert shelf.films == []


def test_a_lease_that_is_no_longer_renewed_holds_nothing(shelf: Shelf, line: CountingLine) -> None:
    sources = shelf.sources(most=0)
    reading = sources.open(lease(1, "a"), line)
    shelf.clock.advance(121)
    sources.tidy()
    assert shelf.films == []
    assert reading.is_closed


def test_a_disk_that_is_short_of_room_keeps_nothing_idle(
    tmp_path: Path,
    clock: FakeClock,
    line: CountingLine,
    opened: list[Sources],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sources = Sources(tmp_path / "films", 1 << 30, threading.Event(), clock, reserve_bytes=1)
    opened.append(sources)
    for video, token in ((1, "a"), (2, "b")):
        sources.open(lease(video, token), line)
    sources._reserve_bytes = 1 << 60
    sources.let_go(lease(1, "a"))
    assert [path.name.startswith("film-2-") for path in (tmp_path / "films").iterdir()] == [True]


def test_who_waits_for_a_look_leaves_when_the_worker_does(tmp_path: Path, clock: FakeClock) -> None:
    leaving, started, over = threading.Event(), threading.Event(), threading.Event()
    sources = Sources(tmp_path, 1000, leaving, clock)

    class Slow(CountingLine):
        def look(self, claim: Claim, etag: str) -> Head | None:
            started.set()
            over.wait(5)
            return CountingLine.look(self, claim, etag)

    line = Slow(FILM)
    asker = threading.Thread(target=sources.open, args=(lease(1, "a"), line))
    asker.start()
    started.wait(5)
    leaving.set()
    with pytest.raises(Drained):
        sources.open(lease(1, "b"), line)
    over.set()
    asker.join(5)
    sources.close()
