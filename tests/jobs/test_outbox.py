"""Segments on their way: in the background, a few at once; whoever makes them hears when too many bytes wait."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import pytest

from jobs.contract import Refused
from jobs.outbox import Outbox


def test_what_is_put_in_is_sent_and_waited_for() -> None:
    sent: list[int] = []
    outbox = Outbox("test")
    for number in range(20):
        outbox.put(lambda number=number: sent.append(number), 1)  # type: ignore[misc]
    outbox.flush()
    assert sorted(sent) == list(range(20))


def test_it_is_full_by_bytes_and_takes_more_when_half_of_them_have_gone() -> None:
    gate = threading.Semaphore(0)
    outbox = Outbox("test", at_once=1, most_bytes=100)
    told: list[bool] = []
    for _ in range(5):
        outbox.put(gate.acquire, 30)
        told.append(outbox.is_full())
    assert told == [False, False, False, True, True]
    gate.release(2)
    wait_until(lambda: outbox._held_bytes == 90)
    assert outbox.is_full(), "it would be filled and emptied segment by segment"
    gate.release(2)
    wait_until(lambda: not outbox.is_full())
    gate.release(1)
    outbox.flush()


def wait_until(condition: Callable[[], bool]) -> None:
    until = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < until, "waited too long"
        time.sleep(0.01)


def test_several_are_sent_at_once() -> None:
    both = threading.Barrier(2, timeout=5)
    outbox = Outbox("test", at_once=2)
    outbox.put(both.wait, 1)
    outbox.put(both.wait, 1)
    outbox.flush()


def test_what_goes_wrong_is_heard_by_the_next_call_and_nothing_more_is_sent() -> None:
    sent: list[str] = []

    def refuse() -> None:
        raise Refused("no")

    outbox = Outbox("test", at_once=1)
    outbox.put(refuse, 1)
    with pytest.raises(Refused):
        outbox.flush()
    with pytest.raises(Refused):
        outbox.put(lambda: sent.append("late"), 1)
    with pytest.raises(Refused):
        outbox.is_full()
    assert sent == []


def test_an_abandoned_one_sends_nothing_more() -> None:
    gate, sent = threading.Event(), []
    outbox = Outbox("test", at_once=1)
    outbox.put(gate.wait, 1)
    outbox.put(lambda: sent.append("late"), 1)
    outbox.abandon()
    gate.set()
    outbox.flush()
    assert sent == []
