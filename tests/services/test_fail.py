"""A failed attempt is tried again after a wait, unless trying is useless."""

from __future__ import annotations

from pathlib import Path

import pytest
from flask import Flask
from hypothesis import HealthCheck, given
from hypothesis import settings as examples
from hypothesis import strategies as st

from jobs.contract import Failure, Slot
from jobs.layout import POSTER
from jobs.states import AttemptOutcome, JobState
from tests.contract.conftest import ATLAS, ENCODES, SOUND
from tests.factories import events_of
from tests.services.shop import (
    OVER,
    attempt_of,
    cells_in,
    encode_of,
    film,
    hand_in,
    job_of,
    jobs_of,
    pass_time,
    state_of,
    take,
)
from vlog_app.config import settings
from vlog_app.extensions import db
from vlog_app.models import Video
from vlog_app.services import queue, retries
from vlog_app.services.clock import database_now
from vlog_app.services.events import EventKind

BROKEN = Failure("encode_failed", "The encoder stopped with an error.", "last line of stderr")
FINAL = Failure("unsupported_media", "This is not a film.", is_final=True)
FULL = Failure("storage_full", "The disk is full.", is_blameless=True)


@pytest.mark.usefixtures("database", "app")
def test_a_failed_attempt_is_kept_with_its_reason() -> None:
    video = film()
    claim = take(SOUND)
    queue.fail_job(claim, BROKEN)
    attempt = attempt_of(claim)
    assert (attempt.outcome, attempt.error_code) == (AttemptOutcome.FAILED, "encode_failed")
    assert (attempt.error_message, attempt.error_detail) == (BROKEN.message, BROKEN.detail)
    trouble = events_of(video)[-1]
    assert (trouble.kind, trouble.data["message"]) == (EventKind.TROUBLE, BROKEN.message)
    assert state_of(video) == "processing"


@pytest.mark.usefixtures("database", "app")
def test_each_failure_waits_about_twice_as_long_as_the_one_before() -> None:
    film()
    base = settings().retry_backoff_base
    for used in range(1, settings().max_retry_attempts):
        claim = take(SOUND)
        before = database_now(db.session())
        queue.fail_job(claim, BROKEN)
        job = job_of(claim)
        waited = (job.not_before_at - before).total_seconds()
        assert job.attempts_used == used
        assert base * 2 ** (used - 1) * 0.8 <= waited <= base * 2 ** (used - 1) * 1.2 + 1
        pass_time(OVER)


@examples(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(used=st.integers(1, 1000))
def test_no_wait_is_longer_than_an_hour_give_or_take(app: Flask, used: int) -> None:
    middle = min(3600.0, settings().retry_backoff_base * 2.0 ** (used - 1))
    for outcome in (AttemptOutcome.FAILED, AttemptOutcome.LOST):
        wait = retries.retry_wait_s(outcome, BROKEN, used)
        if outcome is AttemptOutcome.LOST and used == 1:
            assert wait == 0.0
        else:
            assert 0.8 * middle <= wait <= 1.2 * middle


@pytest.mark.usefixtures("app")
def test_waits_differ_so_that_failures_do_not_come_back_together() -> None:
    assert len({retries.retry_wait_s(AttemptOutcome.FAILED, BROKEN, 1) for _ in range(20)}) > 10


@pytest.mark.usefixtures("database", "app")
def test_after_its_last_attempt_a_job_ends_the_encode_and_keeps_what_is_done(tmp_path: Path) -> None:
    video = film()
    lead = take(ENCODES)
    hand_in(lead, tmp_path)
    for _ in range(settings().max_retry_attempts):
        queue.fail_job(take(SOUND), BROKEN)
        pass_time(OVER)
    encode = encode_of(video)
    assert (encode.state, encode.error_code, encode.error_message) == (
        "failed",
        "encode_failed",
        BROKEN.message,
    )
    assert state_of(video) == "failed"
    assert cells_in(video) == {("360p", 0), ("360p", 1)}
    assert {job.state for job in jobs_of(video)} == {JobState.FAILED, JobState.CANCELLED}
    assert attempt_of(lead).outcome == AttemptOutcome.CANCELLED
    assert events_of(video)[-1].kind == EventKind.FAILED


@pytest.mark.usefixtures("database", "app")
def test_a_final_failure_ends_the_encode_at_once() -> None:
    video = film()
    queue.fail_job(take(SOUND), FINAL)
    assert encode_of(video).state == "failed"
    assert db.session.get_one(Video, video.id).error_message == FINAL.message


@pytest.mark.usefixtures("database", "app")
def test_a_film_whose_poster_fails_is_still_a_film() -> None:
    video = film()
    claim = take(Slot("poster", (POSTER,)))
    queue.fail_job(claim, FINAL)
    assert job_of(claim).state == JobState.FAILED
    assert encode_of(video).state == "encoding"
    assert state_of(video) == "processing"


@pytest.mark.usefixtures("database", "app")
def test_a_full_disk_costs_no_attempt() -> None:
    film()
    claim = take(SOUND)
    queue.fail_job(claim, FULL)
    job = job_of(claim)
    assert (job.state, job.attempts_used) == (JobState.QUEUED, 0)
    assert queue.claim_next_job(ATLAS, SOUND) is None
    pass_time(61)
    assert take(SOUND).job_id == claim.job_id


@pytest.mark.usefixtures("database", "app")
def test_an_attempt_that_got_further_is_the_first_of_a_new_count(tmp_path: Path) -> None:
    film()
    for index in range(5):
        claim = take(SOUND)
        hand_in(claim, tmp_path, ("audio", index))
        queue.fail_job(claim, BROKEN)
        assert job_of(claim).attempts_used == 1
        pass_time(OVER)


@pytest.mark.usefixtures("database", "app")
def test_a_long_message_is_cut_and_not_refused() -> None:
    video = film()
    queue.fail_job(take(SOUND), Failure("x", "m" * 5000, "d" * 9000, is_final=True))
    assert encode_of(video).error_message == "m" * 500
