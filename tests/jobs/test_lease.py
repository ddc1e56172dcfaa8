"""A lease is renewed in the background and speaks up in the thread that works."""

from __future__ import annotations

import threading
import time
from dataclasses import replace

import pytest

from jobs.contract import Claim, Drained, JobProgress, LeaseLost, Unavailable
from jobs.lease import Lease
from tests.jobs.conftest import Moody

SHORT_S = 0.4  # a lease of this length is renewed every 0.1 s
PATIENCE_S = 10.0
SOON = threading.Event()  # never set: waits without being a busy loop


def wait_until(condition: object) -> None:
    assert callable(condition)
    until = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < until, "waited too long"
        SOON.wait(0.01)


def is_lost(lease: Lease) -> bool:
    try:
        lease.check()
    except LeaseLost:
        return True
    return False


@pytest.fixture
def drain() -> threading.Event:
    return threading.Event()


@pytest.fixture
def short(claim: Claim) -> Claim:
    return replace(claim, lease_s=SHORT_S)


def test_a_lease_is_renewed_without_being_asked(
    short: Claim, coordinator: Moody, drain: threading.Event
) -> None:
    with Lease(short, coordinator, drain) as lease:
        wait_until(lambda: coordinator.renewals >= 3)
        lease.check()


def test_progress_reaches_the_coordinator(short: Claim, coordinator: Moody, drain: threading.Event) -> None:
    progress = JobProgress(1, 0.5, 2.0)
    with Lease(short, coordinator, drain) as lease:
        lease.report(progress)
        wait_until(lambda: coordinator.jobs[0].progress == progress)


def test_progress_that_did_not_change_is_not_said_again(
    claim: Claim, coordinator: Moody, drain: threading.Event
) -> None:
    """The lease is long, so only news make a renewal."""
    quick = replace(claim, lease_s=3.0)
    with Lease(quick, coordinator, drain) as lease:
        lease.report(JobProgress(0, 0.1))
        wait_until(lambda: coordinator.renewals == 1)
        lease.report(JobProgress(0, 0.1))
    assert coordinator.renewals == 1


def test_a_lost_lease_is_heard_of_in_the_thread_that_works(
    short: Claim, coordinator: Moody, drain: threading.Event
) -> None:
    coordinator.release(short)
    with Lease(short, coordinator, drain) as lease:
        wait_until(lambda: is_lost(lease))
        renewals = coordinator.renewals
        SOON.wait(SHORT_S)
        assert coordinator.renewals == renewals, "a lost lease is not asked for again"


def test_a_coordinator_that_is_away_for_a_moment_costs_nothing(
    short: Claim, coordinator: Moody, drain: threading.Event
) -> None:
    coordinator.moods = [Unavailable("away"), RuntimeError("broken"), None]
    with Lease(short, coordinator, drain) as lease:
        wait_until(lambda: coordinator.renewals >= 4)
        lease.check()


def test_a_coordinator_that_is_away_is_told_of_once(
    short: Claim, coordinator: Moody, drain: threading.Event, caplog: pytest.LogCaptureFixture
) -> None:
    coordinator.moods = [Unavailable("away"), Unavailable("away"), None]
    with Lease(short, coordinator, drain):
        wait_until(lambda: coordinator.renewals >= 4)
    assert caplog.text.count("lease not renewed") == 1
    assert "Traceback" not in caplog.text


def test_a_coordinator_that_is_away_for_longer_than_the_lease_ends_the_work(
    short: Claim, coordinator: Moody, drain: threading.Event
) -> None:
    coordinator.moods = [Unavailable("away")] * 1000
    started = time.monotonic()
    with Lease(short, coordinator, drain) as lease:
        wait_until(lambda: is_lost(lease))
    assert time.monotonic() - started > SHORT_S
    assert coordinator.renewals >= 3


def test_a_job_may_become_shorter_while_it_runs(
    short: Claim, coordinator: Moody, drain: threading.Event
) -> None:
    with Lease(short, coordinator, drain) as lease:
        assert lease.end_segment == 2
        coordinator.shorten(short.job_id, 1)
        wait_until(lambda: lease.end_segment == 1)


def test_draining_stops_work_that_has_no_better_place_to_stop(
    claim: Claim, coordinator: Moody, drain: threading.Event
) -> None:
    with Lease(claim, coordinator, drain) as lease:
        lease.check_drain()
        drain.set()
        assert lease.is_draining
        with pytest.raises(Drained):
            lease.check_drain()


def test_a_lost_lease_comes_before_draining(short: Claim, coordinator: Moody, drain: threading.Event) -> None:
    coordinator.release(short)
    drain.set()
    with Lease(short, coordinator, drain) as lease:
        wait_until(lambda: is_lost(lease))
        with pytest.raises(LeaseLost):
            lease.check_drain()


def test_a_lease_that_was_left_is_renewed_no_more(
    short: Claim, coordinator: Moody, drain: threading.Event
) -> None:
    with Lease(short, coordinator, drain):
        wait_until(lambda: coordinator.renewals >= 1)
    renewals = coordinator.renewals
    SOON.wait(SHORT_S)
    assert coordinator.renewals == renewals


def test_a_job_that_is_paused_is_given_back_like_one_of_a_worker_that_leaves(
    short: Claim, coordinator: Moody, drain: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Lease(short, coordinator, drain) as lease:
        lease.check_drain()
        renew = coordinator.renew
        monkeypatch.setattr(
            type(coordinator), "renew", lambda _self, *about: replace(renew(*about), gives_back=True)
        )
        wait_until(lambda: lease.is_draining)
        with pytest.raises(Drained):
            lease.check_drain()
    assert not drain.is_set()
