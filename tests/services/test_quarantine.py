"""A worker that fails on film after film is at fault, not they: it is paused, tries again later, and no film pays."""

from __future__ import annotations

from pathlib import Path

import pytest

from jobs.contract import Claim, Failure
from jobs.runner import failure_from
from jobs.states import JobState, Verdict
from tests.contract.conftest import ATLAS, CELLAR, SOUND
from tests.contract.test_coordinators import BROKEN
from tests.services.shop import (
    OVER,
    attempt_of,
    encode_of,
    film,
    hand_in_and_finish,
    job_of,
    pass_time,
    state_of,
    take,
)
from tests.services.test_fail import FINAL, FULL
from tests.services.test_pause import row_of
from vlog_app.config import settings
from vlog_app.models import Video
from vlog_app.services import fleet, queue, workers

pytestmark = pytest.mark.usefixtures("database", "app")


@pytest.fixture(autouse=True)
def here(app: object) -> None:
    fleet.greet(ATLAS)
    fleet.greet(CELLAR)


def films(number: int) -> list[Video]:
    return [film(12.0, title=f"Film {n}") for n in range(number)]


def fail_on(number: int, failure: Failure = BROKEN) -> list[Claim]:
    """Atlas takes the sound of this many films, one after the other, and fails."""
    claims = []
    for _ in range(number):
        claims.append(take(SOUND))
        queue.fail_job(claims[-1], failure)
    return claims


def is_paused(worker_id: str = ATLAS.id) -> bool:
    return row_of(worker_id).paused_at is not None


def test_failing_on_three_films_in_a_row_pauses_a_worker_with_its_reason() -> None:
    films(5)
    fail_on(2)
    assert not is_paused()
    fail_on(1)
    row = row_of(ATLAS.id)
    assert is_paused()
    assert row.pause_reason == f"It failed on 3 videos in a row, the last time with: {BROKEN.message}"
    assert queue.claim_next_job(ATLAS, SOUND) is None
    assert not is_paused(CELLAR.id)


def test_no_film_pays_for_it() -> None:
    films(4)
    claims = fail_on(3)
    assert [job_of(claim).attempts_used for claim in claims] == [0, 0, 0]
    assert [attempt_of(claim).verdict for claim in claims] == [Verdict.EXCUSED] * 3
    assert {take(SOUND, CELLAR).job_id for _ in claims} == {claim.job_id for claim in claims}


def test_a_film_that_ended_because_of_it_goes_on() -> None:
    films(3)
    for _ in range(settings().max_retry_attempts - 1):
        first = take(SOUND, CELLAR)
        queue.fail_job(first, BROKEN)
        pass_time(OVER)
    for _ in range(3):
        queue.fail_job(take(SOUND), BROKEN)
    assert job_of(first).state == JobState.QUEUED
    assert state_of_all() == {"processing"}


def state_of_all() -> set[str]:
    from vlog_app.extensions import db

    return {state_of(video) for video in db.session.scalars(db.select(Video))}


def test_failing_on_one_film_again_and_again_is_the_film_s_fault() -> None:
    (video,) = films(1)
    for _ in range(settings().max_retry_attempts):
        fail_on(1)
        pass_time(OVER)
    assert not is_paused()
    assert encode_of(video).state == "failed"


def test_a_success_in_between_starts_the_count_again(tmp_path: Path) -> None:
    films(6)
    fail_on(2)
    hand_in_and_finish(take(SOUND), tmp_path)
    fail_on(2)
    assert not is_paused()


@pytest.mark.parametrize("harmless", [FINAL, "released"])
def test_what_is_not_the_worker_s_fault_does_not_count(harmless: Failure | str) -> None:
    films(6)
    for _ in range(5):
        if isinstance(harmless, Failure):
            queue.fail_job(take(SOUND), harmless)
        else:
            queue.release_job(take(SOUND))
    assert not is_paused()


def test_a_worker_without_disk_is_paused_at_once_and_nobody_pays() -> None:
    films(1)
    (claim,) = fail_on(1, FULL)
    assert row_of(ATLAS.id).pause_reason == workers.NO_SPACE
    assert (job_of(claim).attempts_used, attempt_of(claim).verdict) == (0, Verdict.BLAMELESS)


