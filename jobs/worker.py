"""The loop every worker runs: claim, carry out, wait for the bell; several slots side by side; leave politely."""

from __future__ import annotations

import logging
import os
import random
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Protocol, TypeVar

from .contract import Coordinator, Dismissed, Slot, Unavailable, WorkerInfo
from .layout import AUDIO, COPY, ENCODE, POSTER, STORYBOARD, Rank
from .runner import Tools, run_claim

logger = logging.getLogger(__name__)
T = TypeVar("T")

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


class Hearable(Protocol):
    """Changes when there may be new work."""

    def heard(self) -> int: ...


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


class Worker:
    """Runs slots until asked to stop. `stop()` lets the segment in flight land; a second one leaves at once."""

    def __init__(
        self,
        info: WorkerInfo,
        coordinator: Coordinator,
        tools: Tools,
        bell: Hearable,
        *,
        poll_s: float = 10.0,
        heartbeat_s: float = 30.0,
        slots: tuple[Slot, ...] = SLOTS,
        leaving: threading.Event | None = None,
    ) -> None:
        self._info = info
        self._coordinator = coordinator
        self._tools = tools
        self._bell = bell
        self._poll_s = poll_s
        self._heartbeat_s = heartbeat_s
        self._slots = slots
        self._drain = leaving or threading.Event()
        self._is_away = False
        self.dismissal: Dismissed | None = None

    def run(self) -> None:
        """Blocks until every slot has ended. `dismissal` then says whether the worker was sent away."""
        while self._attempt(self._greet) is None:
            if self._drain.wait(ERROR_PAUSE_S):
                return
        threads = [threading.Thread(target=self._loop, args=(slot,), name=slot.name) for slot in self._slots]
        for thread in threads:
            thread.start()
        while not self._drain.wait(self._heartbeat_s):
            self._attempt(lambda: self._coordinator.beat(self._info))
        for thread in threads:
            thread.join()
        self._attempt(lambda: self._coordinator.farewell(self._info))

    def _greet(self) -> bool:
        self._coordinator.greet(self._info)
        return True

    def stop(self) -> None:
        self._drain.set()

    @property
    def info(self) -> WorkerInfo:
        return self._info

    def learn(self, facts: Mapping[str, object]) -> None:
        """More is known of this host than at the start; the next sign of life says it."""
        self._info = replace(self._info, facts={**self._info.facts, **facts})

    def _loop(self, slot: Slot) -> None:
        while not self._drain.is_set():
            heard = self._bell.heard()
            did_something = self._attempt(lambda: self._once(slot))
            if did_something is None:
                self._drain.wait(ERROR_PAUSE_S * random.uniform(0.5, 1.5))  # noqa: S311  (spreads load)
            elif not did_something:
                self._listen(heard)

    def _once(self, slot: Slot) -> bool:
        claim = self._coordinator.claim(self._info, slot)
        if claim is None:
            return False
        run_claim(claim, self._coordinator, self._tools, self._drain, nice=slot.nice)
        return True

    def _attempt(self, call: Callable[[], T]) -> T | None:
        """What the call says; None when it failed. A worker that is sent away leaves."""
        try:
            said = call()
        except Dismissed as dismissal:
            self.dismissal = dismissal
            self.stop()
        except Unavailable as away:
            self._say_away(away)
        except Exception:
            logger.exception("the coordinator stumbled")
        else:
            self._is_away = False
            return said
        return None

    def _say_away(self, away: Unavailable) -> None:
        """Once, however often it is tried again."""
        if not self._is_away:
            logger.warning("coordinator away: %s", away)
        self._is_away = True

    def _listen(self, heard: int) -> None:
        """Until the bell rings, the poll interval is over, or we leave."""
        until = time.monotonic() + self._poll_s
        while time.monotonic() < until and self._bell.heard() == heard:
            if self._drain.wait(BELL_CHECK_S):
                return
