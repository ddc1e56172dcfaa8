"""A job is done when everything of it is in."""

from __future__ import annotations

from pathlib import Path

import pytest

from jobs.contract import Incomplete, LeaseLost, Report, Slot
from jobs.layout import ENCODE, POSTER, STORYBOARD
from jobs.states import AttemptOutcome, JobState
from tests.contract.conftest import ENCODES, SOUND
from tests.services.shop import attempt_of, do_all, film, hand_in, hand_in_and_finish, job_of, jobs_of, take
from vlog_app.services import queue

pytestmark = pytest.mark.usefixtures("database", "app")


def test_a_finished_job_is_done_and_its_attempt_says_how_fast(tmp_path: Path) -> None:
    film()
    claim = take(ENCODES)
    hand_in(claim, tmp_path)
    queue.finish_job(claim, Report(4.5))
    job, attempt = job_of(claim), attempt_of(claim)
    assert job.state == JobState.DONE and job.finished_at is not None
    assert (attempt.outcome, attempt.speed, attempt.segments_done) == (AttemptOutcome.FINISHED, 4.5, 2)
    assert attempt.ended_at == job.finished_at


def test_a_job_that_lacks_a_segment_is_not_done_and_keeps_its_lease(tmp_path: Path) -> None:
    film()
    claim = take(ENCODES)
    hand_in(claim, tmp_path, ("360p", 1))
    with pytest.raises(Incomplete):
        queue.finish_job(claim, Report())
    assert job_of(claim).lease_token == claim.token
    assert attempt_of(claim).outcome is None


def test_a_job_is_finished_once(tmp_path: Path) -> None:
    film()
    claim = take(SOUND)
    hand_in_and_finish(claim, tmp_path)
    with pytest.raises(LeaseLost):
        queue.finish_job(claim, Report())


def test_segments_of_an_earlier_attempt_count(tmp_path: Path) -> None:
    film()
    first = take(ENCODES)
    hand_in(first, tmp_path, ("360p", 0))
    queue.release_job(first)
    second = take(ENCODES)
    assert second.missing() == {("360p", 1)}
    hand_in_and_finish(second, tmp_path)
    assert job_of(second).state == JobState.DONE


def test_a_poster_needs_no_segments() -> None:
    film()
    claim = take(Slot("poster", (POSTER,)))
    queue.finish_job(claim, Report())
    assert job_of(claim).state == JobState.DONE


def test_the_storyboard_is_queued_once_when_the_lowest_rung_is_whole(tmp_path: Path) -> None:
    video = film()
    hand_in_and_finish(take(ENCODES), tmp_path)
    assert STORYBOARD not in [job.kind for job in jobs_of(video)]
    do_all(tmp_path, ENCODES)
    do_all(tmp_path, SOUND)
    boards = [job for job in jobs_of(video) if job.kind == STORYBOARD]
    assert [(board.first_segment, board.end_segment, board.renditions) for board in boards] == [(0, 10, [])]
    assert {job.state for job in jobs_of(video) if job.kind == ENCODE} == {JobState.DONE}
