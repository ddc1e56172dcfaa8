"""The loop every worker runs: claim, carry out, wait for the bell; several slots side by side; leave politely."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Protocol

from .contract import Coordinator, Slot, WorkerInfo
from .layout import AUDIO, COPY, ENCODE, POSTER, STORYBOARD, Rank
from .queues import Heard
from .runner import Tools, run_claim

logger = logging.getLogger(__name__)

BELL_CHECK_S = 0.1  # a stat of one file: how soon new work is noticed
ERROR_PAUSE_S = 2.0

#: What a worker does at once. Bulk work is polite, so that what a viewer waits for, sound, and the web server
#: beside it have the processor when they want it; that is why a seek need not wait for a running segment.
SLOTS = (
    Slot("bulk", (ENCODE, STORYBOARD), min_rank=Rank.FIRST, nice=10),
    Slot("urgent", (ENCODE, POSTER), max_rank=Rank.POSTER, nice=0),
    Slot("copy", (COPY,), nice=0),
    Slot("sound", (AUDIO,), nice=5),
)


class Bell:
    """A file whose time of change says "look at the queue". Holds no truth: polling finds the work anyway."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def ring(self) -> None:
        """Never raises: the bell is a hint."""
        try:
            self._path.touch()
            os.utime(self._path)
        except OSError:
            logger.warning("bell not rung", exc_info=True)

    def heard(self) -> int:
        try:
            return self._path.stat().st_mtime_ns
        except OSError:
            return 0


class Inbox(Protocol):
    """Where one slot gets messages about single jobs, and carries them out."""

    def listen(self) -> Heard: ...

    def close(self) -> None: ...


OpenInbox = Callable[[Slot, Callable[[int], object]], Inbox]


class Worker:
    """Runs slots until asked to stop. `stop()` lets the segment in flight land; a second one leaves at once.

    Without an inbox a slot polls, nudged by the bell. With one it hears messages; `polls` says whether it looks at
    the queue by itself as well.
    """

    def __init__(
        self,
        info: WorkerInfo,
        coordinator: Coordinator,
        tools: Tools,
        bell: Bell,
        *,
        poll_s: float = 10.0,
        heartbeat_s: float = 30.0,
        slots: tuple[Slot, ...] = SLOTS,
        open_inbox: OpenInbox | None = None,
        polls: bool = True,
    ) -> None:
        self._info = info
        self._coordinator = coordinator
        self._tools = tools
        self._bell = bell
        self._poll_s = poll_s
        self._heartbeat_s = heartbeat_s
        self._slots = slots
        self._open_inbox = open_inbox
        self._polls = polls
        self._drain = threading.Event()

    def run(self) -> None:
        """Blocks until every slot has ended."""
        _retry(lambda: self._coordinator.greet(self._info), self._drain)
        threads = [threading.Thread(target=self._loop, args=(slot,), name=slot.name) for slot in self._slots]
        for thread in threads:
            thread.start()
        while not self._drain.wait(self._heartbeat_s):
            _attempt(lambda: self._coordinator.beat(self._info))
        for thread in threads:
            thread.join()
        _attempt(lambda: self._coordinator.farewell(self._info))

    def stop(self) -> None:
        self._drain.set()

    @property
    def info(self) -> WorkerInfo:
        return self._info

    def learn(self, facts: Mapping[str, object]) -> None:
        """More is known of this host than at the start; the next sign of life says it."""
        self._info = replace(self._info, facts={**self._info.facts, **facts})

    def _loop(self, slot: Slot) -> None:
        inbox = self._open_inbox(slot, lambda job_id: self._once(slot, job_id)) if self._open_inbox else None
        while not self._drain.is_set():
            heard = self._bell.heard()
            try:
                if not (self._polls and self._once(slot)):
                    self._listen(heard, inbox)
            except Exception:
                logger.exception("slot %s stumbled", slot.name)
                self._drain.wait(ERROR_PAUSE_S)
        if inbox is not None:
            inbox.close()

    def _once(self, slot: Slot, job_id: int | None = None) -> bool:
        if self._drain.is_set():
            return False
        claim = self._coordinator.claim(self._info, slot, job_id)
        if claim is None:
            return False
        run_claim(claim, self._coordinator, self._tools, self._drain, nice=slot.nice)
        return True

    def _listen(self, heard: int, inbox: Inbox | None) -> None:
        """Until a message was carried out, the bell rings, the poll interval is over, or we leave."""
        until = time.monotonic() + self._poll_s
        while time.monotonic() < until and self._bell.heard() == heard and not self._drain.is_set():
            said = Heard.AWAY if inbox is None else inbox.listen()
            if said is Heard.MESSAGE:
                return
            if said is Heard.AWAY:
                self._drain.wait(BELL_CHECK_S)


def _retry(call: Callable[[], None], drain: threading.Event) -> None:
    while not _attempt(call) and not drain.wait(ERROR_PAUSE_S):
        pass


def _attempt(call: Callable[[], None]) -> bool:
    try:
        call()
    except Exception:
        logger.exception("coordinator not reached")
        return False
    return True
