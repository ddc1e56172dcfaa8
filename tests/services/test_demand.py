"""A viewer waits for a part that is not made: the queue is cut so that it comes next, and nothing is made twice."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from flask import Flask
from hypothesis import HealthCheck, given
from hypothesis import settings as examples
from hypothesis import strategies as st

from jobs.contract import Claim, Failure, LeaseLost, Report
from jobs.layout import ENCODE, Rank
from tests.contract.conftest import ATLAS, ENCODES, segment_file
from tests.factories import events_of, make_source, make_video, utc_now
from tests.services.shop import (
    do_all,
    encode_of,
    film,
    hand_in,
    hand_in_and_finish,
    job_of,
    jobs_of,
    pass_time,
    plan_of,
    take,
)
from vlog_app.extensions import transaction
from vlog_app.models import Attempt, Video
from vlog_app.services import checkpoints, control, publish, queue
from vlog_app.services.demand import demand_segment, expected_wait_s
from vlog_app.services.events import EventKind

both_databases = pytest.mark.usefixtures("database", "app")
LOW, HIGH = ("360p",), ("480p",)
BOTH = ("480p", "360p")


def two_rungs(title: str = "Film") -> Video:
    """Ten segments: the lead [0, 2) in two jobs, the rest [2, 10) in one."""
    return make_video(title, source=make_source(seconds=60, width=854, height=480))


def pieces(video: Video) -> list[tuple[tuple[str, ...], int, int, int]]:
    """Encode jobs as (rungs, first, end, rank), in the order they will be taken."""
    jobs = [job for job in jobs_of(video) if job.kind == ENCODE]
    jobs.sort(key=lambda job: (job.rank, job.id))
    return [(tuple(job.renditions), job.first_segment, job.end_segment, job.rank) for job in jobs]


def lead_is_done(folder: Path) -> None:
    for _ in range(2):
        hand_in_and_finish(take(ENCODES), folder)


@both_databases
def test_a_demand_cuts_a_waiting_job_in_two() -> None:
    video = two_rungs()
    assert demand_segment(video, 5) is True
    assert pieces(video) == [
        (LOW, 5, 10, Rank.DEMAND),
        (LOW, 0, 2, Rank.LEAD),
        (HIGH, 0, 2, Rank.FIRST),
        (HIGH, 5, 10, Rank.DEMAND_REST),
        (BOTH, 2, 5, Rank.BULK),
    ]
    assert events_of(video)[-1].kind == EventKind.DEMAND


@both_databases
def test_what_is_demanded_is_claimed_next() -> None:
    video = two_rungs()
    demand_segment(video, 5)
    claim = take(ENCODES)
    assert (claim.renditions, claim.chunk.first) == (LOW, 5)


@both_databases
def test_a_demand_for_the_first_segment_of_a_job_takes_all_of_it() -> None:
    video = two_rungs()
    assert demand_segment(video, 2) is True
    assert pieces(video) == [
        (LOW, 2, 10, Rank.DEMAND),
        (LOW, 0, 2, Rank.LEAD),
        (HIGH, 0, 2, Rank.FIRST),
        (HIGH, 2, 10, Rank.DEMAND_REST),
    ]


@both_databases
def test_a_film_of_one_rung_has_no_rest() -> None:
    video = film()
    demand_segment(video, 5)
    assert pieces(video) == [(LOW, 5, 10, Rank.DEMAND), (LOW, 0, 2, Rank.LEAD), (LOW, 2, 5, Rank.BULK)]


@both_databases
def test_repeating_a_demand_changes_nothing() -> None:
    video = two_rungs()
    demand_segment(video, 5)
    before = pieces(video)
    assert demand_segment(video, 5) is False
    assert demand_segment(video, 6) is False, "it is next but one already"
    assert pieces(video) == before
    assert [event.kind for event in events_of(video)].count(EventKind.DEMAND) == 1


@both_databases
def test_two_viewers_in_two_places_both_get_their_part() -> None:
    video = two_rungs()
    demand_segment(video, 4)
    demand_segment(video, 8)
    assert [piece[:3] for piece in pieces(video) if piece[3] == Rank.DEMAND] == [(LOW, 4, 8), (LOW, 8, 10)]


@both_databases
def test_a_running_job_becomes_shorter_and_its_worker_hears_of_it(tmp_path: Path) -> None:
    video = two_rungs()
    lead_is_done(tmp_path)
    bulk = take(ENCODES)
    assert demand_segment(video, 7) is True
    assert queue.renew_lease(bulk, None).end_segment == 7
    assert job_of(bulk).lease_token == bulk.token
    hand_in(bulk, tmp_path, *sorted((name, n) for name in BOTH for n in range(2, 7)))
    queue.finish_job(bulk, Report())
    claim = take(ENCODES)
    assert (claim.renditions, claim.chunk.first, claim.chunk.end) == (LOW, 7, 10)


@both_databases
@pytest.mark.parametrize(("index", "is_changed"), [(2, False), (4, False), (5, False), (6, True), (9, True)])
def test_a_running_job_that_gets_there_soon_is_left_alone(
    index: int, is_changed: bool, tmp_path: Path
) -> None:
    """It has made 2 and 3, and makes 4 now."""
    video = two_rungs()
    lead_is_done(tmp_path)
    bulk = take(ENCODES)
    hand_in(bulk, tmp_path, ("360p", 2), ("360p", 3))
    assert demand_segment(video, index) is is_changed


@both_databases
def test_what_is_done_is_not_made_again(tmp_path: Path) -> None:
    video = two_rungs()
    lead_is_done(tmp_path)
    before = pieces(video)
    assert demand_segment(video, 0) is False
    assert pieces(video) == before


@both_databases
def test_the_beginning_needs_no_demand() -> None:
    video = two_rungs()
    assert demand_segment(video, 0) is False
    assert demand_segment(video, 1) is False


@both_databases
def test_nothing_is_demanded_of_an_encode_that_has_ended(tmp_path: Path) -> None:
    cancelled, ready = two_rungs("One"), film(title="Two")
    control.cancel_encode(encode_of(cancelled).id)
    do_all(tmp_path)
    publish.publish_finished()
    assert demand_segment(cancelled, 5) is False
    assert demand_segment(ready, 5) is False


@both_databases
@pytest.mark.parametrize("index", [-1, 10, 10**6])
def test_a_part_the_film_does_not_have_changes_nothing(index: int) -> None:
    assert demand_segment(two_rungs(), index) is False


@both_databases
def test_a_film_whose_viewers_jump_about_is_whole_in_the_end(tmp_path: Path) -> None:
    video = two_rungs()
    for index in (9, 4, 2, 7, 5):
        demand_segment(video, index)
    do_all(tmp_path)
    assert publish.publish_finished() == 1


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("demand"), st.integers(0, 9)),
        st.tuples(st.just("claim"), st.just(0)),
        st.tuples(st.just("hand in"), st.integers(1, 6)),
        st.tuples(st.just("finish"), st.just(0)),
        st.tuples(st.just("fail"), st.just(0)),
        st.tuples(st.just("vanish"), st.just(0)),
    ),
    max_size=14,
)
_numbers = iter(range(10**6))


@examples(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=STEPS)
def test_whatever_happens_every_cell_is_in_exactly_one_job(
    app: Flask, tmp_path: Path, steps: list[tuple[str, int]]
) -> None:
    """Rectangles of one encode never overlap and never leave a hole, and the film can always be finished."""
    video = two_rungs(f"Film {next(_numbers)}")
    held: list[Claim] = []
    for what, number in steps:
        step(video, held, tmp_path, what, number)
        check_cover(video)
    pass_time(100_000)
    queue.sweep_expired_leases()
    pass_time(100_000)
    do_all(tmp_path)
    assert publish.publish_finished() == 1
    check_cover(video)


def step(video: Video, held: list[Claim], folder: Path, what: str, number: int) -> None:
    if what == "demand":
        demand_segment(video, number)
    elif what == "claim" and (claim := queue.claim_next_job(ATLAS, ENCODES)):
        held.append(claim)
    elif what == "hand in" and held:
        hand_in_some(held[0], folder, number)
    elif what == "finish" and held:
        finish(held.pop(0), folder)
    elif what == "fail" and held:
        queue.fail_job(held.pop(0), Failure("encode_failed", "It stopped.", is_blameless=True))
        pass_time(100)
    elif what == "vanish" and held:
        held.clear()
        queue.lose_leases_of(ATLAS.id)


def wanted(claim: Claim) -> list[tuple[str, int]]:
    """What a worker that heard its orders would still make, in the order it makes it."""
    end = queue.renew_lease(claim, None).end_segment
    return sorted((cell for cell in claim.missing() if cell[1] < end), key=lambda cell: cell[1])


def hand_in_some(claim: Claim, folder: Path, count: int) -> None:
    for name, index in wanted(claim)[:count]:
        checkpoints.take_segment(claim, *segment_file(folder, claim, name, index))


def finish(claim: Claim, folder: Path) -> None:
    try:
        hand_in_some(claim, folder, 1000)
        queue.finish_job(claim, Report())
    except LeaseLost:
        return


def check_cover(video: Video) -> None:
    plan = plan_of(video)
    cells = Counter(
        (name, index)
        for rungs, first, end, _ in pieces(video)
        for name in rungs
        for index in range(first, end)
    )
    assert set(cells) == {(row.name, index) for row in plan.video for index in range(plan.segment_count)}
    assert set(cells.values()) == {1}


def test_the_wait_is_judged_by_the_last_run_of_the_lowest_rung_alone(app: Flask) -> None:
    video = make_video()
    assert expected_wait_s(video, 5) is None
    jobs = [job for job in jobs_of(video) if job.kind == ENCODE]
    assert jobs[0].renditions == ["360p"]
    with transaction() as session:
        for job, speed in zip(jobs, (4.0, 1.0), strict=False):
            at = utc_now()
            session.add(Attempt(job_id=job.id, worker_id="w", worker_name="w", started_at=at, speed=speed))
    assert expected_wait_s(video, 5) == 0.5 + 6.0 / 4.0
