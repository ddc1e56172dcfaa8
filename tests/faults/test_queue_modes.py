"""Each way of hearing of work, on a whole running site: a film goes in and is ready, whatever becomes of Redis."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2
import pytest

from tests.faults.owner import Owner, wait_until
from tests.faults.test_killed_worker import orphans
from tests.films import numbered_film
from tests.provision.proxy import Wire
from tests.provision.redis import Redis
from tests.provision.site import ROOT, Site, running_site

pytestmark = [pytest.mark.media, pytest.mark.timeout(400)]


@pytest.fixture(scope="module")
def film(ffmpeg_path: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Long enough to be in the middle of it: several jobs of pictures, and one of each other kind."""
    path = tmp_path_factory.mktemp("film") / "numbered.mp4"
    return numbered_film(ffmpeg_path, path, seconds=40, size="640x480")


@contextmanager
def site_in(mode: str, folder: Path, url: str) -> Iterator[tuple[Site, Owner]]:
    """Pieces of two segments, so that there is always work in the queue."""
    options = {"job_queue_mode": mode, "redis_url": url, "split_seconds": "12", "worker_poll_interval": "5"}
    with running_site(folder / "var", **options) as site, httpx2.Client(timeout=60) as http:
        yield site, Owner(site, http)


def no_traceback(site: Site) -> None:
    assert "Traceback" not in site.log.read_text()


@pytest.mark.parametrize("mode", [pytest.param("database", marks=pytest.mark.slow), "redis", "hybrid"])
def test_a_film_goes_in_and_is_ready(mode: str, film: Path, own_redis: Redis, tmp_path: Path) -> None:
    with site_in(mode, tmp_path, "" if mode == "database" else own_redis.url) as (site, owner):
        owner.until_ready(owner.upload(film))
        assert (own_redis.ask("EXISTS rq:workers") == ":1") == (mode != "database")
        no_traceback(site)
    assert orphans() == []


@pytest.mark.parametrize("mode", ["redis", pytest.param("hybrid", marks=pytest.mark.slow)])
def test_redis_dies_in_the_middle_and_comes_back_empty(
    mode: str, film: Path, own_redis: Redis, tmp_path: Path
) -> None:
    with site_in(mode, tmp_path, own_redis.url) as (site, owner):
        slug = owner.upload(film)
        owner.until_begun(slug)
        own_redis.kill()
        had = owner.done(slug)
        wait_until(lambda: owner.moved(slug, had), site)  # what ran goes on
        own_redis.start()
        owner.until_ready(slug)
        owner.until_ready(owner.upload(film, "Another"))


@pytest.mark.slow
def test_two_workers_share_the_messages(film: Path, own_redis: Redis, tmp_path: Path) -> None:
    with (
        site_in("redis", tmp_path, own_redis.url) as (site, owner),
        second_worker(site, own_redis.url) as log,
    ):
        slugs = [owner.upload(film, f"Film {number}") for number in range(3)]
        for slug in slugs:
            owner.until_ready(slug)
        assert "job finished" in log.read_text()
        assert "job finished" in site.log.read_text()
        assert "lease lost" not in log.read_text() + site.log.read_text()


@contextmanager
def second_worker(site: Site, url: str) -> Iterator[Path]:
    """Beside the one of the site, on the same storage. Yields its log."""
    log = site.storage.parent / "second.log"
    environment = {
        "PATH": os.environ["PATH"],
        "VLOG_STORAGE_PATH": str(site.storage),
        "VLOG_JOB_QUEUE_MODE": "redis",
        "VLOG_REDIS_URL": url,
    }
    argv = [sys.executable, "-m", "flask", "--app", "wsgi", "vlog", "worker", "run", "--name", "second"]
    with log.open("w") as output:
        process = subprocess.Popen(argv, cwd=ROOT, env=environment, stdout=output, stderr=output)
    try:
        yield log
    finally:
        process.terminate()
        assert process.wait(60) == 0


