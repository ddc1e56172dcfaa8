"""Poster and storyboard of a film whose every frame carries its number."""

from __future__ import annotations

import resource
from itertools import pairwise
from pathlib import Path

import av
import pytest

from encoder.stills import storyboard_layout
from jobs.contract import Slot
from jobs.kinds.stills import CANDIDATES
from jobs.layout import POSTER
from jobs.states import JobState
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


def test_the_storyboard_of_a_long_film_is_made_of_its_key_frames(studio: Studio) -> None:
    loud = numbered_film(studio.ffmpeg, studio.root / "loud.mp4", seconds=1203, size="128x72", fps="5")
    source = studio.shoot("film.mp4", "-i", str(loud), "-map", "0:v", "-c", "copy")  # sound takes long
    coordinator = studio.make(source, segment_s=6, chunk_s=0)
    add_storyboard(coordinator)
    studio.finish(coordinator)
    layout = storyboard_layout(coordinator.plan)
    assert (layout.keyframes_only, layout.sheets) == (True, 2)
    assert layout.count == int(1203 / coordinator.plan.segment_s)
    sheets = [picture(studio.folder / f"storyboard_{n}.jpg") for n in range(2)]
    for n in range(layout.count):
        sheet, cell = divmod(n, 100)
        row, column = divmod(cell, 10)
        left, top = column * layout.width, row * layout.height
        number = number_in(sheets[sheet], left, top, layout.width, layout.height)
        assert number == n * coordinator.plan.segment_frames, f"picture {n} shows frame {number}"
    assert (studio.folder / "storyboard.vtt").read_text().count("-->") == layout.count


def test_the_storyboard_is_handed_in_with_its_index_last(studio: Studio) -> None:
    coordinator = with_storyboard(studio, 3, "320x180")
    assert coordinator.stills[0] == "thumbnail.jpg"
    assert coordinator.stills[-2:] == ["storyboard_0.jpg", "storyboard.vtt"]
    text = (studio.folder / "storyboard.vtt").read_text()
    assert text == storyboard_layout(coordinator.plan).webvtt()


@pytest.mark.parametrize(
    ("size", "poster", "candidate"),
    [
        ("1920x1080", (1280, 720), (640, 360)),
        ("640x360", (640, 360), (640, 360)),
        ("360x640", (360, 640), (360, 640)),
    ],
)
def test_a_poster_is_as_large_as_the_film_and_at_most_1280_wide(
    studio: Studio, size: str, poster: tuple[int, int], candidate: tuple[int, int]
) -> None:
    picture_of = ("-f", "lavfi", "-i", f"testsrc2=s={size}:r=25:d=5")
    source = studio.shoot("film.mp4", *picture_of, *H264, "-g", "10")
    coordinator = with_poster(studio, source)
    assert size_of(studio.folder / "thumbnail.jpg") == poster
    assert {size_of(studio.folder / name) for name in coordinator.stills[1:]} == {candidate}


def test_a_film_of_one_frame_has_a_poster(studio: Studio) -> None:
    source = studio.shoot(
        "one.mp4", "-f", "lavfi", "-i", "testsrc2=s=320x180:r=25", "-frames:v", "1", "-c:v", "libx264"
    )
    coordinator = studio.make(source)
    assert coordinator.stills == ["thumbnail.jpg", "thumbnail_candidate_1.jpg"]


def test_candidates_are_from_five_places(studio: Studio) -> None:
    source = numbered_film(studio.ffmpeg, studio.root / "film.mp4", seconds=60, size="640x360", fps="25")
    coordinator = with_poster(studio, source)
    assert coordinator.stills == ["thumbnail.jpg", *CANDIDATES]
    for name, part in zip(CANDIDATES, (0.10, 0.25, 0.50, 0.75, 0.90), strict=True):
        frame = picture(studio.folder / name)
        at_s = number_in(frame, 0, 0, frame.width, frame.height) / 25
        assert 60 * part - 2 <= at_s <= 60 * part + 4, f"{name} is from {at_s:.1f} s"


PARTS = {  # of a film; each lasts as long as the others
    "black": "color=black:s=640x360:r=25:d=4",
    "white": "color=white:s=640x360:r=25:d=4",
    "plain": "color=0x5080a0:s=640x360:r=25:d=4",
    "blurred": "testsrc2=s=640x360:r=25:d=4,gblur=sigma=40",
}
SHARP_ENOUGH = 0.01
SHARP = "testsrc2=s=640x360:r=25:d=4"
H264 = ("-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p")


@pytest.mark.parametrize("place", range(5))
def test_the_poster_is_neither_black_nor_white_nor_plain_nor_blurred(studio: Studio, place: int) -> None:
    parts = list(PARTS.values())
    parts.insert(place, SHARP)
    with_poster(studio, studio.shoot("film.mp4", *joined(parts), *H264, "-g", "25"))
    assert sharpness(studio.folder / "thumbnail.jpg") > SHARP_ENOUGH


def test_what_the_poster_is_measured_by_tells_the_parts_apart(studio: Studio) -> None:
    for name, part in PARTS.items():
        studio.shoot(f"{name}.jpg", "-f", "lavfi", "-i", part, "-frames:v", "1")
        assert sharpness(studio.root / f"{name}.jpg") < 0.005, name
    studio.shoot("sharp.jpg", "-f", "lavfi", "-i", SHARP, "-frames:v", "1")
    assert sharpness(studio.root / "sharp.jpg") > SHARP_ENOUGH


