"""The filter graph: frames on the grid, rung from rung, cut to what one run is asked for."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import pytest

from encoder.command import Work, video_filters
from encoder.model import EncodePlan
from encoder.plan import make_plan
from tests.factories import make_source

COLOURS = (
    "flags=lanczos:out_color_matrix=bt709:out_range=tv:in_color_matrix=smpte170m:in_range=tv,setsar=1,"
    "format=yuv420p,setparams=range=limited:color_primaries=bt709:color_trc=bt709:colorspace=bt709"
)


@pytest.fixture
def plan() -> EncodePlan:
    return make_plan(make_source(seconds=60, width=854, height=480))


# V, not v: a cover picture is no film.
def graph(plan: EncodePlan, starts: dict[str, int], end: int) -> str:
    rows = [row for row in plan.video if row.name in starts]
    return video_filters(plan, rows, Work(starts, end))


def test_the_first_chunk_begins_at_zero(plan: EncodePlan) -> None:
    assert graph(plan, {"480p": 0, "360p": 0}, 2) == (
        "[0:V:0]fps=25:start_time=0.000000,trim=start_pts=0:end_pts=300,"
        f"scale=854:480:{COLOURS},split=2[cut480p][rest480p];"
        "[cut480p]trim=start_pts=0[480p];"
        "[rest480p]zscale=w=640:h=360:f=lanczos,setsar=1,format=yuv420p[cut360p];"
        "[cut360p]trim=start_pts=0[360p]"
    )


def test_in_a_chunk_in_the_middle_each_rung_is_cut_where_it_stands(plan: EncodePlan) -> None:
    assert graph(plan, {"480p": 2, "360p": 4}, 7) == (
        "[0:V:0]fps=25:start_time=12.000000,trim=start_pts=300:end_pts=1050,"
        f"scale=854:480:{COLOURS},split=2[cut480p][rest480p];"
        "[cut480p]trim=start_pts=300[480p];"
        "[rest480p]zscale=w=640:h=360:f=lanczos,setsar=1,format=yuv420p[cut360p];"
        "[cut360p]trim=start_pts=600[360p]"
    )


def test_the_last_chunk_holds_the_last_picture_of_a_film_that_ends_early(plan: EncodePlan) -> None:
    assert graph(plan, {"360p": 9}, 10) == (
        "[0:V:0]fps=25:start_time=54.000000,tpad=stop=50:stop_mode=clone,trim=start_pts=1350:end_pts=1500,"
        f"scale=640:360:{COLOURS}[cut360p];"
        "[cut360p]trim=start_pts=1350[360p]"
    )


def test_a_film_of_one_segment_is_first_and_last() -> None:
    plan = make_plan(make_source(seconds=2, width=320, height=180))
    assert graph(plan, {"360p": 0}, 1) == (
        "[0:V:0]fps=25:start_time=0.000000,tpad=stop=50:stop_mode=clone,trim=start_pts=0:end_pts=50,"
        f"scale=320:180:{COLOURS}[cut360p];"
        "[cut360p]trim=start_pts=0[360p]"
    )


def test_warm_up_frames_are_decoded_but_cut(plan: EncodePlan) -> None:
    warm = replace(plan, warmup_frames=30)
    assert graph(warm, {"360p": 2}, 4).startswith(
        "[0:V:0]fps=25:start_time=10.800000,trim=start_pts=300:end_pts=600,"
    )


def test_there_is_nothing_to_warm_up_with_before_the_first_frame(plan: EncodePlan) -> None:
    warm = replace(plan, warmup_frames=30)
    assert graph(warm, {"360p": 0}, 2).startswith("[0:V:0]fps=25:start_time=0.000000,")


def test_an_interlaced_film_is_deinterlaced_before_the_grid(plan: EncodePlan) -> None:
    interlaced = replace(plan, deinterlace=True, warmup_frames=4)
    assert graph(interlaced, {"360p": 2}, 4).startswith(
        "[0:V:0]yadif,fps=25:start_time=11.840000,trim=start_pts=300:end_pts=600,"
    )


def test_a_fractional_rate_stays_a_fraction() -> None:
    plan = make_plan(replace(make_source(), fps=Fraction(30000, 1001), frame_count=1800))
    assert graph(plan, {"360p": 2}, 4).startswith(
        "[0:V:0]fps=30000/1001:start_time=12.012000,trim=start_pts=360:end_pts=720,"
    )