@pytest.mark.slow
def test_with_the_fallback_films_get_ready_without_redis(
    film: Path, own_redis: Redis, tmp_path: Path
) -> None:
    with site_in("hybrid", tmp_path, own_redis.url) as (_site, owner):
        first = owner.upload(film)
        owner.until_begun(first)
        own_redis.kill()
        owner.until_ready(first)
        owner.until_ready(owner.upload(film, "Another"))


@pytest.mark.slow
def test_a_redis_that_was_never_there_holds_nothing_up(film: Path, tmp_path: Path) -> None:
    with site_in("hybrid", tmp_path, f"unix://{tmp_path}/nothing") as (site, owner):
        owner.until_ready(owner.upload(film))
        no_traceback(site)


def test_a_redis_that_hangs_holds_nothing_up(film: Path, wire: Wire, tmp_path: Path) -> None:
    with site_in("hybrid", tmp_path, wire.url) as (_site, owner):
        wire.swallow()
        began = time.monotonic()
        slug = owner.upload(film)
        assert time.monotonic() - began < 20
        owner.until_ready(slug)


@pytest.mark.slow
def test_a_flapping_redis_holds_nothing_up_where_there_is_a_fallback(
    film: Path, wire: Wire, tmp_path: Path
) -> None:
    with site_in("hybrid", tmp_path, wire.url) as (site, owner), flapping(wire):
        owner.until_ready(owner.upload(film))
        no_traceback(site)


@pytest.mark.slow
def test_a_flapping_redis_loses_nothing_where_there_is_none(film: Path, wire: Wire, tmp_path: Path) -> None:
    with site_in("redis", tmp_path, wire.url) as (site, owner):
        with flapping(wire):
            slug = owner.upload(film)
            time.sleep(20)
        owner.until_ready(slug)
        told = [line for line in site.log.read_text().splitlines() if "going on without it" in line]
    assert len(told) < 60, "a line per change of state, not one per failure"


@contextmanager
def flapping(wire: Wire) -> Iterator[None]:
    """A second there, a second away."""
    stop = threading.Event()

    def flap() -> None:
        while not stop.is_set():
            wire.cut()
            stop.wait(1)
            wire.mend()
            stop.wait(1)

    thread = threading.Thread(target=flap)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
        wire.mend()


def test_an_emptied_redis_gets_its_messages_back(film: Path, own_redis: Redis, tmp_path: Path) -> None:
    with site_in("redis", tmp_path, own_redis.url) as (_site, owner):
        slugs = [owner.upload(film, f"Film {number}") for number in range(2)]
        owner.until_begun(slugs[0])
        assert own_redis.ask("FLUSHALL") == "+OK"
        for slug in slugs:
            owner.until_ready(slug)


@pytest.mark.parametrize("mode", ["redis", pytest.param("hybrid", marks=pytest.mark.slow)])
def test_a_killed_worker_leaves_no_ffmpeg_and_its_work_goes_on(
    mode: str, film: Path, own_redis: Redis, tmp_path: Path
) -> None:
    with site_in(mode, tmp_path, own_redis.url) as (site, owner):
        slug = owner.upload(film)
        owner.until_begun(slug)
        worker = site.children()["worker"]
        wait_until(lambda: orphans(of=worker), site)
        running = orphans(of=worker)
        os.kill(worker, signal.SIGKILL)
        wait_until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in running), site)
        owner.until_ready(slug)
    assert orphans() == []


def test_a_worker_asked_to_leave_lands_its_segment_and_gives_the_job_back(
    film: Path, own_redis: Redis, tmp_path: Path
) -> None:
    with site_in("redis", tmp_path, own_redis.url) as (site, owner):
        slug = owner.upload(film)
        owner.until_begun(slug)
        worker = site.children()["worker"]
        wait_until(lambda: orphans(of=worker), site)
        os.kill(worker, signal.SIGTERM)
        owner.until_ready(slug)  # the supervisor has started another
        log = site.log.read_text()
    assert "job given back" in log or log.count("job starts") == log.count("job finished")
    assert "job failed" not in log
    assert "lease lost" not in log
