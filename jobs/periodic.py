"""Housekeeping: what is done again and again, how often, and who does it when several could.

Two clocks, one set of functions. The tick below always runs. Where RQ is used, rq-scheduler rings the chores and the
tick lets it go first, so that it only does what was not rung: Redis is away, or the message was lost. Either way a
chore is done by whoever takes its lease in the database. rq-scheduler is known to this file alone.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Protocol

from .contract import Unavailable
from .queues import CHORES, NO_TIMEOUT, RUN_CHORE, Heard, queue_named

if TYPE_CHECKING:
    from redis import Redis

    from .redis_link import RedisLink

logger = logging.getLogger(__name__)

TICK_S = 1.0
AWAY_S = 5.0  # a chore that found no database is tried again after this
LATE_S = 3.0  # how long the tick leaves a chore that is due to rq-scheduler
EARLY = 0.3  # rq-scheduler counts whole seconds: a ring this part of the interval early is not one too many


@dataclass(frozen=True, slots=True)
class Chore:
    """Work that may be done twice without harm. `every_s` counts from the beginning of the last time."""

    name: str
    every_s: float
    run: Callable[[], object]


class Take(Protocol):
    """The lease on a chore: 0 when it is ours to do now, else in how many seconds to ask again."""

    def __call__(self, chore: Chore, *, late_s: float = 0.0, at_once: bool = False) -> float: ...


def run_chores(
    chores: Sequence[Chore],
    stop: threading.Event,
    take: Take,
    *,
    late_s: float = 0.0,
    now: Callable[[], float] = time.monotonic,
) -> None:
    """Do each chore at once, then whenever it is due, until told to stop. A failing chore does not end the others."""
    ask_at = dict.fromkeys((chore.name for chore in chores), float("-inf"))
    while not stop.is_set():
        for chore in chores:
            if now() >= ask_at[chore.name] and not stop.is_set():
                is_first = ask_at[chore.name] == float("-inf")
                wait_s = _turn(chore, partial(take, late_s=late_s, at_once=is_first))
                ask_at[chore.name] = now() + wait_s
        stop.wait(TICK_S)


def _turn(chore: Chore, take: Callable[[Chore], float]) -> float:
    """In how many seconds to look again."""
    try:
        wait_s = take(chore)
        if wait_s > 0:
            return wait_s
        chore.run()
    except Unavailable as away:
        logger.warning("chore put off: %s", away, extra={"action": "chore", "chore": chore.name})
        return min(AWAY_S, chore.every_s)
    except Exception:
        logger.exception("chore failed", extra={"action": "chore", "chore": chore.name})
    return chore.every_s


def answer(chores: Sequence[Chore], take: Take) -> Callable[[object], None]:
    """What a message about a chore does."""
    known = {chore.name: chore for chore in chores}

    def do(name: object) -> None:
        chore = known.get(str(name))
        if chore is not None:
            _turn(chore, partial(take, late_s=-EARLY * chore.every_s))

    return do


class ChoreClock:
    """rq-scheduler with our chores in it. Redis may lose them: each tick puts back what is missing."""

    def __init__(self, link: RedisLink, chores: Sequence[Chore]) -> None:
        self._link = link
        self._chores = chores
        self._is_new = True

    def tick(self) -> None:
        """Send the messages that are due, unless another scheduler is doing so. Raises an error of Redis."""
        self._link.call(self._tick)

    def _tick(self, client: Redis) -> None:
        from rq_scheduler import Scheduler

        from .rq_tasks import Message

        scheduler = Scheduler(
            queue=queue_named(CHORES, client), interval=1, connection=client, job_class=Message
        )
        if not scheduler.acquire_lock():
            return
        try:
            for chore in self._chores:
                name = f"chore-{chore.name.replace(' ', '-')}"
                if self._is_new or name not in scheduler:  # the interval may be a new one
                    scheduler.schedule(
                        datetime.now(UTC).replace(tzinfo=None),
                        RUN_CHORE,
                        args=[chore.name],
                        interval=max(1, round(chore.every_s)),
                        id=name,
                        timeout=NO_TIMEOUT,
                        ttl=None,
                        result_ttl=-1,  # the schedule is this very job
                        description=chore.name,
                        queue_name=CHORES,
                    )
            self._is_new = False
            scheduler.enqueue_jobs()
        finally:
            scheduler.remove_lock()


class Listening(Protocol):
    def listen(self) -> Heard: ...

    def close(self) -> None: ...


def ring_chores(clock: ChoreClock, inbox: Listening, stop: threading.Event) -> None:
    """Send and answer messages about chores until told to stop, whenever Redis is there."""
    from .redis_link import FAILED

    while not stop.is_set():
        try:
            clock.tick()
        except FAILED:
            stop.wait(TICK_S)
            continue
        if inbox.listen() is Heard.AWAY:
            stop.wait(TICK_S)
    inbox.close()
