"""The grid as pages read it: which cell is what, how far it can be watched, how long it takes."""

from __future__ import annotations

import pytest

from jobs.states import AttemptOutcome
from tests.factories import (
    make_failed,
    make_progress,
    make_ready,
    make_source,
    make_video,
    make_working,
    rendition_names,
    utc_now,
)
from vlog_app.models import Video
from vlog_app.services.grid import CellState, Grid, Row, Run, whole_percent
from vlog_app.services.grid_reading import read_grid

pytestmark = pytest.mark.usefixtures("app")


def grid_of(video: Video) -> Grid:
    grid = read_grid(video.id, 1, utc_now())
    assert grid is not None
    return grid


def row_of(video: Video, name: str) -> Row:
    return next(row for row in grid_of(video).rows if row.name == name)


def make_row(*states: CellState, fractions: dict[int, float] | None = None) -> Row:
    return Row("360p", "video", 640, 360, 600_000, 0, states, fractions or {})


DONE, KEPT, MOVING, WAITING, FAILED = (
    CellState.DONE,
    CellState.KEPT,
    CellState.MOVING,
    CellState.WAITING,
    CellState.FAILED,
)


def test_a_planned_video_waits_everywhere() -> None:
    grid = grid_of(make_video())
    assert {state for row in grid.rows for state in row.states} == {WAITING}
    assert (grid.percent, grid.watchable, grid.best, grid.eta_s) == (0, 0, None, None)


@pytest.mark.parametrize(
    ("outcome", "state"),
    [(None, DONE), (AttemptOutcome.FINISHED, DONE), (AttemptOutcome.LOST, KEPT), (AttemptOutcome.FAILED, KEPT),
     (AttemptOutcome.RELEASED, KEPT), (AttemptOutcome.CANCELLED, KEPT)],
)  # fmt: skip
def test_segments_of_an_attempt_that_broke_off_are_kept(
    outcome: AttemptOutcome | None, state: CellState
) -> None:
    video = make_video()
    make_progress(video, {"360p": 2}, outcome=outcome)
    assert row_of(video, "360p").states[:3] == (state, state, WAITING)


def test_the_cell_a_worker_is_at_moves_by_its_fraction() -> None:
    video = make_video()
    make_working(video, "1080p", 3, fraction=0.25)
    row = row_of(video, "1080p")
    assert (row.states[3], row.fractions[3], row.speed) == (MOVING, 0.25, 3.2)
    assert grid_of(video).in_flight == 4, "one decode makes all four rungs"


def test_where_an_encode_failed_is_marked_and_what_was_done_stays() -> None:
    video = make_video()
    make_progress(video, {"1080p": 4})
    make_failed(video)
    assert row_of(video, "1080p").states[:5] == (DONE, DONE, DONE, DONE, FAILED)


def test_percent_is_weighted_by_work_and_99_until_done() -> None:
    video = make_video(source=make_source(seconds=600))
    names = rendition_names(video)
    make_progress(video, {"360p": 100})
    assert grid_of(video).percent == 6
    make_progress(video, names | {"360p": 100, "audio": 99})
    assert grid_of(video).percent == 99
    make_progress(video, names)
    assert grid_of(video).percent == 100


@pytest.mark.parametrize(
    ("done", "planned", "percent"), [(0, 0, 0), (0, 7, 0), (999, 1000, 99), (1000, 1000, 100)]
)
def test_whole_percents(done: int, planned: int, percent: int) -> None:
    assert whole_percent(done, planned) == percent


def test_watchable_stops_at_the_first_gap_and_at_the_end_of_the_sound() -> None:
    video = make_video()
    make_progress(video, {"1080p": 3, "360p": 8, "audio": 6})
    grid = grid_of(video)
    assert (grid.watchable, grid.watchable_s) == (6, 36.0)
    assert grid.best is not None
    assert (grid.best[0].name, grid.best[1], grid.whole) == ("1080p", 3, None)


def test_a_film_without_sound_needs_none() -> None:
    video = make_video(source=make_source(has_audio=False))
    make_progress(video, {"360p": 10})
    grid = grid_of(video)
    assert grid.watchable == 10
    assert grid.whole is not None and grid.whole.name == "360p"


def test_a_published_film_is_done_everywhere() -> None:
    video = make_video()
    make_ready(video)
    grid = grid_of(video)
    assert grid.is_done and grid.percent == 100 and grid.next_up is None


def test_time_left_follows_the_last_minute() -> None:
    video = make_video(source=make_source(seconds=600, has_audio=False))
    make_progress(video, dict.fromkeys(rendition_names(video), 25), age_s=30)
    eta_s = grid_of(video).eta_s
    assert eta_s is not None
    assert eta_s == pytest.approx(90, abs=3), "25 of 100 segments took 30 s, so 75 take 90 s"


def test_time_left_is_not_guessed_from_two_segments() -> None:
    video = make_video()
    make_progress(video, {"360p": 2}, age_s=30)
    assert grid_of(video).eta_s is None


def test_time_left_is_not_guessed_from_sound_alone() -> None:
    video = make_video()
    make_progress(video, {"audio": 10}, age_s=30)
    assert grid_of(video).eta_s is None


def test_runs_join_neighbours() -> None:
    row = make_row(KEPT, KEPT, DONE, MOVING, WAITING, WAITING, fractions={3: 0.5})
    assert row.runs() == [Run(0, 2, KEPT), Run(2, 1, DONE), Run(3, 1, MOVING, 0.5), Run(4, 2, WAITING)]


def test_bins_show_the_worst_first_then_motion_then_how_much() -> None:
    row = make_row(
        DONE, FAILED, DONE, MOVING, DONE, WAITING, KEPT, DONE, KEPT, KEPT, WAITING, fractions={3: 0.5}
    )
    assert row.runs(2) == [
        Run(0, 1, FAILED),
        Run(1, 1, MOVING, 0.75),
        Run(2, 1, DONE, 0.5),
        Run(3, 1, DONE),
        Run(4, 1, KEPT),
        Run(5, 1, WAITING),
    ]


def test_nothing_planned_is_no_grid() -> None:
    assert read_grid(99, 1, utc_now()) is None
