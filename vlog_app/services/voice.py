"""Says on a Redis channel which videos changed, in a thread of its own: no commit waits for Redis to hear of it."""

from __future__ import annotations

import atexit
import threading
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jobs.redis_link import RedisLink

GATHER_S = 0.02  # what is told within this time is said in one message


class Voice:
    """Holds no truth: what is never said is found a few seconds later (`services.live`)."""

    def __init__(self, link: RedisLink, channel: str) -> None:
        self._link = link
        self._channel = channel
        self._lock = threading.Lock()
        self._unsaid: set[int] = set()
        self._news = threading.Event()
        self._thread: threading.Thread | None = None

    def tell(self, video_ids: Iterable[int]) -> None:
        with self._lock:
            self._unsaid.update(video_ids)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="live-voice", daemon=True)
                self._thread.start()
                atexit.register(self._say)  # a command ends as soon as it is done
        self._news.set()

    def _run(self) -> None:
        while self._news.wait():
            self._news.clear()
            time.sleep(GATHER_S)
            self._say()

    def _say(self) -> None:
        from jobs.redis_link import FAILED

        with self._lock:
            video_ids, self._unsaid = self._unsaid, set()
        if not video_ids:
            return
        words = ",".join(map(str, sorted(video_ids)))
        try:
            self._link.call(lambda client: client.publish(self._channel, words))
        except FAILED:
            pass  # the breaker has said so in the log
