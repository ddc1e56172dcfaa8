"""The breaker: a few failures open it, one at a time looks again, and the log is not filled."""

from __future__ import annotations

import logging
import threading

import pytest

from jobs.breaker import FAILURES, LONGEST_WAIT_S, WINDOW_S, Away, Breaker, State
from jobs.testing import FakeClock


class Service:
    """Answers, or does not."""

    def __init__(self) -> None:
        self.is_up = True
        self.asked = 0

    def __call__(self) -> str:
        self.asked += 1
        if not self.is_up:
            raise ConnectionError
        return "here"


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def service() -> Service:
    return Service()


@pytest.fixture
def breaker(clock: FakeClock) -> Breaker:
    return Breaker("Post", (ConnectionError,), clock=clock, dice=lambda _low, _high: 1.0)


def fail(breaker: Breaker, service: Service, times: int = FAILURES) -> None:
    service.is_up = False
    for _ in range(times):
        with pytest.raises(ConnectionError):
            breaker.call(service)


def test_after_a_few_failures_nobody_waits_for_it(breaker: Breaker, service: Service) -> None:
    fail(breaker, service)
    with pytest.raises(Away):
        breaker.call(service)
    assert service.asked == FAILURES


def test_failures_far_apart_do_not_open_it(breaker: Breaker, service: Service, clock: FakeClock) -> None:
    for _ in range(FAILURES * 2):
        fail(breaker, service, times=1)
        clock.advance(WINDOW_S)
    assert breaker.state is State.CLOSED


def test_it_comes_back_by_itself(breaker: Breaker, service: Service, clock: FakeClock) -> None:
    fail(breaker, service)
    service.is_up = True
    clock.advance(1)
    assert breaker.call(service) == "here"
    assert breaker.state is State.CLOSED


def test_each_failed_trial_doubles_the_wait_up_to_a_limit(
    breaker: Breaker, service: Service, clock: FakeClock
) -> None:
    fail(breaker, service)
    waits = []
    for _ in range(7):
        waited = 0.0
        while True:
            clock.advance(0.5)
            waited += 0.5
            try:
                breaker.call(service)
            except Away:
                continue
            except ConnectionError:
                break
        waits.append(waited)
    assert waits == [1, 2, 4, 8, 16, 30, 30]


def test_one_that_comes_and_goes_is_left_alone_for_longer_each_time(
    breaker: Breaker, service: Service, clock: FakeClock
) -> None:
    waits = []
    for wait in (1, 2, 4):
        fail(breaker, service)
        clock.advance(wait - 0.5)
        with pytest.raises(Away):
            breaker.call(service)
        clock.advance(0.5)
        service.is_up = True
        breaker.call(service)
        waits.append(wait)
    clock.advance(LONGEST_WAIT_S + 1)  # well for a while: its past is forgotten
    fail(breaker, service)
    clock.advance(1)
    service.is_up = True
    assert breaker.call(service) == "here"


def test_only_one_thread_tries_while_the_others_go_on_without(
    breaker: Breaker, service: Service, clock: FakeClock
) -> None:
    fail(breaker, service)
    clock.advance(1)
    entered, leave = threading.Event(), threading.Event()

    def slow() -> None:
        entered.set()
        leave.wait(10)

    trial = threading.Thread(target=breaker.call, args=(slow,))
    trial.start()
    assert entered.wait(10)
    with pytest.raises(Away):
        breaker.call(service)
    leave.set()
    trial.join()
    service.is_up = True
    assert breaker.call(service) == "here"


def test_an_error_that_is_an_answer_does_not_count(breaker: Breaker) -> None:
    def refuse() -> None:
        raise ValueError

    for _ in range(FAILURES * 2):
        with pytest.raises(ValueError):
            breaker.call(refuse)
    assert breaker.state is State.CLOSED


def test_going_and_coming_back_are_one_line_each(
    breaker: Breaker, service: Service, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "jobs.breaker"):
        fail(breaker, service)
        for _ in range(4):
            clock.advance(LONGEST_WAIT_S)
            fail(breaker, service, times=1)
        service.is_up = True
        clock.advance(LONGEST_WAIT_S)
        breaker.call(service)
    assert caplog.messages == ["Post does not answer; going on without it", "Post is back"]


def test_waits_are_not_the_same_for_everybody(service: Service, clock: FakeClock) -> None:
    asked: list[tuple[float, float]] = []

    def dice(low: float, high: float) -> float:
        asked.append((low, high))
        return high

    breaker = Breaker("Post", (ConnectionError,), clock=clock, dice=dice)
    fail(breaker, service)
    ((low, high),) = asked
    assert low < 1 < high
    clock.advance(1)
    with pytest.raises(Away):
        breaker.call(service)
