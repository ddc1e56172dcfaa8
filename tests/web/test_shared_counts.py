"""Limits that all processes share, in Redis or on one host, and that hold for each by itself where they cannot."""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest
from limits import RateLimitItemPerMinute
from limits.strategies import FixedWindowRateLimiter

from jobs.redis_link import RedisLink, RedisOptions
from jobs.wire import KEY_HEADER
from tests.conftest import ADMIN_SECRET, AppFactory, migrate
from tests.contract.worker_api import WORKER_SECRET, register
from tests.provision.proxy import Wire
from tests.provision.surfaces import on_free_ports, running_surfaces, url_of
from vlog_app import host_counts
from vlog_app.config import Settings
from vlog_app.host_counts import HostCounts
from vlog_app.services.admin_sessions import MAX_TRIES
from vlog_app.shared_counts import SharedCounts

THREE = RateLimitItemPerMinute(3)
SAME = {"Sec-Fetch-Site": "same-origin"}


def limiter(url: str) -> FixedWindowRateLimiter:
    link = RedisLink(RedisOptions(url, timeout_s=0.2))
    return FixedWindowRateLimiter(SharedCounts(link=link))


def test_two_processes_count_together(redis_url: str) -> None:
    first, second = limiter(redis_url), limiter(redis_url)
    assert [first.hit(THREE, "x"), second.hit(THREE, "x"), first.hit(THREE, "x")] == [True] * 3
    assert not second.hit(THREE, "x")
    stats = first.get_window_stats(THREE, "x")
    assert stats.remaining == 0
    assert 0 < stats.reset_time - time.time() <= 61
    first.clear(THREE, "x")
    assert second.hit(THREE, "x")


@pytest.mark.parametrize("fault", ["cut", "swallow"])
def test_while_redis_is_away_each_counts_for_itself(wire: Wire, fault: str) -> None:
    counting = limiter(wire.url)
    assert counting.hit(THREE, "x")
    getattr(wire, fault)()
    began = time.monotonic()
    assert [counting.hit(THREE, "x") for _ in range(5)] == [True, True, True, False, False]
    assert not counting.test(THREE, "x")
    assert time.monotonic() - began < 10


def test_a_site_limits_its_visitors_with_redis_and_without(app_factory: AppFactory, wire: Wire) -> None:
    limits = {"rate_limit_enabled": True, "rate_limit_public_default": "3/minute"}
    client = app_factory("public", rate_limit_storage_url=wire.url, **limits).test_client()
    assert [client.get("/").status_code for _ in range(4)] == [200, 200, 200, 429]
    wire.cut()
    assert [client.get("/").status_code for _ in range(4)] == [200, 200, 200, 429]


def test_wrong_secrets_are_counted_while_redis_is_away(app_factory: AppFactory, wire: Wire) -> None:
    client = app_factory("admin", rate_limit_storage_url=wire.url).test_client()
    wire.cut()
    for _ in range(MAX_TRIES):
        assert client.post("/login", data={"secret": "wrong"}, headers=SAME).status_code in (401, 403, 422)
    answer = client.post("/login", data={"secret": ADMIN_SECRET}, headers=SAME)
    assert answer.status_code == 429


# --- without Redis -------------------------------------------------------------------------------------------


def counting_in(path: Path) -> FixedWindowRateLimiter:
    return FixedWindowRateLimiter(HostCounts(path=str(path)))


def test_processes_of_one_host_count_together(tmp_path: Path) -> None:
    first, second = counting_in(tmp_path / "counts"), counting_in(tmp_path / "counts")
    assert [first.hit(THREE, "x"), second.hit(THREE, "x"), first.hit(THREE, "x")] == [True] * 3
    assert not second.hit(THREE, "x")
    assert second.hit(THREE, "y")
    stats = first.get_window_stats(THREE, "x")
    assert stats.remaining == 0
    assert 0 < stats.reset_time - time.time() <= 61
    first.clear(THREE, "x")
    assert second.hit(THREE, "x")


def test_a_count_that_is_over_begins_again_and_is_thrown_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(host_counts, "CLEAN_EVERY", 3)
    counts = HostCounts(path=str(tmp_path / "counts"))
    assert [counts.incr("x", 0), counts.incr("x", 60), counts.incr("y", 60)] == [1, 1, 1]
    assert counts.incr("gone", -1) == 1
    assert [counts.incr("y", 60), counts.incr("y", 60)] == [2, 3]
    with closing(sqlite3.connect(tmp_path / "counts")) as file:
        assert file.execute("SELECT key FROM counts ORDER BY key").fetchall() == [("x",), ("y",)]


def test_nothing_is_counted_in_a_file_that_is_not_ours(tmp_path: Path) -> None:
    theirs = tmp_path / "theirs"
    theirs.write_bytes(b"a file of somebody else")
    (tmp_path / "counts").symlink_to(theirs)
    counting = counting_in(tmp_path / "counts")
    assert [counting.hit(THREE, "x") for _ in range(4)] == [True, True, True, False]
    assert theirs.read_bytes() == b"a file of somebody else"


def test_a_file_that_breaks_costs_the_sharing_and_no_answer(tmp_path: Path) -> None:
    counts = HostCounts(path=str(tmp_path / "counts"))
    assert counts.incr("x", 60) == 1
    with closing(sqlite3.connect(tmp_path / "counts", isolation_level=None)) as file:
        file.execute("DROP TABLE counts")
    assert [counts.incr("x", 60), counts.incr("x", 60)] == [1, 2]


def test_two_processes_of_the_worker_api_have_one_limit(storage: Path) -> None:
    """Under gunicorn, as they are started; each new connection may come to either."""
    limits = {"rate_limit_worker_default": "20/minute", "worker_api_processes": 2}
    secret = {"worker_admin_secret": WORKER_SECRET, "storage_reserve_bytes": 0}
    config = on_free_ports(Settings(storage_path=storage, **limits, **secret))  # type: ignore[arg-type]
    migrate(config.database_url)
    with running_surfaces(config, "worker_api"):
        url = url_of(config, "worker_api")
        key = register(url, "atlas")["api_key"]
        said = [status_of(f"{url}/api/worker/bell?heard=1", key) for _ in range(40)]
    for file in host_counts.MEMORY_FOLDER.glob(f"{host_counts.file_for(storage).name}*"):
        file.unlink()
    assert said.count(429) == 20, said


def status_of(url: str, key: str) -> int:
    try:
        with urlopen(Request(url, headers={KEY_HEADER: key})) as answer:
            return int(answer.status)
    except HTTPError as error:
        return error.code
