"""Sound has as many segments as picture, wherever the film ends within its last segment."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pytest

from encoder.command import audio_command
from encoder.model import EncodePlan
from encoder.plan import make_plan
from encoder.probe import probe
from encoder.segments import closed_segments
from tests.hostile.clips import Clips

pytestmark = pytest.mark.media

# Pictures in the last segment of 25 or 50: the first and last few are where sound could miss it or spill over.
LENGTHS = [(Fraction(25), n) for n in (1, 2, 3, 12, 13, 23, 24, 25)]
LENGTHS += [(Fraction(50), n) for n in (1, 2, 4, 25, 26, 48, 49, 50)]


def plan_of(film: Path, fps: Fraction, last: int) -> EncodePlan:
    """Three segments of a second, the last with `last` pictures."""
    plan = make_plan(probe(film), segment_s=1.0)
    frames = int(fps)
    return replace(plan, fps=fps, segment_frames=frames, total_frames=2 * frames + last)


@pytest.mark.parametrize(("fps", "last"), LENGTHS)
def test_sound_has_a_segment_for_each_of_the_picture(
    clips: Clips, ffmpeg_path: str, tmp_path: Path, fps: Fraction, last: int
) -> None:
    plan = plan_of(clips.mp4, fps, last)
    argv = audio_command(ffmpeg_path, clips.mp4, plan, plan.audio[0], tmp_path)
    subprocess.run(argv, check=True, capture_output=True, timeout=60)
    assert [index for index, _path in closed_segments(tmp_path, "audio")] == [0, 1, 2]
