"""Connections to Redis as VLog is set to use them; the library is loaded only where one is set."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .config import Settings

if TYPE_CHECKING:
    from jobs.redis_link import RedisLink


def link_to(config: Settings, url: str) -> RedisLink:
    """A breaker and a pool of its own: two of them do not know of each other."""
    from jobs.redis_link import RedisLink, RedisOptions

    options = RedisOptions(
        url,
        pool_size=config.redis_pool_size,
        timeout_s=config.redis_socket_timeout,
        connect_timeout_s=config.redis_socket_connect_timeout,
        health_check_s=config.redis_health_check_interval,
    )
    return RedisLink(options)