def test_a_flash_is_stepped_over(studio: Studio) -> None:
    """White at the very key frames that stand in the five places."""
    flashes = "+".join(f"between(t,{at},{at}.5)" for at in (4, 10, 20, 30, 36))
    drawn = f"testsrc2=s=640x360:r=25:d=40,drawbox=c=white:t=fill:enable='{flashes}'"
    source = studio.shoot("film.mp4", "-f", "lavfi", "-i", drawn, *H264, "-g", "25", "-sc_threshold", "0")
    with_poster(studio, source)
    for name in ("thumbnail.jpg", *CANDIDATES):
        assert sharpness(studio.folder / name) > SHARP_ENOUGH, name


@pytest.mark.parametrize(("before_s", "after_s"), [(2, 12), (1, 4)])
def test_a_film_whose_only_key_frame_is_black_is_decoded_further(
    studio: Studio, before_s: int, after_s: int
) -> None:
    black, sharp = f"color=black:s=640x360:r=25:d={before_s}", f"testsrc2=s=640x360:r=25:d={after_s}"
    arguments = (*joined([black, sharp]), *H264, "-g", "9999", "-sc_threshold", "0")
    with_poster(studio, studio.shoot("film.mp4", *arguments))
    assert sharpness(studio.folder / "thumbnail.jpg") > SHARP_ENOUGH


def test_a_short_film_with_one_key_frame_has_five_candidates(studio: Studio) -> None:
    arguments = ("-f", "lavfi", "-i", "testsrc2=s=640x360:r=25:d=6", *H264, "-g", "9999")
    coordinator = with_poster(studio, studio.shoot("film.mp4", *arguments))
    assert coordinator.stills == ["thumbnail.jpg", *CANDIDATES]
    assert len({(studio.folder / name).read_bytes() for name in CANDIDATES}) == 5


def test_a_film_that_is_black_throughout_has_a_black_poster(studio: Studio) -> None:
    arguments = ("-f", "lavfi", "-i", "color=black:s=320x180:r=25:d=4", *H264)
    assert with_poster(studio, studio.shoot("film.mp4", *arguments)).stills[0] == "thumbnail.jpg"


def test_the_poster_of_a_long_film_costs_a_second_of_the_processor(studio: Studio) -> None:
    """Ten minutes of 1080p. Decoding a twentieth of it would cost ten times as much."""
    drawn = ("-f", "lavfi", "-i", "testsrc2=s=1920x1080:r=25:d=10")
    short = studio.shoot("short.mp4", *drawn, *H264, "-g", "50", "-crf", "35")
    source = studio.shoot("film.mp4", "-stream_loop", "59", "-i", str(short), "-c", "copy")
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    with_poster(studio, source)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert (
        after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 2.5
    )  # usually 1, probe included


def test_pictures_have_the_colours_of_the_film(studio: Studio) -> None:
    """The film is BT.709 with limited range, JPEG files are BT.601 with full range: unconverted, reds turn orange."""
    red = "color=red:s=1280x720:r=25:d=4,scale=out_color_matrix=bt709:out_range=tv"
    tags = ("-colorspace", "bt709", "-color_primaries", "bt709", "-color_trc", "bt709", "-color_range", "tv")
    source = studio.shoot("film.mp4", "-f", "lavfi", "-i", red, *H264, *tags)
    coordinator = studio.make(source)
    add_storyboard(coordinator)
    studio.finish(coordinator)
    for name in ("thumbnail.jpg", CANDIDATES[0], "storyboard_0.jpg"):
        frame = picture(studio.folder / name).reformat(format="rgb24")
        plane = frame.planes[0]
        middle_of_first_cell = plane.line_size * 50 + 3 * 100
        colour = bytes(plane)[middle_of_first_cell : middle_of_first_cell + 3]
        assert all(abs(is_ - ought) < 8 for is_, ought in zip(colour, (255, 0, 0), strict=True)), name


def with_poster(studio: Studio, source: Path) -> MemoryCoordinator:
    coordinator = studio.open(source)
    claim = coordinator.claim(ATLAS, Slot("poster", (POSTER,)))
    assert claim is not None
    studio.carry_out(claim, coordinator)
    assert [job.state for job in coordinator.jobs if job.draft.kind == POSTER] == [JobState.DONE]
    return coordinator


def joined(parts: list[str]) -> tuple[str, ...]:
    named = ";".join(f"{part}[p{number}]" for number, part in enumerate(parts))
    labels = "".join(f"[p{number}]" for number in range(len(parts)))
    return ("-filter_complex", f"{named};{labels}concat=n={len(parts)}")


def size_of(path: Path) -> tuple[int, int]:
    frame = picture(path)
    return frame.width, frame.height


def sharpness(path: Path) -> float:
    """The part of neighbouring pixels that differ much."""
    frame = picture(path)
    plane = frame.planes[0]
    data = bytes(plane)
    rows = [data[y * plane.line_size :][: frame.width] for y in range(0, frame.height, 4)]
    steps = [abs(left - right) for row in rows for left, right in pairwise(row)]
    return sum(step > 40 for step in steps) / len(steps)
