"""Housekeeping: each chore at once, then on its interval; one that fails does not end the others."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from jobs.contract import Unavailable
from jobs.periodic import Chore, run_chores


@dataclass
class Ticks(threading.Event):
    """A stop that never waits: every look at the time is a second later, and after `count` seconds it is over."""

    count: int
    now: float = 0.0
    done: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()

    def wait(self, timeout: float | None = None) -> bool:
        assert timeout is not None and timeout > 0
        self.now += timeout
        if self.now >= self.count:
            self.set()
        return self.is_set()

    def chore(self, name: str, every_s: float, fault: type[Exception] | None = None) -> Chore:
        def run() -> None:
            self.done.append(f"{name}@{self.now:.0f}")
            if fault:
                raise fault

        return Chore(name, every_s, run)


def own(chore: Chore, *, late_s: float = 0.0, at_once: bool = False) -> float:
    """A lease nobody else asks for."""
    return 0.0


def done_by(ticks: Ticks, *chores: Chore) -> list[str]:
    clock: Callable[[], float] = lambda: ticks.now  # noqa: E731
    run_chores(chores, ticks, own, now=clock)
    return ticks.done


def test_every_chore_is_done_at_once_and_then_on_its_interval() -> None:
    ticks = Ticks(7)
    assert done_by(ticks, ticks.chore("a", 3), ticks.chore("b", 5)) == ["a@0", "b@0", "a@3", "b@5", "a@6"]


def test_a_chore_that_finds_no_database_is_tried_again_soon(caplog: pytest.LogCaptureFixture) -> None:
    ticks = Ticks(12)
    assert done_by(ticks, ticks.chore("rare", 3600, Unavailable)) == ["rare@0", "rare@5", "rare@10"]
    assert "Traceback" not in caplog.text


def test_a_chore_that_fails_ends_neither_itself_nor_the_others() -> None:
    ticks = Ticks(5)
    broken, fine = ticks.chore("broken", 2, RuntimeError), ticks.chore("fine", 2)
    assert done_by(ticks, broken, fine) == ["broken@0", "fine@0", "broken@2", "fine@2", "broken@4", "fine@4"]


def test_once_told_to_stop_no_chore_begins() -> None:
    ticks = Ticks(5)

    def stop() -> None:
        ticks.set()

    assert done_by(ticks, Chore("stop", 1, stop), ticks.chore("late", 1)) == []
