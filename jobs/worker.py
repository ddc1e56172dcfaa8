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
from .queues import Heard
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
    Slot("copy", (COPY,), min_rank=Rank.COPY, max_rank=Rank.COPY, nice=0),
    Slot("sound", (AUDIO,), min_rank=Rank.SOUND, max_rank=Rank.RATES, nice=5),
)


def worker_slots(encodes: int) -> tuple[Slot, ...]:
    """The slots of a worker that encodes this many pieces at once, what a viewer waits for apart."""
    bulk, *others = SLOTS
    return (bulk,) * encodes + tuple(others)


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
        bell: Hearable,
        *,
        poll_s: float = 10.0,
        heartbeat_s: float = 30.0,
        slots: tuple[Slot, ...] = SLOTS,
        leaving: threading.Event | None = None,
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
        self._drain = leaving or threading.Event()
        self._is_away = False
        self._asked: set[tuple[Slot, str]] = set()  # (slot, folder of leftovers) whose job was asked for
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
            self._tools.leftovers.tidy()
        for thread in threads:
            thread.join()
        self._forget_unwanted()
        self._attempt(lambda: self._coordinator.farewell(self._info))

    def _greet(self) -> bool:
        keeps = {heading.job_id for heading in self._tools.leftovers.headings().values()}
        self._coordinator.greet(self._info, keeps)
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
        # A message says that there is work, not which is most wanted by now: the queue says that.
        inbox = self._open_inbox(slot, lambda _job_id: self._once(slot)) if self._open_inbox else None
        while not self._drain.is_set():
            if self._attempt(lambda: self._turn(slot, inbox)) is None:
                self._drain.wait(ERROR_PAUSE_S * random.uniform(0.5, 1.5))  # noqa: S311  (spreads load)
        if inbox is not None:
            inbox.close()

    def _turn(self, slot: Slot, inbox: Inbox | None) -> bool:
        """One job, or else a while of listening."""
        heard = self._bell.heard()
        if not self._take_up(slot) and not (self._polls and self._once(slot)):
            self._listen(heard, inbox)
        return True

    def _take_up(self, slot: Slot) -> bool:
        """A job of which finished segments lie here goes before any other. Each is asked for once by each slot."""
        for name, heading in self._tools.leftovers.headings().items():
            if heading.kind in slot.kinds and (slot, name) not in self._asked:
                is_here = self._once(slot, heading.job_id)
                self._asked.add((slot, name))
                if is_here:
                    return True
        return False

    def _forget_unwanted(self) -> None:
        """Leftovers of jobs that no slot was given: somebody else has them, or nobody wants them any more."""
        for name, heading in self._tools.leftovers.headings().items():
            slots = [slot for slot in self._slots if heading.kind in slot.kinds]
            if all((slot, name) in self._asked for slot in slots):
                self._tools.leftovers.forget(name)

    def _once(self, slot: Slot, job_id: int | None = None) -> bool:
        if self._drain.is_set():
            return False
        claim = self._coordinator.claim(self._info, slot, job_id)
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

    def _listen(self, heard: int, inbox: Inbox | None) -> None:
        """Until a message was carried out, the bell rings, the poll interval is over, or we leave."""
        until = time.monotonic() + self._poll_s
        while time.monotonic() < until and self._bell.heard() == heard and not self._drain.is_set():
            said = Heard.AWAY if inbox is None else inbox.listen()
            if said is Heard.MESSAGE:
                return
            if said is Heard.AWAY:
                self._drain.wait(BELL_CHECK_S)
