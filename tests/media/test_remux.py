"""A copied top rung: the source's own pictures, cut exactly where the encoded rungs are cut."""

from __future__ import annotations

import subprocess
import threading
from pathlib import Path

import pytest

from encoder.plan import make_plan
from encoder.probe import probe
from encoder.segments import TS_DELAY
from jobs.contract import WorkerInfo
from jobs.runner import Tools, run_claim
from jobs.states import JobState
from jobs.testing import MemoryCoordinator
from jobs.worker import SLOTS
from tests.films import CLOCK_HZ, decoder_words, numbered_film, shown

pytestmark = pytest.mark.media


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
    times = [TS_DELAY + round(n / plan.fps * CLOCK_HZ) for n in range(plan.total_frames)]
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


def picture_hash(ffmpeg: str, film: Path) -> str:
    argv = [ffmpeg, "-nostdin", "-v", "error", "-i", str(film), "-map", "0:v:0", "-f", "hash", "-"]
    return subprocess.run(argv, check=True, capture_output=True, text=True, timeout=60).stdout
