"""Housekeeping rung by rq-scheduler on a real Redis, and by the tick when Redis is away."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import pytest

from jobs.periodic import EARLY, Chore, ChoreClock, answer, ring_chores, run_chores
from jobs.queues import CHORES
from jobs.redis_link import RedisLink, RedisOptions
from jobs.rq_tasks import Inbox
from tests.jobs.test_rq_tasks import until
from tests.provision.proxy import Wire
from tests.provision.redis import Redis

EVERY_S = 2.0


@dataclass
class Office:
    """The lease the database keeps in real life, and a note of who did what."""

    due_at: float = 0.0
    done: list[str] = field(default_factory=list)
    taken_at: list[float] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def take(self, chore: Chore, *, late_s: float = 0.0, at_once: bool = False) -> float:
        with self.lock:
            left_s = self.due_at + late_s - time.monotonic()
            if left_s > 0 and not at_once:
                return left_s
            self.taken_at.append(time.monotonic())
            self.due_at = time.monotonic() + chore.every_s
            return 0.0

    def chore(self) -> Chore:
        return Chore("swept floor", EVERY_S, lambda: self.done.append(threading.current_thread().name))


@pytest.fixture
def office() -> Office:
    return Office()


@contextmanager
def ringing(url: str, office: Office, name: str) -> Iterator[RedisLink]:
    """A scheduler process's thread that rings chores and answers."""
    link, stop = RedisLink(RedisOptions(url, timeout_s=0.2)), threading.Event()
    chores = [office.chore()]
    inbox = Inbox(link, name, lambda: [CHORES], answer(chores, office.take))
    thread = threading.Thread(target=ring_chores, args=(ChoreClock(link, chores), inbox, stop), name=name)
    thread.start()
    try:
        yield link
    finally:
        stop.set()
        thread.join(30)
        assert not thread.is_alive()
        link.close()


@contextmanager
def ticking(office: Office, late_s: float) -> Iterator[None]:
    stop = threading.Event()
    arguments = ([office.chore()], stop, office.take)
    thread = threading.Thread(target=run_chores, args=arguments, kwargs={"late_s": late_s}, name="tick")
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(30)


def test_two_schedulers_do_it_once(redis_url: str, office: Office) -> None:
    with ringing(redis_url, office, "one"), ringing(redis_url, office, "two"):
        until(lambda: len(office.done) >= 3)
    gaps = [later - earlier for earlier, later in itertools.pairwise(office.taken_at)]
    assert min(gaps) >= EVERY_S * (1 - EARLY) - 0.01


def test_a_schedule_that_redis_lost_is_put_back(redis_server: Redis, redis_url: str, office: Office) -> None:
    with ringing(redis_url, office, "one"):
        until(lambda: len(office.done) >= 1)
        redis_server.ask("FLUSHALL")
        before = len(office.done)
        until(lambda: len(office.done) > before)


def test_a_new_interval_replaces_the_old_one(redis_url: str, office: Office) -> None:
    link = RedisLink(RedisOptions(redis_url))
    ChoreClock(link, [Chore("swept floor", 3600, office.done.clear)]).tick()
    with ringing(redis_url, office, "one"):
        until(lambda: len(office.done) >= 3)
    link.close()


def test_the_tick_takes_over_when_redis_is_away_and_hands_back(wire: Wire, office: Office) -> None:
    with ringing(wire.url, office, "rung"), ticking(office, late_s=3.0):
        until(lambda: office.done[-1:] == ["rung"])
        wire.cut()
        until(lambda: office.done[-1:] == ["tick"])
        wire.mend()
        until(lambda: office.done[-1:] == ["rung"])
