"""Who is next: films of equal priority take turns, the owner's priority goes before turns, and what makes a film
watchable goes before both.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.contract import Claim, Slot, WorkerInfo
from jobs.layout import AUDIO, ENCODE, POSTER, STORYBOARD, Priority, Rank, place_of
from jobs.worker import SLOTS
from tests.contract.conftest import ATLAS, CELLAR
from tests.contract.test_coordinators import BROKEN
from tests.factories import make_source, make_video
from tests.services.shop import OVER, do_all, encode_of, film, job_of, jobs_of, pass_time, take
from vlog_app.models import Video
from vlog_app.services import control, queue
from vlog_app.services.candidates import STAY_TURNS
from vlog_app.services.demand import demand_segment

BULK = Slot("bulk", (ENCODE, STORYBOARD), min_rank=Rank.DEMAND_REST)
LONG_S = 600.0  # ten pieces, the first of which is short

both_databases = pytest.mark.usefixtures("database", "app")


def long_film(title: str) -> Video:
    return film(LONG_S, title=title)


def newcomer(number: int) -> WorkerInfo:
    """A worker that has no film yet."""
    return WorkerInfo(f"w-new-{number}", f"new-{number}")


def take_bulk(number: int) -> list[Claim]:
    return [take(BULK, newcomer(n)) for n in range(number)]


def owners(claims: list[Claim]) -> list[int]:
    return [claim.video_id for claim in claims]


@both_databases
def test_films_of_equal_priority_take_turns() -> None:
    one, two, three = (long_film(title).id for title in ("One", "Two", "Three"))
    assert owners(take_bulk(7)) == [one, two, three, one, two, three, one]


@both_databases
def test_pieces_of_a_film_are_taken_in_film_order() -> None:
    video = long_film("One")
    long_film("Two")
    firsts = [claim.chunk.first for claim in take_bulk(12) if claim.video_id == video.id]
    assert firsts == sorted(firsts)
    assert len(firsts) == 6


@both_databases
def test_several_workers_join_one_film() -> None:
    video = long_film("One")
    claims = take_bulk(4)
    assert owners(claims) == [video.id] * 4
    assert len({claim.job_id for claim in claims}) == 4


@both_databases
def test_a_film_that_comes_later_begins_where_the_others_are() -> None:
    one, two = long_film("One").id, long_film("Two").id
    take_bulk(6)
    late = long_film("Late").id
    assert owners([take(BULK, newcomer(n)) for n in range(10, 16)]) == [one, two, late, one, two, late]


@both_databases
def test_the_last_piece_of_a_film_that_is_given_back_does_not_wait_for_a_newcomer_to_catch_up() -> None:
    first = long_film("One")
    *_, last = take_bulk(sum(job.rank == Rank.BULK for job in jobs_of(first)))
    late = long_film("Late")
    queue.release_job(last)
    assert owners([take(BULK, newcomer(n)) for n in (60, 61)]) == [first.id, late.id]


@both_databases
def test_high_goes_before_normal_and_normal_before_low() -> None:
    normal, low, high = (long_film(title) for title in ("Normal", "Low", "High"))
    control.prioritise(encode_of(low).id, Priority.LOW)
    control.prioritise(encode_of(high).id, Priority.HIGH)
    pieces = sum(job.rank == Rank.BULK for job in jobs_of(high))
    claims = owners(take_bulk(3 * pieces))
    assert claims == [high.id] * pieces + [normal.id] * pieces + [low.id] * pieces


@both_databases
def test_the_first_minute_of_a_film_at_low_priority_goes_before_the_rest_of_one_at_high() -> None:
    high, low = long_film("High"), long_film("Low")
    control.prioritise(encode_of(high).id, Priority.HIGH)
    control.prioritise(encode_of(low).id, Priority.LOW)
    anything = Slot("any", (ENCODE, AUDIO, POSTER))
    claims = [take(anything, newcomer(n)) for n in range(7)]
    opening = [(high.id, ENCODE), (low.id, ENCODE), (high.id, AUDIO), (low.id, AUDIO)]
    assert [(claim.video_id, claim.kind) for claim in claims[:4]] == opening
    assert {claim.kind for claim in claims[4:6]} == {POSTER}
    assert claims[6].video_id == high.id


@both_databases
def test_what_a_viewer_waits_for_goes_before_everything() -> None:
    high, low = long_film("High"), long_film("Low")
    control.prioritise(encode_of(high).id, Priority.HIGH)
    control.prioritise(encode_of(low).id, Priority.LOW)
    assert demand_segment(low, 50)
    claim = take(Slot("any", (ENCODE, AUDIO, POSTER)))
    assert (claim.video_id, claim.chunk.first) == (low.id, 50)


@both_databases
def test_a_film_whose_priority_changes_while_it_waits_takes_turns_with_its_new_peers() -> None:
    one, two, moved = (long_film(title) for title in ("One", "Two", "Moved"))
    control.prioritise(encode_of(one).id, Priority.HIGH)
    control.prioritise(encode_of(two).id, Priority.HIGH)
    take_bulk(8)
    control.prioritise(encode_of(moved).id, Priority.HIGH)
    nexts = owners([take(BULK, newcomer(n)) for n in range(10, 16)])
    assert nexts == [one.id, two.id, moved.id, one.id, two.id, moved.id]


@both_databases
def test_a_job_that_runs_keeps_its_turn_when_it_is_given_back() -> None:
    one, two = long_film("One"), long_film("Two")
    first, *_ = take_bulk(6)
    control.prioritise(encode_of(two).id, Priority.LOW)
    queue.release_job(first)
    assert take(BULK, newcomer(10)).job_id == first.job_id
    assert job_of(first).video_id == one.id


@both_databases
def test_a_worker_stays_with_its_film_for_a_few_turns_and_no_longer() -> None:
    one, two = long_film("One"), long_film("Two")
    assert take(BULK, ATLAS).video_id == one.id
    assert take(BULK, CELLAR).video_id == two.id
    assert owners([take(BULK, ATLAS) for _ in range(STAY_TURNS + 1)]) == [one.id] * (STAY_TURNS + 1)
    assert take(BULK, ATLAS).video_id == two.id


@both_databases
def test_two_workers_with_two_films_keep_a_film_each() -> None:
    one, two = long_film("One"), long_film("Two")
    taken = [(take(BULK, ATLAS).video_id, take(BULK, CELLAR).video_id) for _ in range(8)]
    assert taken == [(one.id, two.id)] * 8


@both_databases
def test_staying_with_a_film_never_goes_against_the_priority() -> None:
    one, two = long_film("One"), long_film("Two")
    assert take(BULK, ATLAS).video_id == one.id
    control.prioritise(encode_of(two).id, Priority.HIGH)
    assert take(BULK, ATLAS).video_id == two.id


@both_databases
def test_previews_of_a_film_that_is_all_but_finished_do_not_wait_for_other_films(tmp_path: Path) -> None:
    first = film(60, title="One")
    do_all(tmp_path, Slot("no previews", (ENCODE, AUDIO, POSTER)))
    long_film("Two")
    claim = take(BULK, newcomer(1))
    assert (claim.video_id, claim.kind) == (first.id, STORYBOARD)


@both_databases
def test_a_failed_piece_keeps_its_turn_for_when_its_wait_is_over() -> None:
    long_film("One")
    long_film("Two")
    claim, *_ = take_bulk(4)
    queue.fail_job(claim, BROKEN)
    pass_time(OVER)
    assert take(BULK, newcomer(10)).job_id == claim.job_id


@pytest.mark.usefixtures("app")
def test_a_wide_source_is_laid_out_like_any_other() -> None:
    video = make_video(source=make_source(seconds=LONG_S, width=3840, height=2160))
    turns = [job.turn for job in jobs_of(video) if job.rank == Rank.BULK]
    assert turns == list(range(len(turns)))


ranks = st.sampled_from(list(Rank))
priorities = st.sampled_from(list(Priority))


@given(ranks, priorities, ranks, priorities)
def test_places_say_what_the_rules_say(rank: Rank, priority: Priority, other: Rank, others: Priority) -> None:
    mine, theirs = place_of(rank, priority), place_of(other, others)
    if rank < Rank.FIRST <= other:
        assert mine < theirs, "what makes a film watchable goes first"
    elif rank < Rank.FIRST and other < Rank.FIRST:
        assert (mine < theirs) == ((rank, priority) < (other, others))
    elif rank >= Rank.FIRST and other >= Rank.FIRST:
        assert (mine < theirs) == ((priority, rank) < (others, other))


@given(ranks, priorities)
def test_what_is_paused_is_behind_everything_a_slot_looks_at(rank: Rank, priority: Priority) -> None:
    paused = place_of(rank, priority, is_paused=True)
    assert all(paused > place_of(slot.max_rank, Priority.LOW) for slot in (*SLOTS, Slot("any", (ENCODE,))))


def test_every_job_has_a_slot() -> None:
    """A rank that no slot of a worker covers would wait for ever."""
    for kind, rank in [
        (ENCODE, rank) for rank in (Rank.DEMAND, Rank.LEAD, Rank.FIRST, Rank.DEMAND_REST, Rank.BULK)
    ] + [
        ("copy", Rank.COPY),
        (AUDIO, Rank.SOUND),
        (AUDIO, Rank.RATES),
        (POSTER, Rank.POSTER),
        (STORYBOARD, Rank.STORYBOARD),
    ]:
        assert any(kind in slot.kinds and slot.min_rank <= rank <= slot.max_rank for slot in SLOTS), (
            kind,
            rank,
        )
