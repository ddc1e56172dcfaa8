"""What every coordinator promises, wherever it keeps its truth."""

from __future__ import annotations

from pathlib import Path

import pytest

from jobs.contract import Claim, Failure, Incomplete, JobProgress, LeaseLost, Refused
from tests.contract.conftest import (
    ANY,
    ATLAS,
    CELLAR,
    ENCODES,
    SOUND,
    World,
    hand_in_all,
    measured_segment,
    must,
)

OVER = 10_000.0  # seconds; longer than any lease, back-off included
BROKEN = Failure("encode_failed", "The encoder stopped with an error.")


def test_the_first_claim_is_the_lowest_rung_of_the_first_chunk(world: World) -> None:
    claim = must(world.coordinator.claim(ATLAS, ANY))
    assert (claim.renditions, claim.chunk.first, claim.chunk.end) == (("360p",), 0, 2)


def test_a_second_claim_gets_another_job(world: World) -> None:
    first, second = (must(world.coordinator.claim(ATLAS, ANY)) for _ in range(2))
    assert first.job_id != second.job_id
    assert first.token != second.token


def test_jobs_of_one_encode_cover_every_cell_once(world: World) -> None:
    cells = []
    while claim := world.coordinator.claim(ATLAS, ANY):
        cells += [(name, index) for name in claim.renditions for index in claim.chunk]
    wanted = {(row.name, index) for row in world.plan.renditions for index in range(world.plan.segment_count)}
    assert len(cells) == len(set(cells))
    assert set(cells) == wanted


def test_a_slot_gets_only_its_kinds(world: World) -> None:
    claim = must(world.coordinator.claim(ATLAS, SOUND))
    assert claim.kind == "audio"
    assert world.coordinator.claim(ATLAS, SOUND) is None


def test_an_expired_lease_goes_to_the_next_worker_and_the_old_token_is_worth_nothing(
    world: World, tmp_path: Path
) -> None:
    old = must(world.coordinator.claim(ATLAS, ENCODES))
    world.pass_time(OVER)
    new = must(world.coordinator.claim(CELLAR, ENCODES))
    assert new.job_id == old.job_id
    refuse_everything(world, tmp_path, old)
    assert world.coordinator.renew(new, None).end_segment == new.chunk.end


def test_a_worker_that_slept_is_refused_though_the_same_worker_leased_the_job_again(
    world: World, tmp_path: Path
) -> None:
    old = must(world.coordinator.claim(ATLAS, ENCODES))
    world.pass_time(OVER)
    new = must(world.coordinator.claim(ATLAS, ENCODES))
    assert new.job_id == old.job_id
    refuse_everything(world, tmp_path, old)


def refuse_everything(world: World, tmp_path: Path, old: Claim) -> None:
    facts, file = measured_segment(tmp_path, old, old.renditions[0], old.chunk.first)
    with pytest.raises(LeaseLost):
        world.coordinator.renew(old, JobProgress(0, 0.5))
    with pytest.raises(LeaseLost):
        world.coordinator.checkpoint(old, facts, file)
    with pytest.raises(LeaseLost):
        world.coordinator.hand_in(old, "thumbnail.jpg", file)
    with pytest.raises(LeaseLost):
        world.coordinator.finish(old)
    world.coordinator.fail(old, BROKEN)
    world.coordinator.release(old)


def test_a_renewed_lease_outlives_its_first_length(world: World) -> None:
    claim = must(world.coordinator.claim(ATLAS, ENCODES))
    for _ in range(4):
        world.pass_time(claim.lease_s * 0.6)
        world.coordinator.renew(claim, None)
    world.coordinator.renew(claim, None)


def test_a_handed_in_segment_also_renews_the_lease(world: World, tmp_path: Path) -> None:
    claim = must(world.coordinator.claim(ATLAS, ENCODES))
    for name, index in sorted(claim.missing(), key=lambda cell: cell[1]):
        world.pass_time(claim.lease_s * 0.6)
        world.coordinator.checkpoint(claim, *measured_segment(tmp_path, claim, name, index))
    world.coordinator.finish(claim)


def test_a_segment_handed_in_twice_counts_once(world: World, tmp_path: Path) -> None:
    claim = must(world.coordinator.claim(ATLAS, ENCODES))
    assert world.coordinator.checkpoint(claim, *measured_segment(tmp_path, claim, "360p", 0)) is True
    facts, again = measured_segment(tmp_path, claim, "360p", 0)
    assert world.coordinator.checkpoint(claim, facts, again) is False
    assert not again.exists()


def test_a_segment_of_another_job_is_refused(world: World, tmp_path: Path) -> None:
    claim = must(world.coordinator.claim(ATLAS, ENCODES))
    with pytest.raises(Refused):
        world.coordinator.checkpoint(claim, *measured_segment(tmp_path, claim, "360p", claim.chunk.end))
    with pytest.raises(Refused):
        world.coordinator.checkpoint(claim, *measured_segment(tmp_path, claim, "1080p", 0))


def test_finish_before_everything_is_in_is_refused(world: World, tmp_path: Path) -> None:
    claim = must(world.coordinator.claim(ATLAS, ENCODES))
    world.coordinator.checkpoint(claim, *measured_segment(tmp_path, claim, "360p", 0))
    with pytest.raises(Incomplete):
        world.coordinator.finish(claim)


def test_the_next_attempt_is_told_what_is_done(world: World, tmp_path: Path) -> None:
    claim = must(world.coordinator.claim(ATLAS, ENCODES))
    world.coordinator.checkpoint(claim, *measured_segment(tmp_path, claim, "360p", 0))
    world.pass_time(OVER)
    again = must(world.coordinator.claim(CELLAR, ENCODES))
    assert again.done == {("360p", 0)}
    assert again.missing() == {("360p", 1)}


