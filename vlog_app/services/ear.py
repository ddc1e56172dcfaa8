"""Hears on a Redis channel that something happened, in a thread and with a connection of its own."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from redis.client import PubSub

    from jobs.redis_link import RedisLink

TURN_S = 0.5
PING_EVERY_S = 2.0
SILENCE_S = 5.0  # an answer to a ping that takes longer means that nobody is there
RETRY_S = 0.5  # the breaker decides whether that is more than a look at the clock


class Ear:
    """Listens until closed, and takes the channel up again whenever Redis comes back."""

    def __init__(self, link: RedisLink, channel: str) -> None:
        self._link = link
        self._channel = channel
        self._news = threading.Event()
        self._is_listening = False
        self._is_closed = threading.Event()
        threading.Thread(target=self._run, name="live-ear", daemon=True).start()

    @property
    def is_listening(self) -> bool:
        """Whether we would hear of something."""
        return self._is_listening

    def wait(self, timeout_s: float) -> None:
        """Until something happened or the time is over."""
        self._news.wait(timeout_s)
        self._news.clear()

    def close(self) -> None:
        self._is_closed.set()
        self._news.set()

    def _run(self) -> None:
        from jobs.redis_link import FAILED

        while not self._is_closed.is_set():
            try:
                self._listen(self._link.breaker.call(self._subscribe))
            except FAILED:
                self._is_closed.wait(RETRY_S)
            finally:
                self._is_listening = False
                self._news.set()  # look at once: what was said meanwhile was not heard

    def _subscribe(self) -> PubSub:
        """A connection that may be silent for long, unlike all others."""
        client = self._link.reader(self._link.options.timeout_s)
        channel: PubSub = client.pubsub()  # type: ignore[no-untyped-call]
        channel.subscribe(self._channel)
        return channel

    def _listen(self, channel: PubSub) -> None:
        """Raises an error of Redis when the connection is gone or nobody answers on it."""
        from redis import ConnectionError as NobodyThere

        heard_at = pinged_at = time.monotonic()
        with channel:
            while not self._is_closed.is_set():
                message = channel.get_message(timeout=TURN_S)
                now = time.monotonic()
                if message is not None:
                    heard_at = now
                    self._is_listening = True
                    if message["type"] == "message":
                        self._news.set()
                elif now - heard_at > SILENCE_S:
                    raise NobodyThere("the channel is silent")
                elif now - pinged_at > PING_EVERY_S:
                    channel.ping()
                    pinged_at = now
