"""Housekeeping: leases that ran out, encodes that a crash left unpublished, workers that came back."""

from __future__ import annotations

from pathlib import Path

import pytest

from jobs.housekeeping import chores
from jobs.periodic import Chore
from jobs.states import AttemptOutcome, JobState
from tests.contract.conftest import ATLAS, CELLAR, ENCODES, SOUND
from tests.factories import events_of
from tests.services.shop import (
    OVER,
    attempt_of,
    cells_in,
    do_all,
    encode_of,
    film,
    hand_in,
    job_of,
    pass_time,
    state_of,
    take,
)
from vlog_app.config import settings
from vlog_app.extensions import db, transaction
from vlog_app.models import Event, Worker
from vlog_app.services import events, fleet, publish, queue
from vlog_app.services.clock import database_now
from vlog_app.services.events import EventKind

pytestmark = pytest.mark.usefixtures("database", "app")


def test_a_lease_that_ran_out_is_free_at_once_and_its_attempt_lost(tmp_path: Path) -> None:
    video = film()
    claim = take(SOUND)
    hand_in(claim, tmp_path, ("audio", 0), ("audio", 1))
    pass_time(settings().lease_s + 1)
    assert queue.sweep_expired_leases() == 1
    assert attempt_of(claim).outcome == AttemptOutcome.LOST
    again = take(SOUND)
    assert again.job_id == claim.job_id
    assert again.done == {("audio", 0), ("audio", 1)}
    lost = next(event for event in events_of(video) if event.kind == EventKind.LOST)
    assert lost.data == {"worker": "atlas", "kept": 2}


def test_a_lease_that_still_runs_is_left_alone() -> None:
    film()
    claim = take(SOUND)
    pass_time(settings().lease_s - 5)
    assert queue.sweep_expired_leases() == 0
    assert job_of(claim).state == JobState.LEASED


def test_a_sweep_finds_all_of_them_and_only_once() -> None:
    for title in ("One", "Two", "Three"):
        film(title=title)
        take(SOUND)
    pass_time(OVER)
    assert queue.sweep_expired_leases() == 3
    assert queue.sweep_expired_leases() == 0


def test_a_job_whose_worker_vanishes_every_time_ends() -> None:
    video = film()
    for _ in range(settings().max_retry_attempts):
        assert state_of(video) == "processing"
        take(SOUND)
        pass_time(OVER)
        queue.sweep_expired_leases()
        pass_time(OVER)
    assert state_of(video) == "failed"


def test_what_a_crash_left_between_the_last_job_and_publishing_is_published(tmp_path: Path) -> None:
    video = film()
    do_all(tmp_path)
    assert state_of(video) == "viewable"
    assert publish.publish_finished() == 1
    assert state_of(video) == "ready"
    assert publish.publish_finished() == 0


def test_a_worker_that_comes_back_frees_what_its_former_self_held() -> None:
    film()
    mine, other = take(ENCODES), queue.claim_next_job(CELLAR, SOUND)
    assert other is not None
    assert queue.lose_leases_of(ATLAS.id) == 1
    assert job_of(mine).state == JobState.QUEUED
    assert job_of(other).state == JobState.LEASED


def test_the_fleet_knows_who_is_here() -> None:
    fleet.greet(ATLAS)
    fleet.greet(CELLAR)
    pass_time(60)
    fleet.beat(ATLAS)
    fleet.farewell(CELLAR)
    atlas, cellar = (db.session.get_one(Worker, worker.id) for worker in (ATLAS, CELLAR))
    assert atlas.heartbeat_at > atlas.started_at
    assert (atlas.stopped_at, cellar.stopped_at is not None) == (None, True)
    fleet.greet(CELLAR)
    assert db.session.get_one(Worker, CELLAR.id, populate_existing=True).stopped_at is None


def test_fleeting_events_are_forgotten_and_others_kept() -> None:
    video = film()
    with transaction() as session:
        now = database_now(session)
        events.record(session, video.id, EventKind.PROGRESS, now)
        events.record(session, video.id, EventKind.VIEWABLE, now)
        session.flush()
        session.add(Event(id=100_000, video_id=video.id, kind=EventKind.READY, data={}, created_at=now))
    assert events.forget_old_events() == 1
    assert [event.kind for event in events_of(video)] == [
        EventKind.UPLOADED,
        EventKind.VIEWABLE,
        EventKind.READY,
    ]


def chore(name: str) -> Chore:
    from flask import current_app

    return next(c for c in chores(current_app._get_current_object()) if c.name == name)  # type: ignore[attr-defined]


def test_the_scheduler_sweeps_and_rings_the_bell_when_something_is_free() -> None:
    film()
    take(SOUND)
    bell = settings().storage_path / ".bell"
    rung_at = bell.stat().st_mtime_ns  # when the film came
    chore("expired leases").run()
    assert bell.stat().st_mtime_ns == rung_at
    pass_time(OVER)
    chore("expired leases").run()
    assert bell.stat().st_mtime_ns != rung_at


def test_every_chore_of_a_new_installation_has_nothing_to_do_and_says_so() -> None:
    from flask import current_app

    for each in chores(current_app._get_current_object()):  # type: ignore[attr-defined]
        assert not each.run(), each.name
        assert not each.run(), each.name


def test_a_swept_job_keeps_its_segments(tmp_path: Path) -> None:
    video = film()
    hand_in(take(SOUND), tmp_path, ("audio", 0))
    pass_time(OVER)
    queue.sweep_expired_leases()
    assert cells_in(video) == {("audio", 0)}
    assert (settings().videos_dir / video.slug / "audio_0000.ts").exists()
    assert encode_of(video).state == "encoding"
