"""A plan is fixed before the first frame: grid, renditions, and how it is cut for workers."""

from __future__ import annotations

import json
from dataclasses import replace
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from encoder.errors import SourceUnreadable
from encoder.model import EncodePlan, Source
from encoder.plan import LEAD_SEGMENTS, chunks, make_plan
from tests.factories import make_source

RATES = [
    (Fraction(25), 150),
    (Fraction(30000, 1001), 180),
    (Fraction(24000, 1001), 144),
    (Fraction(50), 300),
    (Fraction(60000, 1001), 360),
    (Fraction(5), 30),
]
FPS = st.sampled_from([rate for rate, _ in RATES])


def source_of(frames: int, fps: Fraction, *, is_vfr: bool = False) -> Source:
    return replace(
        make_source(seconds=float(frames / fps)),
        fps=fps,
        frame_count=None if is_vfr else frames,
        is_vfr=is_vfr,
    )


def with_sound_of(source: Source, seconds: float | None) -> Source:
    return replace(source, audio=(replace(source.audio[0], duration_s=seconds),))


@pytest.mark.parametrize(("fps", "frames"), RATES)
def test_a_segment_is_a_whole_number_of_frames(fps: Fraction, frames: int) -> None:
    assert make_plan(source_of(1000, fps)).segment_frames == frames


def test_a_segment_has_at_least_one_frame() -> None:
    assert make_plan(source_of(10, Fraction(5)), segment_s=0.01).segment_frames == 1


@given(frames=st.integers(1, 50_000), fps=FPS, segment_s=st.integers(1, 20))
def test_segments_cover_every_frame_once(frames: int, fps: Fraction, segment_s: int) -> None:
    plan = make_plan(source_of(frames, fps), segment_s=segment_s)
    lengths = [plan.frames_in(index) for index in range(plan.segment_count)]
    assert sum(lengths) == plan.total_frames == frames
    assert all(length == plan.segment_frames for length in lengths[:-1])
    assert 0 < lengths[-1] <= plan.segment_frames
    assert plan.start_of(plan.segment_count - 1) + plan.duration_of(plan.segment_count - 1) == frames / fps


@given(frames=st.integers(1, 50_000), fps=FPS, chunk_s=st.sampled_from([0, 1, 6, 30, 60, 600]))
def test_chunks_cover_every_segment_once_and_begin_with_a_short_one(
    frames: int, fps: Fraction, chunk_s: float
) -> None:
    plan = make_plan(source_of(frames, fps))
    pieces = chunks(plan, chunk_s)
    assert [index for piece in pieces for index in piece] == list(range(plan.segment_count))
    assert pieces[0].count == min(LEAD_SEGMENTS, plan.segment_count)
    assert all(piece.count > 0 for piece in pieces)
    if chunk_s == 0:
        assert len(pieces) <= 2


def test_a_chunk_is_about_as_long_as_asked() -> None:
    plan = make_plan(source_of(25 * 600, Fraction(25)))
    assert [(piece.first, piece.end) for piece in chunks(plan, 120)][:3] == [(0, 2), (2, 22), (22, 42)]


@given(frames=st.integers(1, 50_000), fps=FPS)
def test_a_plan_survives_json(frames: int, fps: Fraction) -> None:
    plan = make_plan(source_of(frames, fps))
    assert EncodePlan.from_json(json.loads(json.dumps(plan.to_json()))) == plan


def test_a_source_survives_json() -> None:
    source = replace(source_of(1001, Fraction(30000, 1001)), sar=Fraction(64, 45), rotation=90)
    assert Source.from_json(json.loads(json.dumps(source.to_json()))) == source


def test_a_plan_of_a_newer_version_is_refused() -> None:
    data = make_plan(make_source()).to_json() | {"version": 99}
    with pytest.raises(ValueError, match="99"):
        EncodePlan.from_json(data)


def test_sound_that_goes_on_after_the_picture_is_kept() -> None:
    plan = make_plan(with_sound_of(make_source(seconds=60), 65.0))
    assert plan.total_frames == 65 * 25


@pytest.mark.parametrize("sound_s", [None, 10.0, 60.0, 61.0])
def test_sound_that_ends_with_the_picture_or_sooner_changes_nothing(sound_s: float | None) -> None:
    assert make_plan(with_sound_of(make_source(seconds=60), sound_s)).total_frames == 60 * 25


def test_a_count_of_frames_is_believed_before_a_duration() -> None:
    source = replace(make_source(seconds=60), frame_count=1498)
    assert make_plan(source).total_frames == 1498


def test_with_a_variable_rate_the_duration_decides() -> None:
    source = replace(make_source(seconds=60), frame_count=900, is_vfr=True)
    assert make_plan(source).total_frames == 1500


def test_a_film_without_a_frame_is_refused() -> None:
    with pytest.raises(SourceUnreadable) as refused:
        make_plan(replace(make_source(seconds=0.001), frame_count=None))
    assert refused.value.code == "no_frames"
    assert refused.value.is_final


def test_a_film_longer_than_is_sane_is_refused() -> None:
    with pytest.raises(SourceUnreadable) as refused:
        make_plan(replace(make_source(seconds=60), frame_count=10**9))
    assert refused.value.code == "duration_limit"


def test_a_film_without_sound_has_no_sound_rendition() -> None:
    plan = make_plan(make_source(has_audio=False))
    assert plan.audio == ()
    assert [row.name for row in plan.video] == ["1080p", "720p", "480p", "360p"]
    assert plan.lowest.name == "360p"


@pytest.mark.parametrize(("given_channels", "kept"), [(1, 1), (2, 2), (6, 2)])
def test_sound_is_at_most_stereo(given_channels: int, kept: int) -> None:
    source = make_source()
    source = replace(source, audio=(replace(source.audio[0], channels=given_channels),))
    assert [row.channels for row in make_plan(source).audio] == [kept]


@pytest.mark.parametrize(
    ("is_vfr", "is_interlaced", "warmup"),
    [(False, False, 0), (True, False, 30), (False, True, 4), (True, True, 30)],
)
def test_frames_before_a_chunk_are_decoded_when_its_first_ones_need_them(
    is_vfr: bool, is_interlaced: bool, warmup: int
) -> None:
    plan = make_plan(replace(make_source(), is_vfr=is_vfr, is_interlaced=is_interlaced))
    assert (plan.warmup_frames, plan.deinterlace) == (warmup, is_interlaced)


@pytest.mark.parametrize(
    ("time_s", "index"), [(-5.0, 0), (0.0, 0), (5.99, 0), (6.0, 1), (59.9, 9), (60.0, 9), (1e9, 9)]
)
def test_every_time_lies_in_some_segment(time_s: float, index: int) -> None:
    assert make_plan(make_source(seconds=60)).segment_at(time_s) == index


def test_a_slower_preset_asks_for_the_same_picture_with_another_number() -> None:
    fast, slow = (make_plan(make_source(), preset=preset).lowest for preset in ("ultrafast", "medium"))
    assert (fast.preset, fast.crf) == ("ultrafast", 21)
    assert (slow.preset, slow.crf) == ("medium", 26)
