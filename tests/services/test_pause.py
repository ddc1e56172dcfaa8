"""Films, workers and the queue are held back and let go, and nothing that is done is lost by it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from jobs.contract import NOTHING_TO_REPORT, Claim
from jobs.layout import Priority
from jobs.states import AttemptOutcome, IllegalMove, JobState
from tests.contract.conftest import ANY, ATLAS, CELLAR, ENCODES, SOUND
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
    jobs_of,
    pass_time,
    state_of,
    take,
)
from tests.services.test_turns import BULK, long_film, newcomer, owners
from vlog_app.extensions import db
from vlog_app.models import Video, Worker
from vlog_app.services import control, fleet, publish, queue, workers
from vlog_app.services.demand import demand_segment
from vlog_app.services.events import EventKind

pytestmark = pytest.mark.usefixtures("database", "app")


def gives_back(claim: Claim) -> bool:
    return queue.renew_lease(claim, None).gives_back


# --- one film


def test_nothing_of_a_paused_film_is_handed_out_and_other_films_go_on() -> None:
    paused, other = film(title="Paused"), film(title="Other")
    control.pause_encode(encode_of(paused).id)
    assert {take().video_id for _ in range(4)} == {other.id}
    assert queue.claim_next_job(ATLAS, ANY) is None
    assert events_of(paused)[-1].kind == EventKind.PAUSED


def test_the_worker_of_a_paused_film_gives_it_back_and_no_attempt_is_used(tmp_path: Path) -> None:
    video = film()
    claim = take(ENCODES)
    assert not gives_back(claim)
    control.pause_encode(encode_of(video).id)
    assert gives_back(claim)
    hand_in(claim, tmp_path, ("360p", 0))
    queue.release_job(claim)
    job = job_of(claim)
    assert (job.state, job.attempts_used) == (JobState.QUEUED, 0)
    assert cells_in(video) == {("360p", 0)}
    assert queue.claim_next_job(CELLAR, ENCODES) is None


def test_a_paused_film_goes_on_where_it_stood(tmp_path: Path) -> None:
    video = film()
    claim = take(ENCODES)
    control.pause_encode(encode_of(video).id)
    hand_in(claim, tmp_path, ("360p", 0))
    queue.release_job(claim)
    control.resume_encode(encode_of(video).id)
    assert take(ENCODES).done == {("360p", 0)}
    assert [event.kind for event in events_of(video)][-2:] == [EventKind.RESUMED, EventKind.STARTED]


def test_a_film_that_was_paused_for_long_does_not_take_all_workers() -> None:
    paused, one = long_film("Paused"), long_film("One")
    control.pause_encode(encode_of(paused).id)
    assert owners([take(BULK, newcomer(n)) for n in range(6)]) == [one.id] * 6
    control.resume_encode(encode_of(paused).id)
    nexts = owners([take(BULK, newcomer(n)) for n in range(10, 14)])
    assert sorted(nexts) == sorted([paused.id, one.id] * 2)


def test_a_lease_lost_while_its_film_is_paused_waits_with_it() -> None:
    video = film()
    claim = take(ENCODES)
    control.pause_encode(encode_of(video).id)
    pass_time(OVER)
    queue.sweep_expired_leases()
    pass_time(OVER)
    assert attempt_of(claim).outcome == AttemptOutcome.LOST
    assert queue.claim_next_job(CELLAR, ENCODES) is None
    control.resume_encode(encode_of(video).id)
    assert take(ENCODES, CELLAR).job_id == claim.job_id


def test_the_priority_of_a_paused_film_may_change_meanwhile() -> None:
    paused, other = film(title="Paused"), film(title="Other")
    control.pause_encode(encode_of(paused).id)
    control.prioritise(encode_of(paused).id, Priority.HIGH)
    assert take(ENCODES).video_id == other.id
    control.resume_encode(encode_of(paused).id)
    assert take(BULK).video_id == paused.id


def test_a_viewer_cannot_start_what_the_owner_paused() -> None:
    video = long_film("Paused")
    control.pause_encode(encode_of(video).id)
    assert demand_segment(video, 50) is False
    assert queue.claim_next_job(ATLAS, ANY) is None


def test_a_pause_and_its_end_each_happen_once() -> None:
    encode_id = encode_of(film()).id
    with pytest.raises(IllegalMove):
        control.resume_encode(encode_id)
    control.pause_encode(encode_id)
    with pytest.raises(IllegalMove):
        control.pause_encode(encode_id)


def test_a_finished_film_can_be_neither_paused_nor_moved(tmp_path: Path) -> None:
    video = film()
    do_all(tmp_path)
    publish.publish_finished()
    for verb in (control.pause_encode, control.resume_encode):
        with pytest.raises(IllegalMove):
            verb(encode_of(video).id)
    with pytest.raises(IllegalMove):
        control.prioritise(encode_of(video).id, Priority.HIGH)
    assert state_of(video) == "ready"


def test_a_film_cancelled_while_paused_is_not_paused_when_it_goes_on() -> None:
    video = film()
    control.pause_encode(encode_of(video).id)
    control.cancel_encode(encode_of(video).id)
    control.retry_encode(encode_of(video).id)
    assert encode_of(video).paused_at is None
    assert {job.state for job in jobs_of(video)} == {JobState.QUEUED}
    assert take(ENCODES).video_id == video.id


def test_the_last_job_of_a_paused_film_may_still_finish_it(tmp_path: Path) -> None:
    video = film(12.0)
    do_all(tmp_path, SOUND)
    claim = take(ENCODES)
    control.pause_encode(encode_of(video).id)
    hand_in(claim, tmp_path)
    queue.finish_job(claim, NOTHING_TO_REPORT)
    publish.publish_finished()
    assert state_of(video) == "ready"


# --- the whole queue


def test_a_paused_queue_hands_out_nothing_and_lets_what_runs_finish(tmp_path: Path) -> None:
    film(12.0)
    claim = take(SOUND)
    control.pause_queue()
    control.pause_queue()
    assert queue.claim_next_job(ATLAS, ANY) is None
    assert not gives_back(claim)
    hand_in(claim, tmp_path)
    control.resume_queue()
    control.resume_queue()
    assert queue.claim_next_job(ATLAS, ANY) is not None


# --- one worker


def row_of(worker_id: str) -> Worker:
    db.session.rollback()
    return db.session.get_one(Worker, worker_id, populate_existing=True)


def test_a_paused_worker_finishes_what_it_has_and_takes_nothing_new() -> None:
    film()
    fleet.greet(ATLAS)
    claim = take(SOUND)
    assert workers.pause_worker(ATLAS.id)
    assert not gives_back(claim)
    assert queue.claim_next_job(ATLAS, ANY) is None
    assert queue.claim_next_job(CELLAR, ANY) is not None
    assert row_of(ATLAS.id).pause_reason == workers.BY_OWNER
    workers.resume_worker(ATLAS.id)
    assert queue.claim_next_job(ATLAS, ANY) is not None
    assert row_of(ATLAS.id).pause_reason is None


def test_a_worker_that_is_drained_gives_back_what_it_has() -> None:
    film()
    fleet.greet(ATLAS)
    claim = take(SOUND)
    workers.drain_worker(ATLAS.id)
    assert gives_back(claim)
    queue.release_job(claim)
    assert queue.claim_next_job(ATLAS, ANY) is None
    assert take(SOUND, CELLAR).job_id == claim.job_id


def test_the_next_start_of_a_worker_ends_its_draining_but_not_its_pause() -> None:
    film()
    fleet.greet(ATLAS)
    workers.drain_worker(ATLAS.id)
    fleet.greet(ATLAS)
    assert queue.claim_next_job(ATLAS, SOUND) is not None
    workers.pause_worker(ATLAS.id)
    fleet.greet(ATLAS)
    assert queue.claim_next_job(ATLAS, ANY) is None


@pytest.mark.parametrize("verb", [workers.pause_worker, workers.drain_worker, workers.resume_worker])
def test_a_worker_nobody_has_heard_of_cannot_be_held(verb: object) -> None:
    assert callable(verb)
    assert verb("w-nobody") is False


def test_a_worker_that_starts_again_goes_on_with_its_film_at_once() -> None:
    film()
    fleet.greet(ATLAS)
    claim = take(ENCODES)
    fleet.greet(ATLAS)
    queue.lose_leases_of(ATLAS.id)
    assert take(ENCODES).job_id == claim.job_id


def test_every_failed_film_is_taken_up_again_at_once() -> None:
    from tests.services.test_fail import FINAL

    videos: list[Video] = [film(title=title) for title in ("One", "Two", "Three")]
    for _ in range(2):
        queue.fail_job(take(SOUND), FINAL)
    assert control.retry_failed() == 2
    assert {state_of(video) for video in videos} == {"processing"}
    assert control.retry_failed() == 0


@pytest.mark.parametrize("only_one", [False, True])
@pytest.mark.parametrize("said", ["wait", "disabled"])
def test_what_the_owner_says_between_the_look_and_the_lease_is_heard(
    said: str, only_one: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = jobs_of(film())[0].id if only_one else None
    fleet.greet(ATLAS)
    look = queue.look

    def look_and_then(*arguments: Any) -> Any:
        seen = look(*arguments)
        if said == "wait":
            control.pause_queue()
        else:
            fleet.set_disabled(ATLAS.id, is_disabled=True)
        return seen

    film(title="Another")
    monkeypatch.setattr(queue, "look", look_and_then)
    assert queue.claim_next_job(ATLAS, ANY, wanted) is None
