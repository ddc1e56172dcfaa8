"""The table of moves: every pair of state and move is either in it or refused."""

from __future__ import annotations

import pytest

from jobs.states import TRANSITIONS, JobState, Move, sources_of, target_of

ALLOWED = {
    (JobState.QUEUED, Move.CLAIM): JobState.LEASED,
    (JobState.QUEUED, Move.CANCEL): JobState.CANCELLED,
    (JobState.LEASED, Move.FINISH): JobState.DONE,
    (JobState.LEASED, Move.RELEASE): JobState.QUEUED,
    (JobState.LEASED, Move.FAIL): JobState.FAILED,
    (JobState.LEASED, Move.CANCEL): JobState.CANCELLED,
    (JobState.FAILED, Move.RETRY): JobState.QUEUED,
    (JobState.CANCELLED, Move.RETRY): JobState.QUEUED,
    (JobState.DONE, Move.REDO): JobState.QUEUED,
}


@pytest.mark.parametrize("state", list(JobState))
@pytest.mark.parametrize("move", list(Move))
def test_every_pair_of_state_and_move_is_decided(state: JobState, move: Move) -> None:
    assert (state in sources_of(move)) == ((state, move) in ALLOWED)
    if state in sources_of(move):
        assert target_of(move) == ALLOWED[state, move]


def test_every_move_is_in_the_table() -> None:
    assert set(TRANSITIONS) == set(Move)


@pytest.mark.parametrize(
    ("state", "is_final"),
    [
        (JobState.QUEUED, False),
        (JobState.LEASED, False),
        (JobState.DONE, True),
        (JobState.FAILED, True),
        (JobState.CANCELLED, True),
    ],
)
def test_a_final_state_is_left_only_on_purpose(state: JobState, is_final: bool) -> None:
    assert state.is_final is is_final
    ways_out = {move for move in Move if state in sources_of(move)}
    assert (ways_out <= {Move.RETRY, Move.REDO}) is is_final


def test_every_state_can_be_reached_from_the_first() -> None:
    reached = {JobState.QUEUED}
    for _ in JobState:
        reached |= {target_of(move) for move in Move if sources_of(move) & reached}
    assert reached == set(JobState)