def test_a_worker_of_another_user_is_paused_at_once_and_nobody_pays() -> None:
    films(1)
    (claim,) = fail_on(1, failure_from(PermissionError(13, "Permission denied")))
    assert row_of(ATLAS.id).pause_reason == workers.NO_ACCESS
    assert (job_of(claim).attempts_used, attempt_of(claim).verdict) == (0, Verdict.BLAMELESS)


def test_a_full_disk_of_the_site_is_not_said_to_be_the_workers() -> None:
    films(1)
    (claim,) = fail_on(1, Failure("storage_low", "The storage is nearly full.", is_blameless=True))
    assert row_of(ATLAS.id).pause_reason == workers.SITE_NO_SPACE
    assert job_of(claim).attempts_used == 0


def test_a_full_disk_is_looked_at_steadily_since_there_may_be_room_any_time() -> None:
    films(1)
    fail_on(1, FULL)
    for _ in range(5):
        pass_time(workers.FIRST_WAIT_S + 1)
        queue.fail_job(take(SOUND), FULL)
        assert is_paused()


def test_after_a_wait_it_may_try_one_job_and_is_back_when_that_goes_well(tmp_path: Path) -> None:
    films(5)
    fail_on(3)
    pass_time(workers.FIRST_WAIT_S - 5)
    assert queue.claim_next_job(ATLAS, SOUND) is None
    pass_time(6)
    probe = take(SOUND)
    assert queue.claim_next_job(ATLAS, SOUND) is None, "one at a time"
    hand_in_and_finish(probe, tmp_path)
    assert not is_paused()
    assert queue.claim_next_job(ATLAS, SOUND) is not None


def test_it_tries_a_film_that_it_has_not_failed_on() -> None:
    films(4)
    failed = {claim.video_id for claim in fail_on(3)}
    pass_time(OVER)
    assert take(SOUND).video_id not in failed


def test_each_try_that_fails_doubles_the_wait_up_to_an_hour() -> None:
    films(4)
    fail_on(3)
    waits = []
    for _ in range(9):
        waits.append(wait_for_a_probe())
        fail_on(1)
        pass_time(1)
    assert waits[:4] == pytest.approx([60, 120, 240, 480], abs=15)
    assert max(waits) <= workers.LONGEST_WAIT_S + 15


def wait_for_a_probe() -> float:
    """Seconds until Atlas is given something; the back-off of jobs is over by then."""
    from vlog_app.extensions import db
    from vlog_app.services.clock import database_now

    row = row_of(ATLAS.id)
    assert row.probe_at is not None
    wait_s = (row.probe_at - database_now(db.session())).total_seconds()
    pass_time(wait_s + 0.5)
    revive_jobs()
    return wait_s


def revive_jobs() -> None:
    """So that there is always something to try: jobs wait for nothing and have all attempts."""
    from vlog_app.extensions import db, transaction
    from vlog_app.models import Job
    from vlog_app.services.clock import database_now

    with transaction() as session:
        session.execute(db.update(Job).values(attempts_used=0, not_before_at=database_now(session)))


def test_a_pause_by_a_person_is_ended_by_a_person_alone(tmp_path: Path) -> None:
    films(5)
    running = take(SOUND)
    workers.pause_worker(ATLAS.id)
    pass_time(OVER / 100)
    queue.renew_lease(running, None)
    hand_in_and_finish(running, tmp_path)
    pass_time(OVER)
    assert queue.claim_next_job(ATLAS, SOUND) is None
    workers.resume_worker(ATLAS.id)
    assert queue.claim_next_job(ATLAS, SOUND) is not None


def test_a_worker_that_a_person_lets_back_starts_with_a_clean_sheet() -> None:
    films(8)
    fail_on(3)
    workers.resume_worker(ATLAS.id)
    fail_on(2)
    assert not is_paused()
    fail_on(1)
    assert is_paused()


def test_films_that_nobody_can_encode_end_and_a_good_one_is_done(tmp_path: Path) -> None:
    """The only worker, and three films that fail each time: it must not be fooled for ever."""
    videos = films(4)
    poison = {video.id for video in videos[:3]}
    for _ in range(60):
        pass_time(OVER)
        claim = queue.claim_next_job(ATLAS, SOUND)
        if claim is None:
            break
        if claim.video_id in poison:
            queue.fail_job(claim, BROKEN)
        else:
            hand_in_and_finish(claim, tmp_path)
    assert [encode_of(video).state for video in videos[:3]] == ["failed"] * 3
    assert encode_of(videos[3]).state == "encoding"
