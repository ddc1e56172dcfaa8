"""This process's one connection to Redis: short time limits, a bounded pool, and a breaker around every call.

Loaded only where a Redis is set. Redis holds no truth here, so nobody waits for it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from .breaker import Away, Breaker

T = TypeVar("T")

ERRORS: tuple[type[Exception], ...] = (redis.RedisError, OSError)
FAILED: tuple[type[Exception], ...] = (*ERRORS, Away)
BELIEVED_S = 2.0  # how long "it answers" may be repeated without asking


@dataclass(frozen=True, slots=True)
class RedisOptions:
    """Where it is, and how patient we are with it. Times in seconds."""

    url: str
    pool_size: int = 10
    timeout_s: float = 0.5
    connect_timeout_s: float = 0.5
    health_check_s: float = 30.0


class RedisLink:
    """`call` is the way to it. Safe for threads; each process makes its own."""

    def __init__(self, options: RedisOptions) -> None:
        self.options = options
        self.breaker = Breaker("Redis", ERRORS)
        self._client = redis.Redis(
            connection_pool=redis.BlockingConnectionPool.from_url(
                options.url,
                max_connections=options.pool_size,
                timeout=options.timeout_s,
                **self._socket_options(options.timeout_s),
            )
        )
        self._answered_at = float("-inf")

    def call(self, do: Callable[[redis.Redis], T]) -> T:
        """Raises one of FAILED, at the latest after the time limit."""
        return self.breaker.call(lambda: do(self._client))

    def answers(self) -> bool:
        """Whether it is there; asks at most every BELIEVED_S."""
        if time.monotonic() - self._answered_at < BELIEVED_S:
            return True
        try:
            self.call(lambda client: client.ping())
        except FAILED:
            return False
        self._answered_at = time.monotonic()
        return True

    def reader(self, timeout_s: float | None) -> redis.Redis:
        """A client of its own for a thread that waits for messages; `timeout_s` None waits for ever."""
        pool = redis.ConnectionPool.from_url(self.options.url, **self._socket_options(timeout_s))
        return redis.Redis(connection_pool=pool)

    def close(self) -> None:
        self._client.connection_pool.disconnect()

    def _socket_options(self, timeout_s: float | None) -> dict[str, object]:
        return {
            "socket_timeout": timeout_s,
            "socket_connect_timeout": self.options.connect_timeout_s,
            "health_check_interval": self.options.health_check_s,
            # A pooled connection may be one of a server that was restarted: that alone is worth a second try.
            "retry": Retry(NoBackoff(), 1, supported_errors=(redis.ConnectionError,)),
        }
