"""A person stops an encode, and takes it up again from what is done."""

from __future__ import annotations

from pathlib import Path

import pytest

from jobs.contract import Failure, LeaseLost
from jobs.states import AttemptOutcome, IllegalMove, JobState
from tests.contract.conftest import ANY, ATLAS, ENCODES, SOUND, segment_file
from tests.factories import events_of
from tests.services.shop import (
    attempt_of,
    cells_in,
    do_all,
    encode_of,
    film,
    hand_in,
    job_of,
    jobs_of,
    state_of,
    take,
)
from vlog_app.config import settings
from vlog_app.extensions import db
from vlog_app.models import Video
from vlog_app.services import checkpoints, control, publish, queue
from vlog_app.services.events import EventKind

pytestmark = pytest.mark.usefixtures("database", "app")
FINAL = Failure("unsupported_media", "This is not a film.", is_final=True)


def test_a_cancelled_encode_takes_every_open_job_along_and_keeps_what_is_done(tmp_path: Path) -> None:
    video = film()
    claim = take(ENCODES)
    hand_in(claim, tmp_path, ("360p", 0))
    control.cancel_encode(encode_of(video).id)
    assert {job.state for job in jobs_of(video)} == {JobState.CANCELLED}
    assert attempt_of(claim).outcome == AttemptOutcome.CANCELLED
    assert cells_in(video) == {("360p", 0)}
    assert (encode_of(video).state, state_of(video)) == ("cancelled", "failed")
    assert events_of(video)[-1].kind == EventKind.CANCELLED


def test_the_worker_of_a_cancelled_job_hears_of_it_with_its_next_word(tmp_path: Path) -> None:
    video = film()
    claim = take(ENCODES)
    control.cancel_encode(encode_of(video).id)
    with pytest.raises(LeaseLost):
        queue.renew_lease(claim, None)
    facts, file = segment_file(tmp_path, claim, "360p", 0)
    with pytest.raises(LeaseLost):
        checkpoints.take_segment(claim, facts, file)
    assert not (settings().videos_dir / video.slug).exists()


def test_nothing_of_a_cancelled_encode_can_be_claimed() -> None:
    video = film()
    control.cancel_encode(encode_of(video).id)
    assert queue.claim_next_job(ATLAS, ANY) is None


def test_an_encode_that_was_taken_up_again_goes_on_from_what_is_done(tmp_path: Path) -> None:
    video = film()
    hand_in(take(ENCODES), tmp_path, ("360p", 0))
    control.cancel_encode(encode_of(video).id)
    control.retry_encode(encode_of(video).id)
    assert (encode_of(video).state, state_of(video)) == ("encoding", "processing")
    assert {job.state for job in jobs_of(video)} == {JobState.QUEUED}
    assert take(ENCODES).done == {("360p", 0)}
    assert events_of(video)[-2].kind == EventKind.RETRIED


def test_a_failed_encode_gets_all_its_attempts_back() -> None:
    video = film()
    claim = take(SOUND)
    queue.fail_job(claim, FINAL)
    control.retry_encode(encode_of(video).id)
    job = job_of(claim)
    assert (job.state, job.attempts_used, job.error_code, job.finished_at) == (
        JobState.QUEUED,
        0,
        None,
        None,
    )
    found = db.session.get_one(Video, video.id)
    assert (found.error_code, found.error_message) == (None, None)
    assert take(SOUND).job_id == claim.job_id


def test_a_film_that_was_watchable_is_watchable_again(tmp_path: Path) -> None:
    video = film()
    hand_in(take(ENCODES), tmp_path, ("360p", 0))
    hand_in(take(SOUND), tmp_path, ("audio", 0))
    assert state_of(video) == "viewable"
    control.cancel_encode(encode_of(video).id)
    control.retry_encode(encode_of(video).id)
    assert state_of(video) == "viewable"


def test_a_film_taken_up_again_can_be_finished(tmp_path: Path) -> None:
    video = film()
    hand_in(take(ENCODES), tmp_path, ("360p", 0))
    control.cancel_encode(encode_of(video).id)
    control.retry_encode(encode_of(video).id)
    do_all(tmp_path)
    publish.publish_finished()
    assert state_of(video) == "ready"


def test_an_encode_is_cancelled_once() -> None:
    encode_id = encode_of(film()).id
    control.cancel_encode(encode_id)
    with pytest.raises(IllegalMove):
        control.cancel_encode(encode_id)


def test_an_encode_that_runs_cannot_be_taken_up_again() -> None:
    encode_id = encode_of(film()).id
    with pytest.raises(IllegalMove):
        control.retry_encode(encode_id)


def test_a_finished_film_can_neither_be_cancelled_nor_taken_up_again(tmp_path: Path) -> None:
    video = film()
    do_all(tmp_path)
    publish.publish_finished()
    encode_id = encode_of(video).id
    with pytest.raises(IllegalMove):
        control.cancel_encode(encode_id)
    with pytest.raises(IllegalMove):
        control.retry_encode(encode_id)
    assert state_of(video) == "ready"
