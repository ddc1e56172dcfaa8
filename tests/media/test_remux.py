"""A copied top rung: the source's own pictures, cut exactly where the encoded rungs are cut."""

from __future__ import annotations

import subprocess
import threading
from pathlib import Path

import pytest

from encoder.ladder import Rung
from encoder.model import Codec
from encoder.plan import Output, make_plan
from encoder.probe import probe
from encoder.segments import TS_DELAY
from jobs.contract import WorkerInfo
from jobs.runner import Tools, run_claim
from jobs.states import JobState
from jobs.testing import MemoryCoordinator
from jobs.worker import SLOTS
from tests.conformance import check
from tests.films import decoder_words, join, numbered_film, shown, ticks
from tests.media.published import publish

pytestmark = pytest.mark.media
TINY_180 = (Rung("180p", 180, 800_000), Rung("90p", 90, 300_000))


@pytest.fixture(scope="module")
def fit(ffmpeg_path: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """20 s of numbered frames, B-frames, a key frame every 60 frames and nowhere else."""
    folder = tmp_path_factory.mktemp("fit")
    film = numbered_film(ffmpeg_path, folder / "numbered.mp4", seconds=20, size="854x480")
    again = folder / "fit.mp4"
    argv = [
        *(ffmpeg_path, "-nostdin", "-v", "error", "-i", str(film), "-c:a", "copy"),
        *("-c:v", "libx264", "-preset", "veryfast", "-g", "60", "-keyint_min", "60", "-sc_threshold", "0"),
        *("-bf", "2", "-maxrate", "800k", "-bufsize", "800k", str(again)),
    ]
    subprocess.run(argv, check=True, timeout=60)
    return again


def test_copied_and_encoded_rungs_show_the_same_frames_at_the_same_times(
    fit: Path, ffmpeg_path: str, tmp_path: Path
) -> None:
    plan = make_plan(probe(fit))
    assert [(row.name, row.is_copy) for row in plan.video] == [("480p", True), ("360p", False)]
    coordinator = MemoryCoordinator(plan, fit, tmp_path)
    tools = Tools(ffmpeg_path, tmp_path / "work")
    for slot in SLOTS:
        while claim := coordinator.claim(WorkerInfo("w", "w"), slot):
            run_claim(claim, coordinator, tools, threading.Event())
    assert {job.state for job in coordinator.jobs} == {JobState.DONE}
    times = [TS_DELAY + ticks(n / plan.fps) for n in range(plan.total_frames)]
    for row in plan.video:
        segments = [tmp_path / f"{row.name}_{n:04d}.ts" for n in range(plan.segment_count)]
        joined = tmp_path / f"joined-{row.name}.ts"
        film = shown(segments, joined)
        assert film.numbers == list(range(plan.total_frames)), row.name
        assert film.times == times, row.name
        assert decoder_words(ffmpeg_path, joined) == ""


def test_a_copied_segment_holds_the_very_bits_of_the_source(
    fit: Path, ffmpeg_path: str, tmp_path: Path
) -> None:
    """Decoded picture by picture, copy and source are equal."""
    plan = make_plan(probe(fit))
    coordinator = MemoryCoordinator(plan, fit, tmp_path)
    slot = next(slot for slot in SLOTS if slot.name == "copy")
    claim = coordinator.claim(WorkerInfo("w", "w"), slot)
    assert claim is not None
    run_claim(claim, coordinator, Tools(ffmpeg_path, tmp_path / "work"), threading.Event())
    joined = tmp_path / "joined.ts"
    joined.write_bytes(
        b"".join((tmp_path / f"480p_{n:04d}.ts").read_bytes() for n in range(plan.segment_count))
    )
    assert picture_hash(ffmpeg_path, joined) == picture_hash(ffmpeg_path, fit)


#: Codec -> how a phone or a program writes it: reordered pictures, a key frame every 60 and nowhere else.
X265 = "keyint=60:min-keyint=60:scenecut=0:bframes=2:log-level=error:pools=1"
CAMERAS = {
    "h264": (*("-c:v", "libx264", "-preset", "veryfast", "-g", "60", "-keyint_min", "60"),
             *("-sc_threshold", "0", "-bf", "2", "-maxrate", "800k", "-bufsize", "800k")),
    "hevc": ("-c:v", "libx265", "-preset", "ultrafast", "-tag:v", "hvc1", "-x265-params", f"{X265}:open-gop=0"),
    "av1": ("-c:v", "libsvtav1", "-preset", "10", "-g", "60", "-svtav1-params", "scd=0:lp=1", "-crf", "50"),
}  # fmt: skip
PREFERRED: dict[str, Codec] = {"h264": "h264", "hevc": "hevc", "av1": "av1"}


@pytest.fixture(scope="module")
def numbers(ffmpeg_path: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight seconds of numbered frames."""
    path = tmp_path_factory.mktemp("numbers") / "numbers.mp4"
    return numbered_film(ffmpeg_path, path, seconds=8, size="320x180")


def shot(ffmpeg: str, numbers: Path, path: Path, *camera: str) -> Path:
    argv = [ffmpeg, "-nostdin", "-v", "error", "-i", str(numbers), "-c:a", "copy", *camera, str(path)]
    subprocess.run(argv, check=True, timeout=120)
    return path


@pytest.mark.parametrize(
    ("codec", "container"), [*((c, "mp4") for c in CAMERAS), ("h264", "mov"), ("hevc", "mov")]
)
def test_a_copy_in_cmaf_is_the_source_picture_by_picture(
    codec: str, container: str, numbers: Path, ffmpeg_path: str, tmp_path: Path
) -> None:
    source = shot(ffmpeg_path, numbers, tmp_path / f"shot.{container}", *CAMERAS[codec])
    output = Output(container="cmaf", codec=PREFERRED[codec])
    film = publish(ffmpeg_path, source, tmp_path / "film", ladder=TINY_180, segment_s=2, output=output)
    assert not film.failed, [job.failure for job in film.failed]
    (copied,) = film.plan.copied
    assert (copied.name, film.plan.notes) == ("180p" if codec == "h264" else f"180p-{codec}", ("copied",))
    assert [str(finding) for finding in check(film.folder, copied=[copied.name])] == []
    for row in film.plan.video:
        seen = shown(film.segments(row.name), tmp_path / "joined.mp4")
        assert seen.numbers == list(range(film.plan.total_frames)), row.name
        assert seen.times == [ticks(n / film.plan.fps) for n in range(film.plan.total_frames)]
        assert decoder_words(ffmpeg_path, tmp_path / "joined.mp4") == "", row.name
    whole = join(film.segments(copied.name), tmp_path / "copied.mp4")
    assert picture_hash(ffmpeg_path, whole) == picture_hash(ffmpeg_path, source)
    name = film.coordinator.segments[copied.name, 0].codecs
    assert name.startswith({"h264": "avc1.", "hevc": "hvc1.1.", "av1": "av01.0."}[codec])


#: How a source is written -> its sample entry, and why it is not copied; no reason means that it is.
CUTS: dict[str, tuple[str, str, str | None]] = {
    "pictures before the key frame": ("hvc1", f"{X265}:open-gop=1", "open_gop"),
    "a clean random access picture": ("hvc1", X265.replace("bframes=2", "open-gop=1:bframes=0"), None),
    "parameter sets in the header, by the other name": ("hev1", f"{X265}:open-gop=0", None),
    "parameter sets in every key frame": ("hev1", f"{X265}:open-gop=0:repeat-headers=1", "own_headers"),
}


@pytest.mark.parametrize("name", CUTS)
def test_hevc_is_copied_only_where_every_cut_is_clean(
    name: str, numbers: Path, ffmpeg_path: str, tmp_path: Path
) -> None:
    tag, options, reason = CUTS[name]
    camera = ("-c:v", "libx265", "-preset", "ultrafast", "-tag:v", tag, "-x265-params", options)
    source = probe(shot(ffmpeg_path, numbers, tmp_path / "shot.mp4", *camera))
    plan = make_plan(source, segment_s=2, ladder=TINY_180, output=Output(codec="hevc"))
    assert (f"not_copied:{reason}" if reason else "copied") in plan.notes


def picture_hash(ffmpeg: str, film: Path) -> str:
    argv = [ffmpeg, "-nostdin", "-v", "error", "-i", str(film), "-map", "0:v:0", "-f", "hash", "-"]
    return subprocess.run(argv, check=True, capture_output=True, text=True, timeout=60).stdout
