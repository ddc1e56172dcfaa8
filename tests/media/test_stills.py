"""Poster and storyboard of a film whose every frame carries its number."""

from __future__ import annotations

from pathlib import Path

import av
import pytest

from encoder.stills import storyboard_layout
from jobs.contract import Slot
from jobs.layout import POSTER
from jobs.testing import MemoryCoordinator
from tests.films import BITS, numbered_film
from tests.media.studio import ATLAS, Studio, add_storyboard

pytestmark = pytest.mark.media


@pytest.fixture
def studio(ffmpeg_path: str, tmp_path: Path) -> Studio:
    return Studio(ffmpeg_path, tmp_path)


def picture(path: Path) -> av.VideoFrame:
    with av.open(str(path)) as container:
        frame = next(container.decode(video=0))
        assert isinstance(frame, av.VideoFrame)
        return frame


def number_in(frame: av.VideoFrame, left: int, top: int, width: int, height: int) -> int:
    """The number on the part of a sheet that starts at (left, top)."""
    plane = frame.planes[0]
    row = bytes(plane)[plane.line_size * (top + height // 2) :][left : left + width]
    bar = width / BITS
    return sum(1 << bit for bit in range(BITS) if row[int((bit + 0.5) * bar)] > 117)


def with_storyboard(studio: Studio, seconds: float, size: str, fps: str = "25") -> MemoryCoordinator:
    source = numbered_film(studio.ffmpeg, studio.root / "film.mp4", seconds=seconds, size=size, fps=fps)
    coordinator = studio.make(source, segment_s=6, chunk_s=60)
    add_storyboard(coordinator)
    studio.finish(coordinator)
    return coordinator


@pytest.mark.parametrize(("size", "fps"), [("640x360", "25"), ("854x480", "30000/1001")])
def test_picture_n_of_the_storyboard_shows_what_its_cue_says(studio: Studio, size: str, fps: str) -> None:
    coordinator = with_storyboard(studio, 31, size, fps)
    layout = storyboard_layout(coordinator.plan)
    sheet = picture(studio.folder / "storyboard_0.jpg")
    assert (sheet.width, sheet.height) == (10 * layout.width, 10 * layout.height)
    assert layout.count == 15
    for n in range(layout.count):
        row, column = divmod(n, 10)
        number = number_in(sheet, column * layout.width, row * layout.height, layout.width, layout.height)
        at_s = number / coordinator.plan.fps
        assert abs(at_s - n * layout.step_s) < 0.1, f"picture {n} shows {float(at_s):.2f} s"


def test_the_storyboard_is_handed_in_with_its_index_last(studio: Studio) -> None:
    coordinator = with_storyboard(studio, 3, "320x180")
    assert coordinator.stills == ["thumbnail.jpg", "storyboard_0.jpg", "storyboard.vtt"]
    text = (studio.folder / "storyboard.vtt").read_text()
    assert text == storyboard_layout(coordinator.plan).webvtt()


@pytest.mark.parametrize(
    ("size", "poster"),
    [("1920x1080", (1280, 720)), ("640x360", (640, 360)), ("360x640", (360, 640))],
)
def test_a_poster_is_as_large_as_the_film_and_at_most_1280_wide(
    studio: Studio, size: str, poster: tuple[int, int]
) -> None:
    picture_of = ("-f", "lavfi", "-i", f"testsrc2=s={size}:r=25:d=2")
    source = studio.shoot("film.mp4", *picture_of, "-c:v", "libx264", "-preset", "ultrafast")
    coordinator = studio.open(source)
    claim = coordinator.claim(ATLAS, Slot("poster", (POSTER,)))
    assert claim is not None
    studio.carry_out(claim, coordinator)
    frame = picture(studio.folder / "thumbnail.jpg")
    assert (frame.width, frame.height) == poster
    assert coordinator.stills == ["thumbnail.jpg"]


def test_a_film_of_one_frame_has_a_poster(studio: Studio) -> None:
    source = studio.shoot(
        "one.mp4", "-f", "lavfi", "-i", "testsrc2=s=320x180:r=25", "-frames:v", "1", "-c:v", "libx264"
    )
    coordinator = studio.make(source)
    assert "thumbnail.jpg" in coordinator.stills
