"""The plan of a film without picture: one grid, rates to adapt between, tracks to choose."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import pytest

from encoder.errors import SourceUnreadable
from encoder.ladder import sound_rates
from encoder.model import AudioTrack, EncodePlan, Source
from encoder.plan import make_plan
from tests.factories import make_recording, make_source


def test_segments_are_six_seconds_and_every_invariant_of_the_grid_holds() -> None:
    plan = make_plan(make_recording(seconds=60.02))
    assert (plan.fps, plan.segment_s, plan.segment_count) == (Fraction(25), 6.0, 11)
    assert (plan.video, plan.encoded, plan.copied, plan.tracks) == ((), (), (), ())
    assert [row.name for row in plan.rungs] == ["192k", "128k", "64k"]
    assert plan.lowest.name == "64k"
    assert {(row.kind, row.source_track, row.channels) for row in plan.rungs} == {("audio", 0, 2)}
    assert sum(plan.frames_in(n) for n in range(plan.segment_count)) == plan.total_frames == 1501


@pytest.mark.parametrize(
    ("seconds", "frames"), [(0.01, 1), (20.0, 500), (20.001, 500), (20.01, 501), (20.04, 501)]
)
def test_the_end_is_rounded_up_but_for_a_clock_that_ticks_in_milliseconds(
    seconds: float, frames: int
) -> None:
    assert make_plan(make_recording(seconds=seconds)).total_frames == frames


@pytest.mark.parametrize(
    ("channels", "source_bps", "rates"),
    [
        (2, 320_000, (192_000, 128_000, 64_000)),
        (2, 160_000, (192_000, 128_000, 64_000)),
        (2, 128_000, (128_000, 64_000)),
        (2, 64_000, (64_000,)),
        (2, 8_000, (64_000,)),
        (2, None, (192_000, 128_000, 64_000)),
        (6, 6_350_400, (192_000, 128_000, 64_000)),
        (1, 705_600, (96_000, 48_000)),
        (1, 48_000, (48_000,)),
    ],
)
def test_no_rate_is_far_above_the_source(
    channels: int, source_bps: int | None, rates: tuple[int, ...]
) -> None:
    assert sound_rates(AudioTrack(0, "mp3", channels, 44_100, bitrate_bps=source_bps)) == rates


def test_with_several_tracks_each_has_one_rate() -> None:
    plan = make_plan(make_recording(tracks=3))
    assert [row.name for row in plan.rungs] == ["192k"]
    assert [(row.name, row.source_track) for row in plan.tracks] == [("audio2", 1), ("audio3", 2)]


def test_a_film_with_picture_has_the_rungs_it_had() -> None:
    plan = make_plan(make_source())
    assert plan.rungs == plan.video
    assert [row.name for row in plan.tracks] == ["audio"]


def test_what_is_too_long_is_refused() -> None:
    with pytest.raises(SourceUnreadable):
        make_plan(make_recording(seconds=60 * 3600.0))


def test_plan_and_source_survive_the_database() -> None:
    source = replace(make_recording(), has_cover=True)
    assert Source.from_json(source.to_json()) == source
    plan = make_plan(source)
    assert EncodePlan.from_json(plan.to_json()) == plan


def test_a_source_from_before_there_were_recordings_is_still_read() -> None:
    old = make_source().to_json()
    del old["has_cover"]
    for track in old["audio"]:
        del track["bitrate_bps"]
    assert Source.from_json(old) == make_source()
