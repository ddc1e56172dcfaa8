"""A film that is fetched as it is read: the bytes are right, come once, and trouble is never taken for its end."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx2
import pytest

from encoder.errors import SourceUnreadable, StorageFull
from encoder.inputs import Loopback
from encoder.model import Chunk
from encoder.plan import make_plan
from jobs import film
from jobs import sources as sources_module
from jobs.blocks import BLOCK_BYTES
from jobs.contract import Claim, LeaseLost, Unavailable
from jobs.film import MOST_LEAD, Reading
from jobs.sources import RUN_BYTES, Sources
from tests.factories import make_source
from tests.jobs.source_lines import CountingLine

FILM = random.Random(7).randbytes(40 * BLOCK_BYTES + 12_345)
PLAN = make_plan(make_source(seconds=12))
PATIENCE_S = 20.0
NEVER = threading.Event()


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(film, "BREAK_PAUSE_S", 0.02)


@pytest.fixture
def sources(tmp_path: Path) -> Iterator[Sources]:
    sources = Sources(tmp_path / "films", 1 << 30, threading.Event())
    yield sources
    sources.close()


def lease(token: str = "a", *, lease_s: float = 60.0) -> Claim:
    return Claim(1, token, lease_s, 1, "encode", 1, PLAN, Chunk(0, 2), ("360p",))


def url_of(reading: Reading) -> str:
    assert isinstance(reading.address, Loopback)
    return reading.address.url


def read(reading: Reading, start: int = 0, stop: int | None = None) -> bytes:
    last = "" if stop is None else stop - 1
    answer = httpx2.get(url_of(reading), headers={"Range": f"bytes={start}-{last}"}, timeout=PATIENCE_S)
    assert answer.status_code == 206
    return answer.content


def begin(call: Callable[[], object]) -> threading.Thread:
    def run() -> None:
        try:
            call()
        except httpx2.HTTPError:
            pass  # what is read is judged where it is read to the end

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    return thread


def wait_until(condition: Callable[[], object]) -> None:
    until = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < until, "waited too long"
        NEVER.wait(0.02)


def trouble_of(reading: Reading) -> Exception:
    wait_until(lambda: reading.trouble)
    with pytest.raises(Exception) as caught:
        reading.check()
    return caught.value


def test_every_range_has_the_bytes_of_the_source(sources: Sources) -> None:
    reading = sources.open(lease(), CountingLine(FILM))
    dice = random.Random(1)
    for _ in range(30):
        start, stop = sorted(dice.sample(range(len(FILM)), 2))
        assert read(reading, start, stop) == FILM[start:stop]
    assert read(reading) == FILM
    assert httpx2.get(url_of(reading)).content == FILM


def test_its_size_is_told_and_what_lies_behind_its_end_is_refused(sources: Sources) -> None:
    reading = sources.open(lease(), CountingLine(FILM))
    assert httpx2.head(url_of(reading)).headers["Content-Length"] == str(len(FILM))
    answer = httpx2.get(url_of(reading), headers={"Range": f"bytes={len(FILM)}-"})
    assert (answer.status_code, answer.headers["Content-Range"]) == (416, f"bytes */{len(FILM)}")


def test_a_wrong_address_shows_nothing(sources: Sources) -> None:
    reading = sources.open(lease(), CountingLine(FILM))
    assert httpx2.get(url_of(reading).replace("/film", "/film2")).status_code == 404
    sources.let_go(lease())
    assert httpx2.get(url_of(reading)).status_code == 404


def test_a_reader_that_jumps_fetches_little(sources: Sources) -> None:
    line = CountingLine(FILM)
    reading = sources.open(lease(), line)
    for block in range(2, 38, 6):
        at = block * BLOCK_BYTES + 1000
        assert read(reading, at, at + 100) == FILM[at : at + 100]
    assert line.sent_bytes <= 12 * BLOCK_BYTES


def test_a_reader_is_followed_no_further_than_the_lead(sources: Sources) -> None:
    line = CountingLine(FILM)
    reading = sources.open(lease(), line)
    assert read(reading, 0, 10 * BLOCK_BYTES) == FILM[: 10 * BLOCK_BYTES]
    settled = line.sent_bytes
    assert settled <= (10 + MOST_LEAD) * BLOCK_BYTES


def test_two_jobs_of_a_film_share_every_block(sources: Sources) -> None:
    line = CountingLine(FILM)
    readings = [sources.open(lease(token), line) for token in "ab"]
    got: list[bytes] = []
    threads = [begin(lambda each=each: got.append(read(each))) for each in readings]  # type: ignore[misc]
    for thread in threads:
        thread.join(PATIENCE_S)
    assert got == [FILM, FILM]
    assert line.sent_bytes == len(FILM) - BLOCK_BYTES  # the first block came with the look at its state


def test_a_line_that_breaks_again_and_again_costs_no_byte_twice_but_the_block_in_hand(
    sources: Sources,
) -> None:
    line = CountingLine(FILM)
    reading = sources.open(lease(), line)
    got: list[bytes] = []
    thread = begin(lambda: got.append(read(reading)))
    while thread.is_alive():
        line.cut_after = 300_000
        NEVER.wait(0.05)
    assert got == [FILM]
    assert reading.trouble is None
    assert line.sent_bytes < 2 * len(FILM)


def test_a_reader_of_a_cut_line_waits_and_says_so_until_it_is_healed(sources: Sources) -> None:
    line = CountingLine(FILM, cut_after=5 * BLOCK_BYTES)
    reading = sources.open(lease(), line)
    got: list[bytes] = []
    thread = begin(lambda: got.append(read(reading)))
    wait_until(lambda: reading.waited_s > 0.3)
    assert thread.is_alive()
    line.cut_after = None
    thread.join(PATIENCE_S)
    assert got == [FILM]
    assert reading.waited_s == 0


def test_a_line_that_is_dead_for_good_is_told_to_the_job_and_not_to_its_ffmpeg(sources: Sources) -> None:
    line = CountingLine(FILM, cut_after=0)
    reading = sources.open(lease(lease_s=0.5), line)
    thread = begin(lambda: read(reading))
    assert isinstance(trouble_of(reading), Unavailable)
    assert thread.is_alive(), "the reader was told that the film ends here"
    sources.let_go(lease())
    thread.join(PATIENCE_S)
    assert not thread.is_alive()


def test_after_a_dead_line_the_next_job_of_the_film_begins_with_a_clean_slate(sources: Sources) -> None:
    line = CountingLine(FILM, cut_after=0)
    reading = sources.open(lease(lease_s=0.3), line)
    begin(lambda: read(reading))
    trouble_of(reading)
    line.cut_after = None
    assert read(sources.open(lease("b"), line)) == FILM


def test_a_source_that_changes_ends_the_job_with_its_reason(sources: Sources) -> None:
    line = CountingLine(FILM)
    reading = sources.open(lease(), line)
    read(reading, 0, BLOCK_BYTES)
    line.data, line.etag = FILM[::-1], "2"
    begin(lambda: read(reading, 30 * BLOCK_BYTES))
    error = trouble_of(reading)
    assert isinstance(error, SourceUnreadable)
    assert (error.code, error.is_final) == ("source_changed", True)
    assert read(sources.open(lease("b"), line)) == FILM[::-1], "bytes of two files were mixed"


def test_a_job_that_looks_again_and_finds_another_file_ends_the_others(sources: Sources) -> None:
    line = CountingLine(FILM)
    old = sources.open(lease(), line)
    line.data, line.etag = FILM[::-1], "2"
    new = sources.open(lease("b"), line)
    assert getattr(trouble_of(old), "code", "") == "source_changed"
    assert read(new) == FILM[::-1]


def test_a_lost_lease_stops_only_its_own_job(sources: Sources) -> None:
    line = CountingLine(FILM)
    lost, kept = sources.open(lease("a"), line), sources.open(lease("b"), line)
    line.lost = {"a"}
    begin(lambda: read(lost, 20 * BLOCK_BYTES))
    assert isinstance(trouble_of(lost), LeaseLost)
    assert read(kept) == FILM
    assert kept.trouble is None


def test_what_one_job_waited_for_longest_comes_before_what_another_may_need(sources: Sources) -> None:
    line = CountingLine(FILM)
    line.opened.clear()
    reading = sources.open(lease(), line)
    first = begin(lambda: read(reading, 10 * BLOCK_BYTES, 11 * BLOCK_BYTES))
    wait_until(lambda: reading.waited_s > 0)
    line.opened.set()
    first.join(PATIENCE_S)
    assert line.sent[0][0] == 10 * BLOCK_BYTES


def test_a_disk_without_room_ends_the_job_and_not_the_film(tmp_path: Path) -> None:
    sources = Sources(tmp_path / "films", 1 << 30, threading.Event(), reserve_bytes=1 << 60)
    try:
        (tmp_path / "films").mkdir()
        with pytest.raises(StorageFull):
            sources.open(lease(), CountingLine(FILM))
        assert list((tmp_path / "films").iterdir()) == []
    finally:
        sources.close()


def test_a_film_larger_than_the_disk_is_read_all_the_same(
    sources: Sources, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk holds half of it; what lies behind the reader makes room for what comes."""
    room = len(FILM) // 2
    line = CountingLine(FILM)
    reading = sources.open(lease(), line)
    kept: list[int] = []

    def has_room(coming: int) -> bool:
        kept.append(on_disk(reading))
        return reading.film.blocks.kept_bytes + coming <= room

    monkeypatch.setattr(sources, "_has_room", has_room)
    monkeypatch.setattr(sources_module, "SHED_BYTES", RUN_BYTES)
    monkeypatch.setattr(sources, "tidy", lambda: None)
    assert read(reading) == FILM
    assert max(kept) <= room + 2 * RUN_BYTES  # three requests may have found the same room
    assert line.sent_bytes < 1.2 * len(FILM)
    assert read(reading, 0, 5 * BLOCK_BYTES) == FILM[: 5 * BLOCK_BYTES], "a hole was sent"


def on_disk(reading: Reading) -> int:
    return reading.film.blocks.path.stat().st_blocks * 512
