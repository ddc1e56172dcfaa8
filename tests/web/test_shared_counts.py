"""Limits that all processes share in Redis, and that hold, each process for itself, while it is away."""

from __future__ import annotations

import time

import pytest
from limits import RateLimitItemPerMinute
from limits.strategies import FixedWindowRateLimiter

from jobs.redis_link import RedisLink, RedisOptions
from tests.conftest import ADMIN_SECRET, AppFactory
from tests.provision.proxy import Wire
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
