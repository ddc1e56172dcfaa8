"""Segments are cut where they belong also where the clock of MPEG-TS has no tick for it."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from encoder.command import Work, video_command
from encoder.plan import make_plan
from encoder.probe import probe
from encoder.segments import measure
from tests.films import numbered_film

pytestmark = pytest.mark.media


@pytest.mark.parametrize("first", [1, 2])
@pytest.mark.parametrize("container", ["ts", "cmaf"])
@pytest.mark.parametrize(("fps", "frames"), [("24000/1001", 50), ("60000/1001", 61), ("24000/1001", 25)])
def test_a_run_that_begins_anywhere_cuts_at_every_boundary(
    fps: str, frames: int, container: str, first: int, ffmpeg_path: str, tmp_path: Path
) -> None:
    """50 pictures at 23.976 are 187,687.5 ticks: from the second segment on half of all boundaries come half early."""
    source = numbered_film(ffmpeg_path, tmp_path / "film.mp4", seconds=9, size="160x90", fps=fps)
    facts = replace(probe(source), keyframes=None)  # not to be copied
    plan = replace(make_plan(facts), segment_frames=frames, container=container)
    name, last = plan.lowest.name, min(first + 4, plan.segment_count)
    argv = video_command(ffmpeg_path, source, plan, Work({name: first}, last), tmp_path)
    subprocess.run(argv, check=True, capture_output=True, cwd=tmp_path, timeout=120)
    init = tmp_path / f"{name}_init.mp4" if container == "cmaf" else None
    for index in range(first, last):
        path = tmp_path / f"{name}_{index:05d}.{'ts' if init is None else 'm4s'}"
        made = measure(path, plan, plan.lowest, index, init)
        assert made.index == index
