"""Housekeeping: what is done again and again, how often, and who does it when several could."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

logger = logging.getLogger(__name__)

TICK_S = 1.0


@dataclass(frozen=True, slots=True)
class Chore:
    """Work that may be done twice without harm. `every_s` counts from the end of the last time."""

    name: str
    every_s: float
    run: Callable[[], object]


def run_chores(
    chores: tuple[Chore, ...], stop: threading.Event, now: Callable[[], float] = time.monotonic
) -> None:
    """Do each chore at once, then on its interval, until told to stop. A failing chore does not end the others."""
    due = {chore.name: 0.0 for chore in chores}
    while not stop.is_set():
        for chore in chores:
            if now() >= due[chore.name] and not stop.is_set():
                _do(chore)
                due[chore.name] = now() + chore.every_s
        stop.wait(TICK_S)


def _do(chore: Chore) -> None:
    try:
        chore.run()
    except Exception:
        logger.exception("chore failed", extra={"action": "chore", "chore": chore.name})
