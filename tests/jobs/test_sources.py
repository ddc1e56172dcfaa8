"""Sources on a worker's host: fetched once for all jobs of a film, and not kept for ever."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from encoder.model import Chunk
from encoder.plan import make_plan
from jobs.contract import Claim, Drained, LeaseLost
from jobs.sources import KEEP_IDLE_S, Entry, Sources
from jobs.testing import FakeClock
from tests.factories import make_source

FILM = b"x" * 100
PLAN = make_plan(make_source(seconds=12))


class Line:
    """What fetches; counts how often."""

    def __init__(self) -> None:
        self.fetched = 0

    def __call__(self, entry: Entry) -> None:
        self.fetched += 1
        entry.part.write_bytes(FILM)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def line() -> Line:
    return Line()


def make_sources(folder: Path, clock: FakeClock, *, most: int = 1000) -> Sources:
    return Sources(folder / "films", most, threading.Event(), clock)


def lease(video: int, token: str) -> Claim:
    return Claim(1, token, 120.0, 1, "encode", video, PLAN, Chunk(0, 2), ("360p",))


def test_jobs_of_one_film_share_one_fetch(tmp_path: Path, clock: FakeClock, line: Line) -> None:
    sources = make_sources(tmp_path, clock)
    paths = {sources.get(lease(1, token), line) for token in "abc"}
    assert line.fetched == 1
    assert [path.read_bytes() for path in paths] == [FILM]


def test_jobs_that_ask_at_once_share_one_fetch_too(tmp_path: Path, clock: FakeClock) -> None:
    sources, line = make_sources(tmp_path, clock), Line()
    ready = threading.Barrier(4)

    def ask(token: str) -> None:
        ready.wait(5)
        sources.get(lease(1, token), line)

    threads = [threading.Thread(target=ask, args=(token,)) for token in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(5)
    assert line.fetched == 1


def test_a_source_is_kept_for_the_next_job_and_dropped_when_none_comes(
    tmp_path: Path, clock: FakeClock, line: Line
) -> None:
    sources = make_sources(tmp_path, clock)
    path = sources.get(lease(1, "a"), line)
    sources.let_go(lease(1, "a"))
    clock.advance(KEEP_IDLE_S - 1)
    sources.tidy()
    assert path.exists()
    clock.advance(2)
    sources.tidy()
    assert not path.exists()
    sources.get(lease(1, "b"), line)
    assert line.fetched == 2


def test_the_longest_unused_goes_first_when_they_take_too_much(
    tmp_path: Path, clock: FakeClock, line: Line
) -> None:
    sources = make_sources(tmp_path, clock, most=250)
    paths = []
    for video in (1, 2, 3):
        paths.append(sources.get(lease(video, str(video)), line))
        sources.let_go(lease(video, str(video)))
        clock.advance(1)
    assert [path.exists() for path in paths] == [False, True, True]


def test_what_a_lease_holds_is_never_dropped(tmp_path: Path, clock: FakeClock, line: Line) -> None:
    sources = make_sources(tmp_path, clock, most=0)
    held = sources.get(lease(1, "a"), line)
    for _ in range(20):
        clock.advance(100)
        sources.touch(lease(1, "a"))  # as every renewal does
        sources.tidy()
    assert held.exists()
    sources.let_go(lease(1, "a"))
    assert not held.exists()


def test_a_lease_that_is_no_longer_renewed_holds_nothing(
    tmp_path: Path, clock: FakeClock, line: Line
) -> None:
    sources = make_sources(tmp_path, clock, most=0)
    path = sources.get(lease(1, "a"), line)
    clock.advance(121)
    sources.tidy()
    assert not path.exists()


def test_a_fetch_that_fails_keeps_what_came_for_the_next(tmp_path: Path, clock: FakeClock) -> None:
    sources = make_sources(tmp_path, clock)

    def break_off(entry: Entry) -> None:
        entry.part.write_bytes(FILM[:40])
        entry.etag = "state"
        raise LeaseLost("gone")

    def go_on(entry: Entry) -> None:
        assert (entry.part.read_bytes(), entry.etag) == (FILM[:40], "state")
        entry.part.write_bytes(FILM)

    with pytest.raises(LeaseLost):
        sources.get(lease(1, "a"), break_off)
    assert sources.get(lease(1, "b"), go_on).read_bytes() == FILM


def test_who_waits_for_a_fetch_leaves_when_the_worker_does(tmp_path: Path, clock: FakeClock) -> None:
    leaving, started, over = threading.Event(), threading.Event(), threading.Event()
    sources = Sources(tmp_path, 1000, leaving, clock)

    def slow(entry: Entry) -> None:
        started.set()
        over.wait(5)
        entry.part.write_bytes(FILM)

    fetcher = threading.Thread(target=sources.get, args=(lease(1, "a"), slow))
    fetcher.start()
    started.wait(5)
    leaving.set()
    with pytest.raises(Drained):
        sources.get(lease(1, "b"), slow)
    over.set()
    fetcher.join(5)
