"""Counts of requests that all processes share in Redis; while it is away each process counts for itself. Without Redis
those of one surface share them on their host.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from limits.storage import MemoryStorage, Storage

from . import host_counts
from .config import Settings

if TYPE_CHECKING:
    from redis import Redis

    from jobs.redis_link import RedisLink

T = TypeVar("T")

SCHEME = "shared"


def counts(config: Settings, processes: int) -> tuple[str, dict[str, Any]]:
    """Where Flask-Limiter and the sign-in page of so many processes keep their counts: an address for `limits`, and its
    options.
    """
    url = config.rate_limit_storage_url
    if url.startswith("memory:"):
        if processes == 1:
            return url, {}
        return f"{host_counts.SCHEME}://", {"path": str(host_counts.file_for(config.storage_path))}
    from .redis_links import link_to

    return f"{SCHEME}://", {"link": link_to(config, url.removeprefix("redis+"))}


class SharedCounts(Storage):
    """Behind a breaker, so that a Redis that hangs costs a few requests its time limit and the rest nothing."""

    STORAGE_SCHEME = [SCHEME]

    def __init__(self, uri: str | None = None, wrap_exceptions: bool = False, **options: Any) -> None:
        super().__init__(uri, wrap_exceptions)
        self._link: RedisLink = options["link"]
        self._memory = MemoryStorage()

    @property
    def base_exceptions(self) -> tuple[type[Exception], ...]:
        return ()

    def incr(self, key: str, expiry: int, amount: int = 1) -> int:
        def count(client: Redis) -> int:
            with client.pipeline() as pipeline:
                pipeline.set(key, 0, ex=expiry, nx=True)
                pipeline.incrby(key, amount)
                return int(pipeline.execute()[1])

        return self._ask(count, lambda: self._memory.incr(key, expiry, amount=amount))

    def get(self, key: str) -> int:
        return self._ask(lambda client: int(client.get(key) or 0), lambda: self._memory.get(key))

    def get_expiry(self, key: str) -> float:
        def expiry(client: Redis) -> float:
            return time.time() + max(0.0, float(client.ttl(key)))

        return self._ask(expiry, lambda: self._memory.get_expiry(key))

    def clear(self, key: str) -> None:
        self._memory.clear(key)
        self._ask(lambda client: client.delete(key), lambda: None)

    def check(self) -> bool:
        return True

    def reset(self) -> None:
        self._memory.reset()

    def _ask(self, redis: Callable[[Redis], T], memory: Callable[[], T]) -> T:
        from jobs.redis_link import FAILED

        try:
            return self._link.call(redis)
        except FAILED:
            return memory()
