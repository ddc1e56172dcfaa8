"""Which picture is shown when, for sources without a constant rate: at every place the one a player would show."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from encoder.ladder import Rung
from tests.films import numbered_film, shown
from tests.media.published import publish

pytestmark = pytest.mark.media

ONE_RUNG = (Rung("180p", 180, 600_000),)
FPS, FRAMES = 30, 150

# Frames a recorder dropped because nothing changed; a cut between jobs lies in the middle of each.
HOLDS = {
    "two seconds": [(50, 110)],
    "to the end": [(70, 150)],
    "over several jobs": [(20, 145)],
    "one every second": [(25, 35), (55, 65), (85, 95), (115, 125)],
}


def kept(holds: list[tuple[int, int]]) -> list[int]:
    return [n for n in range(FRAMES) if not any(first <= n < end for first, end in holds)]


def expected(holds: list[tuple[int, int]], count: int) -> list[int]:
    """At each moment the newest picture there is."""
    pictures = kept(holds)
    return [max(picture for picture in pictures if picture <= n) for n in range(count)]


@pytest.mark.parametrize("container", ["mp4", "mkv"])
@pytest.mark.parametrize("holds", HOLDS.values(), ids=HOLDS)
def test_a_held_picture_stays_until_the_next_one(
    ffmpeg_path: str, tmp_path: Path, holds: list[tuple[int, int]], container: str
) -> None:
    whole = numbered_film(ffmpeg_path, tmp_path / "whole.mp4", seconds=FRAMES / FPS, size="320x180", fps="30")
    film = tmp_path / f"held.{container}"
    dropped = "+".join(f"between(n,{first},{end - 1})" for first, end in holds)
    argv = [
        *(ffmpeg_path, "-nostdin", "-v", "error", "-i", str(whole), "-vf", f"select='not({dropped})'"),
        *(
            "-fps_mode",
            "vfr",
            "-c:v",
            "libx264",
            "-preset",
            "ultrafast",
            "-g",
            "40",
            "-c:a",
            "copy",
            str(film),
        ),
    ]
    subprocess.run(argv, check=True, timeout=60)
    published = publish(ffmpeg_path, film, tmp_path / "out", ladder=ONE_RUNG, chunk_s=1.0)
    assert published.failed == []
    numbers = shown(published.segments("180p"), tmp_path / "joined.ts").numbers
    assert numbers == expected(holds, published.plan.total_frames)
