"""Where the film's zero lies when sound and picture of a file do not begin together."""

from __future__ import annotations

from dataclasses import replace

import pytest

from encoder.clock import early_frames, picture_shift, sound_shift
from encoder.model import Source
from encoder.plan import make_plan
from tests.factories import make_source


def late(after_s: float, container: str = "mp4") -> Source:
    """25 frames a second; the sound is first."""
    return replace(make_source(), picture_after_s=after_s, container=container)


def test_what_begins_together_is_not_moved() -> None:
    source = make_source()
    assert (early_frames(source), picture_shift(source), sound_shift(source, source.audio[0])) == (
        0,
        0.0,
        0.0,
    )


@pytest.mark.parametrize("after_s", [0.007, 0.0213, 0.08])
def test_a_little_sound_before_the_picture_is_cut_off(after_s: float) -> None:
    source = late(after_s)
    assert early_frames(source) == 0
    assert picture_shift(source) == sound_shift(source, source.audio[0]) == after_s


def test_for_more_sound_the_first_picture_is_held_and_the_grid_still_fits() -> None:
    source = late(1.01)
    assert early_frames(source) == 25
    assert picture_shift(source) == sound_shift(source, source.audio[0]) == pytest.approx(0.01)
    assert make_plan(source).total_frames == make_plan(make_source()).total_frames + 25


def test_in_a_transport_stream_each_run_has_its_own_zero() -> None:
    source = late(1.01, "ts")
    track = replace(source.audio[0], after_s=0.2)
    assert picture_shift(source) == -1.0
    assert sound_shift(source, track) == pytest.approx(0.01 - 0.2)


def test_pictures_and_sound_are_moved_by_what_the_plan_says() -> None:
    plan = make_plan(late(0.0213))
    assert plan.shift_s == 0.0213
    assert {row.shift_s for row in plan.audio} == {0.0213}
    assert {row.shift_s for row in plan.video} == {0.0}
