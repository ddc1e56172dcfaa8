"""Heartbeats against the clock: late, silent, gone; and the strip that shows them."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from flask import Flask

from tests.web.crew import change, start
from vlog_app.extensions import db
from vlog_app.models import Worker
from vlog_app.services import fleet, fleet_watch
from vlog_app.services.clock import database_now
from vlog_app.services.fleet_watch import Watch
from vlog_app.services.pulse import TICKS, Pulse, Tick, pulse_of, ticks

NOON = datetime.fromisoformat("2026-06-01T12:00:00+00:00")
HEARD, LATE, MISSED, DUE = Tick.HEARD, Tick.LATE, Tick.MISSED, Tick.DUE


@pytest.mark.parametrize(
    ("silent_s", "stopped", "pulse"),
    [
        (None, False, Pulse.NEVER),
        (0, False, Pulse.LIVE),
        (44, False, Pulse.LIVE),
        (46, False, Pulse.LATE),
        (76, False, Pulse.SILENT),
        (301, False, Pulse.GONE),
        (1, True, Pulse.GONE),
    ],
)
def test_with_a_beat_every_30_s(app: Flask, silent_s: float | None, stopped: bool, pulse: Pulse) -> None:
    heard = None if silent_s is None else NOON - timedelta(seconds=silent_s)
    assert pulse_of(Worker(heartbeat_at=heard, stopped_at=NOON if stopped else None), NOON) is pulse


@pytest.mark.parametrize(
    ("ages_s", "strip"),
    [
        ([], []),
        ([10], [HEARD]),
        ([70, 41, 10], [HEARD, HEARD, HEARD]),
        ([130, 40, 10], [HEARD, MISSED, MISSED, LATE, HEARD]),
        ([90, 60], [HEARD, HEARD, DUE, DUE]),
        ([9000, 10], [HEARD, MISSED, MISSED, MISSED, MISSED, LATE]),
    ],
)
def test_the_strip_shows_what_came_and_what_did_not(ages_s: list[float], strip: list[Tick]) -> None:
    assert ticks([NOON - timedelta(seconds=age) for age in ages_s], NOON, 30) == strip


def test_the_strip_has_an_end() -> None:
    beats = [NOON - timedelta(seconds=100 * n) for n in range(TICKS, 0, -1)]
    assert len(ticks(beats, NOON, 30)) == TICKS


def test_the_watch_remembers_the_beats_it_saw(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fleet_watch, "LOOK_EVERY_S", 0.0)
    worker_id, watch = start("atlas"), Watch()
    first = watch.look()[worker_id]
    assert watch.look()[worker_id] == first
    beat = database_now(db.session())
    change(worker_id, heartbeat_at=beat)
    assert watch.look()[worker_id] != first
    assert watch.beats(worker_id)[-1] == beat and len(watch.beats(worker_id)) == 2
    fleet.remove(worker_id)
    assert watch.look() == {} and watch.beats(worker_id) == ()


def test_many_who_watch_cost_one_look(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    watch, reads = Watch(), []
    read = watch._read
    monkeypatch.setattr(watch, "_read", lambda: reads.append(1) or read())
    for _ in range(50):
        watch.look()
    assert len(reads) <= 2
