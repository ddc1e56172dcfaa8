"""The storyboard's WebVTT, read back cue by cue."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from encoder.plan import make_plan
from encoder.stills import (
    CELL_HEIGHT,
    CELL_WIDTH,
    COLUMNS,
    ROWS,
    storyboard_files,
    storyboard_layout,
    write_rung,
)
from tests.factories import make_source

STAMP = r"(\d\d):([0-5]\d):([0-5]\d)\.(\d{3})"
CUE = re.compile(rf"{STAMP} --> {STAMP}\nstoryboard_(\d+)\.jpg#xywh=(\d+),(\d+),(\d+),(\d+)")


@dataclass(frozen=True, slots=True)
class Cue:
    start_ms: int
    end_ms: int
    sheet: int
    box: tuple[int, int, int, int]


def read_vtt(text: str) -> list[Cue]:
    """Strict: a header, then blocks of exactly one timing line and one line of text."""
    header, _, body = text.partition("\n\n")
    assert header == "WEBVTT"
    cues = []
    for block in body.rstrip("\n").split("\n\n"):
        match = CUE.fullmatch(block)
        assert match, block
        numbers = [int(part) for part in match.groups()]
        cues.append(Cue(_ms(*numbers[:4]), _ms(*numbers[4:8]), numbers[8], (*numbers[9:13],)))  # type: ignore[arg-type]
    return cues


def _ms(hours: int, minutes: int, seconds: int, millis: int) -> int:
    return ((hours * 60 + minutes) * 60 + seconds) * 1000 + millis


def test_the_first_cues_of_a_minute() -> None:
    text = storyboard_layout(make_plan(make_source(seconds=60))).webvtt()
    assert text.startswith(
        "WEBVTT\n\n"
        "00:00:00.000 --> 00:00:02.000\nstoryboard_0.jpg#xywh=0,0,208,116\n\n"
        "00:00:02.000 --> 00:00:04.000\nstoryboard_0.jpg#xywh=208,0,208,116\n"
    )


@settings(max_examples=60)
@given(
    seconds=st.floats(0.5, 8 * 3600),
    width=st.integers(64, 4096),
    height=st.integers(64, 4096),
    fps=st.sampled_from([Fraction(25), Fraction(30000, 1001)]),
)
def test_cues_run_through_the_whole_film_without_hole_or_overlap(
    seconds: float, width: int, height: int, fps: Fraction
) -> None:
    source = replace(
        make_source(seconds=seconds, width=width, height=height), fps=fps, frame_count=None, audio=()
    )
    plan = make_plan(source)
    layout = storyboard_layout(plan)
    cues = read_vtt(layout.webvtt())
    assert len(cues) == layout.count
    assert cues[0].start_ms == 0
    assert all(cue.start_ms < cue.end_ms for cue in cues)
    assert all(abs(one.end_ms - two.start_ms) <= 1 for one, two in pairwise(cues))
    assert cues[-1].end_ms <= round(plan.duration_s * 1000)
    assert {cue.sheet for cue in cues} == set(range(layout.sheets))


@given(width=st.integers(64, 4096), height=st.integers(64, 4096))
def test_every_box_lies_in_its_sheet_and_no_two_are_the_same(width: int, height: int) -> None:
    layout = storyboard_layout(make_plan(make_source(seconds=299, width=width, height=height)))
    assert layout.width <= CELL_WIDTH + 1 and layout.height <= CELL_HEIGHT + 1
    cues = read_vtt(layout.webvtt())
    assert len({(cue.sheet, cue.box) for cue in cues}) == len(cues)
    for cue in cues:
        left, top, box_width, box_height = cue.box
        assert (box_width, box_height) == (layout.width, layout.height)
        assert left % box_width == top % box_height == 0
        assert left + box_width <= COLUMNS * box_width and top + box_height <= ROWS * box_height


@pytest.mark.parametrize(
    ("seconds", "step_s", "keyframes_only"), [(1.0, 2.0, False), (300.0, 2.0, False), (301.0, 6.0, True)]
)
def test_a_short_film_has_a_picture_every_two_seconds_a_long_one_every_segment(
    seconds: float, step_s: float, keyframes_only: bool
) -> None:
    layout = storyboard_layout(make_plan(make_source(seconds=seconds)))
    assert (layout.step_s, layout.keyframes_only) == (step_s, keyframes_only)


def test_the_last_cue_reaches_the_end_of_the_film() -> None:
    """A film of 61 s: what comes after the last full step still has a picture."""
    cues = read_vtt(storyboard_layout(make_plan(make_source(seconds=61))).webvtt())
    assert cues[-1].end_ms == 61_000


def test_a_sheet_holds_a_hundred_pictures() -> None:
    layout = storyboard_layout(make_plan(make_source(seconds=202)))
    assert [file.name for file in storyboard_files(layout, Path("/x"))] == [
        "storyboard_0.jpg",
        "storyboard_1.jpg",
    ]


def test_finished_segments_are_listed_as_one_film(tmp_path: Path) -> None:
    plan = make_plan(make_source(seconds=13))
    files = [tmp_path / f"360p_{index:04d}.ts" for index in range(plan.segment_count)]
    text = write_rung(plan, [(file, None) for file in files], tmp_path).read_text()
    assert text.splitlines()[-7:] == [
        *("#EXTINF:6.000000,", str(files[0]), "#EXTINF:6.000000,", str(files[1])),
        *("#EXTINF:1.000000,", str(files[2]), "#EXT-X-ENDLIST"),
    ]


def test_segments_in_cmaf_are_listed_with_their_headers(tmp_path: Path) -> None:
    plan = make_plan(make_source(seconds=13))
    names = [("a.m4s", "init.mp4"), ("b.m4s", "init.mp4"), ("c.m4s", "init_1.mp4")]
    text = write_rung(
        plan, [(tmp_path / name, tmp_path / init) for name, init in names], tmp_path
    ).read_text()
    maps = [line for line in text.splitlines() if "MAP" in line or line.endswith(".m4s")]
    assert maps == [
        f'#EXT-X-MAP:URI="{tmp_path}/init.mp4"',
        *(f"{tmp_path}/a.m4s", f"{tmp_path}/b.m4s"),
        *(f'#EXT-X-MAP:URI="{tmp_path}/init_1.mp4"', f"{tmp_path}/c.m4s"),
    ]
