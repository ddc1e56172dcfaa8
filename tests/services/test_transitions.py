"""Every state a job can be in, and every move, tried on the real services: what the table says, and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from jobs.contract import Claim, Failure, LeaseLost, Report
from jobs.states import IllegalMove, JobState, Move, sources_of, target_of
from tests.contract.conftest import ATLAS, SOUND
from tests.services.shop import encode_of, film, hand_in, job_of, take
from vlog_app.extensions import transaction
from vlog_app.models import Video
from vlog_app.services import control, queue
from vlog_app.services.clock import database_now

pytestmark = pytest.mark.usefixtures("database", "app")

FINAL = Failure("unsupported_media", "This is not a film.", is_final=True)
PAIRS = [(state, move) for state in JobState for move in Move]


@pytest.fixture
def video() -> Video:
    return film(12.0)


@pytest.fixture
def claim(video: Video, tmp_path: Path) -> Claim:
    """The film's sound, everything handed in."""
    claim = take(SOUND)
    hand_in(claim, tmp_path)
    return claim


def bring_to(state: JobState, claim: Claim, video: Video) -> None:
    ways: dict[JobState, Callable[[], object]] = {
        JobState.QUEUED: lambda: queue.release_job(claim),
        JobState.LEASED: lambda: None,
        JobState.DONE: lambda: queue.finish_job(claim, Report()),
        JobState.FAILED: lambda: queue.fail_job(claim, FINAL),
        JobState.CANCELLED: lambda: control.cancel_encode(encode_of(video).id),
    }
    ways[state]()
    assert job_of(claim).state == state


def attempt(move: Move, claim: Claim, video: Video) -> None:
    """What each move is called by; a refusal is an answer."""
    ways: dict[Move, Callable[[], object]] = {
        Move.CLAIM: lambda: queue.claim_next_job(ATLAS, SOUND),
        Move.FINISH: lambda: queue.finish_job(claim, Report()),
        Move.RELEASE: lambda: queue.release_job(claim),
        Move.FAIL: lambda: queue.fail_job(claim, FINAL),
        Move.CANCEL: lambda: control.cancel_encode(encode_of(video).id),
        Move.RETRY: lambda: control.retry_encode(encode_of(video).id),
        Move.REDO: lambda: redo(video),
    }
    try:
        ways[move]()
    except (IllegalMove, LeaseLost):
        return


def redo(video: Video) -> None:
    encode = encode_of(video)
    with transaction() as session:
        queue.redo_jobs(session, encode, {("audio", 0)}, database_now(session))


@pytest.mark.parametrize(("state", "move"), PAIRS, ids=lambda word: str(word))
def test_a_job_moves_as_the_table_says_and_not_otherwise(
    state: JobState, move: Move, claim: Claim, video: Video
) -> None:
    bring_to(state, claim, video)
    attempt(move, claim, video)
    expected = target_of(move) if state in sources_of(move) else state
    assert job_of(claim).state == expected


@pytest.mark.parametrize("state", [state for state in JobState if state is not JobState.LEASED])
def test_only_a_leased_job_has_a_lease(state: JobState, claim: Claim, video: Video) -> None:
    bring_to(state, claim, video)
    job = job_of(claim)
    assert (job.lease_token, job.lease_expires_at, job.progress) == (None, None, None)


@pytest.mark.parametrize("state", [state for state in JobState if state is not JobState.LEASED])
def test_whoever_lost_the_lease_changes_nothing(
    state: JobState, claim: Claim, video: Video, tmp_path: Path
) -> None:
    bring_to(state, claim, video)
    before = job_of(claim).attempts_used
    with pytest.raises(LeaseLost):
        queue.renew_lease(claim, None)
    queue.fail_job(claim, FINAL)
    queue.release_job(claim)
    job = job_of(claim)
    assert (job.state, job.attempts_used) == (state, before)


def test_a_done_job_stays_done_when_the_encode_is_cancelled_and_taken_up_again(
    claim: Claim, video: Video
) -> None:
    queue.finish_job(claim, Report())
    control.cancel_encode(encode_of(video).id)
    control.retry_encode(encode_of(video).id)
    assert job_of(claim).state == JobState.DONE
