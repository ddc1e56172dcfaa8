"""A circuit breaker: after a few failures nobody waits for a service that is away, and one at a time looks again."""

from __future__ import annotations

import logging
import random
import threading
import time
from collections import deque
from collections.abc import Callable
from enum import StrEnum
from typing import TypeVar

logger = logging.getLogger(__name__)

T = TypeVar("T")

FAILURES = 3  # this many ...
WINDOW_S = 10.0  # ... within this time open it
FIRST_WAIT_S = 1.0  # doubles each time it opens again soon after it was closed
LONGEST_WAIT_S = 30.0
JITTER = 0.3  # part of a wait that is random, so that many processes do not come back together


class Away(Exception):
    """The service did not answer a moment ago, so it is not asked now."""


class State(StrEnum):
    CLOSED = "closed"  # calls go through
    OPEN = "open"  # none does
    HALF_OPEN = "half-open"  # one is trying


class Breaker:
    """Safe for threads. Only `errors` count as failures; any other exception is an answer."""

    def __init__(
        self,
        name: str,
        errors: tuple[type[Exception], ...],
        *,
        clock: Callable[[], float] = time.monotonic,
        dice: Callable[[float, float], float] = random.uniform,
    ) -> None:
        self._name = name
        self._errors = errors
        self._clock = clock
        self._dice = dice
        self._lock = threading.Lock()
        self._state = State.CLOSED
        self._failed_at: deque[float] = deque(maxlen=FAILURES)
        self._openings = 0  # in a row
        self._changed_at = clock()
        self._retry_at = 0.0

    @property
    def state(self) -> State:
        return self._state

    def call(self, do: Callable[[], T]) -> T:
        """The result of `do`. Raises Away without asking while the service is away."""
        self._admit()
        try:
            result = do()
        except self._errors:
            self._failed()
            raise
        except BaseException:
            self._answered()
            raise
        self._answered()
        return result

    def _admit(self) -> None:
        with self._lock:
            if self._state is State.CLOSED:
                return
            if self._state is State.HALF_OPEN or self._clock() < self._retry_at:
                raise Away(f"{self._name} does not answer")
            self._become(State.HALF_OPEN)

    def _answered(self) -> None:
        with self._lock:
            if self._state is State.HALF_OPEN:
                self._failed_at.clear()
                self._become(State.CLOSED)

    def _failed(self) -> None:
        with self._lock:
            now = self._clock()
            self._failed_at.append(now)
            is_too_many = len(self._failed_at) == FAILURES and now - self._failed_at[0] <= WINDOW_S
            if self._state is State.HALF_OPEN or (self._state is State.CLOSED and is_too_many):
                self._open(now)

    def _open(self, now: float) -> None:
        was_well = self._state is State.CLOSED and now - self._changed_at > LONGEST_WAIT_S
        self._openings = 1 if was_well else self._openings + 1
        wait_s = min(LONGEST_WAIT_S, FIRST_WAIT_S * 2.0 ** (self._openings - 1))
        wait_s *= self._dice(1 - JITTER, 1 + JITTER)
        self._retry_at = now + wait_s
        self._become(State.OPEN)

    def _become(self, state: State) -> None:
        """One line when it goes away and one when it is back; the trials between are not news."""
        before, self._state = self._state, state
        if state is State.OPEN and before is State.CLOSED:
            self._changed_at = self._clock()
            logger.warning("%s does not answer; going on without it", self._name, extra={"action": "breaker"})
        elif state is State.CLOSED:
            self._changed_at = self._clock()
            logger.warning("%s is back", self._name, extra={"action": "breaker"})
