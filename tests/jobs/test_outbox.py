"""Segments on their way: in the background, a few at once, never more waiting than there is room for."""

from __future__ import annotations

import threading

import pytest

from jobs.contract import Refused
from jobs.outbox import Outbox


def test_what_is_put_in_is_sent_and_waited_for() -> None:
    sent: list[int] = []
    outbox = Outbox("test")
    for number in range(20):
        outbox.put(lambda number=number: sent.append(number))  # type: ignore[misc]
    outbox.flush()
    assert sorted(sent) == list(range(20))


def test_a_slow_line_is_felt_by_the_maker_and_goes_on() -> None:
    """The ninth segment waits until there is room for it, not until everything is sent."""
    gate = threading.Semaphore(0)
    outbox = Outbox("test", at_once=1, most=2)
    done = threading.Event()

    def make() -> None:
        for _ in range(4):
            outbox.put(gate.acquire)
        done.set()

    threading.Thread(target=make, daemon=True).start()
    assert not done.wait(0.3)  # one is being sent, two wait, the fourth has no place
    gate.release()
    assert done.wait(5)
    gate.release(3)
    outbox.flush()


def test_several_are_sent_at_once() -> None:
    both = threading.Barrier(2, timeout=5)
    outbox = Outbox("test", at_once=2)
    outbox.put(both.wait)
    outbox.put(both.wait)
    outbox.flush()


def test_what_goes_wrong_is_heard_by_the_next_call_and_nothing_more_is_sent() -> None:
    sent: list[str] = []

    def refuse() -> None:
        raise Refused("no")

    outbox = Outbox("test", at_once=1)
    outbox.put(refuse)
    with pytest.raises(Refused):
        outbox.flush()
    with pytest.raises(Refused):
        outbox.put(lambda: sent.append("late"))
    assert sent == []


def test_an_abandoned_one_sends_nothing_more() -> None:
    gate, sent = threading.Event(), []
    outbox = Outbox("test", at_once=1)
    outbox.put(gate.wait)
    outbox.put(lambda: sent.append("late"))
    outbox.abandon()
    gate.set()
    outbox.flush()
    assert sent == []