def test_a_released_job_is_free_at_once_and_costs_no_attempt(world: World) -> None:
    for _ in range(10):
        world.coordinator.release(must(world.coordinator.claim(ATLAS, SOUND)))
    assert world.coordinator.claim(CELLAR, SOUND) is not None


def test_a_failed_job_waits_before_it_is_tried_again(world: World) -> None:
    world.coordinator.fail(must(world.coordinator.claim(ATLAS, SOUND)), BROKEN)
    assert world.coordinator.claim(ATLAS, SOUND) is None
    world.pass_time(OVER)
    assert world.coordinator.claim(ATLAS, SOUND) is not None


def test_a_job_that_fails_every_time_ends_after_its_attempts(world: World) -> None:
    tries = 0
    while claim := world.coordinator.claim(ATLAS, SOUND):
        world.coordinator.fail(claim, BROKEN)
        world.pass_time(OVER)
        tries += 1
    assert tries == 3


def test_a_lost_lease_counts_as_an_attempt(world: World) -> None:
    tries = 0
    while world.coordinator.claim(ATLAS, SOUND):
        world.pass_time(OVER)  # the lease runs out
        world.pass_time(OVER)  # and so does the wait before the next try
        tries += 1
    assert tries == 3


def test_an_attempt_that_finished_segments_starts_the_count_anew(world: World, tmp_path: Path) -> None:
    """Ten crashes must not end a film that gets further each time."""
    for index in range(world.plan.segment_count - 1):
        claim = must(world.coordinator.claim(ATLAS, SOUND))
        world.coordinator.checkpoint(claim, *measured_segment(tmp_path, claim, "audio", index))
        world.pass_time(OVER)
        world.pass_time(OVER)
    assert world.coordinator.claim(ATLAS, SOUND) is not None


def test_a_final_failure_is_not_tried_again(world: World) -> None:
    claim = must(world.coordinator.claim(ATLAS, SOUND))
    world.coordinator.fail(claim, Failure("unsupported_media", "This is not a film.", is_final=True))
    world.pass_time(OVER)
    assert world.coordinator.claim(ATLAS, SOUND) is None


def test_a_full_disk_is_not_the_jobs_fault(world: World) -> None:
    full = Failure("storage_full", "The disk is full.", is_blameless=True)
    for _ in range(5):
        world.coordinator.fail(must(world.coordinator.claim(ATLAS, SOUND)), full)
        world.pass_time(OVER)
    assert world.coordinator.claim(ATLAS, SOUND) is not None


def test_a_worker_that_comes_back_frees_what_it_held_at_once(world: World) -> None:
    held = must(world.coordinator.claim(ATLAS, SOUND))
    world.coordinator.greet(ATLAS)
    assert must(world.coordinator.claim(CELLAR, SOUND)).job_id == held.job_id


def test_a_worker_that_comes_back_frees_nothing_of_others(world: World) -> None:
    must(world.coordinator.claim(ATLAS, SOUND))
    world.coordinator.greet(CELLAR)
    assert world.coordinator.claim(CELLAR, SOUND) is None


def test_a_job_that_a_worker_keeps_waits_for_it_when_it_comes_back(world: World) -> None:
    held = must(world.coordinator.claim(ATLAS, SOUND))
    world.pass_time(1)
    world.coordinator.greet(ATLAS, {held.job_id})
    assert world.coordinator.claim(ATLAS, ENCODES, held.job_id) is None
    assert world.coordinator.claim(CELLAR, SOUND) is None
    again = must(world.coordinator.claim(ATLAS, SOUND, held.job_id))
    assert (again.job_id, again.token == held.token) == (held.job_id, False)
    with pytest.raises(LeaseLost):
        world.coordinator.renew(held, None)


def test_a_job_that_a_worker_has_at_hand_is_not_given_to_it_again(world: World) -> None:
    world.coordinator.greet(ATLAS)
    world.pass_time(1)
    held = must(world.coordinator.claim(ATLAS, SOUND))
    assert world.coordinator.claim(ATLAS, SOUND, held.job_id) is None
    world.coordinator.renew(held, None)


def test_a_worker_that_asks_for_a_job_of_another_gets_nothing(world: World) -> None:
    held = must(world.coordinator.claim(ATLAS, SOUND))
    world.coordinator.greet(CELLAR, {held.job_id})
    assert world.coordinator.claim(CELLAR, SOUND, held.job_id) is None
    world.coordinator.renew(held, None)


def test_a_shortened_job_ends_where_it_is_told(world: World, tmp_path: Path) -> None:
    for _ in range(2):  # the first chunk, lowest rung and the others
        claim = must(world.coordinator.claim(ATLAS, ENCODES))
        hand_in_all(world, tmp_path, claim)
        world.coordinator.finish(claim)
    bulk = must(world.coordinator.claim(ATLAS, ENCODES))
    assert (bulk.chunk.first, bulk.chunk.end) == (2, 10)
    world.demand(7)
    assert world.coordinator.renew(bulk, None).end_segment == 7
    with pytest.raises(Refused):
        world.coordinator.checkpoint(bulk, *measured_segment(tmp_path, bulk, "360p", 7))
    for name in bulk.renditions:
        for index in range(2, 7):
            world.coordinator.checkpoint(bulk, *measured_segment(tmp_path, bulk, name, index))
    world.coordinator.finish(bulk)


def test_a_finished_job_may_not_be_finished_again(world: World, tmp_path: Path) -> None:
    claim = must(world.coordinator.claim(ATLAS, ENCODES))
    hand_in_all(world, tmp_path, claim)
    world.coordinator.finish(claim)
    with pytest.raises(LeaseLost):
        world.coordinator.finish(claim)
