"""A worker that is killed again and again still ends with a perfect film."""

from __future__ import annotations

import hashlib
import itertools
import os
import random
import signal
import subprocess
import time
from pathlib import Path

import pytest

from encoder.model import EncodePlan
from encoder.names import segment_name
from encoder.segments import TS_DELAY
from tests.conformance import check
from tests.faults.conftest import StartWorker, plan_of, state_of
from tests.films import audio_times, decoder_words, join, shown, ticks
from vlog_app.config import Settings, settings
from vlog_app.extensions import db
from vlog_app.models import Attempt, Encode, Rendition, Segment, Video

KILLS = 6
SEED = 20_261_122
PATIENCE_S = 240
LIVE_S = (0.05, 1.2)  # how long a worker lives after its first ffmpeg began, at random

pytestmark = [pytest.mark.media, pytest.mark.timeout(420)]


@pytest.fixture
def config(config: Settings) -> Settings:
    """Encoding takes its time, in several jobs, so that there is something to be killed; what it made is small."""
    return config.model_copy(update={"x264_preset": "medium", "split_seconds": 12})


@pytest.fixture
def folder(uploaded: Video) -> Path:
    return settings().videos_dir / uploaded.slug


def test_kills_at_random_moments_lose_no_frame(
    uploaded: Video, folder: Path, start_worker: StartWorker, ffmpeg_path: str, tmp_path: Path
) -> None:
    kept = kill_again_and_again(uploaded, folder, start_worker)
    worker = start_worker()
    wait_for(uploaded, "ready")
    stop(worker)
    plan = plan_of(uploaded)
    for row in plan.video:
        check_rung(folder, plan, row.name, ffmpeg_path, tmp_path)
    check_sound(folder, plan, ffmpeg_path, tmp_path)
    copied = {row.name for row in plan.video} - {row.name for row in plan.encoded}
    assert [str(finding) for finding in check(folder, copied=copied)] == []
    for path, digest in kept.items():
        assert sha256(path) == digest, f"{path.name} was made again"
    assert not list((settings().work_dir).rglob("*.ts")), "scratch was left behind"
    assert orphans() == []


def kill_again_and_again(video: Video, folder: Path, start_worker: StartWorker) -> dict[Path, str]:
    """Segments that had a row at the moment of some kill, with the hash of their bytes then."""
    dice = random.Random(SEED)
    kept: dict[Path, str] = {}
    kills = 0
    for _ in range(KILLS):
        worker = start_worker()
        wait_until(lambda pid=worker.pid: orphans(of=pid) or state_of(video) == "ready")
        time.sleep(dice.uniform(*LIVE_S))
        if state_of(video) == "ready":
            stop(worker)
            break
        os.kill(worker.pid, signal.SIGKILL)
        worker.wait()
        kills += 1
        kept |= {folder / name: digest for name, digest in checkpoints(video)}
    assert kills == KILLS, f"the film was ready after {kills} kills: make it longer"
    return kept


def checkpoints(video: Video) -> list[tuple[str, str]]:
    db.session.rollback()
    query = (
        db.select(Rendition.name, Segment.index, Segment.sha256)
        .join(Rendition, Rendition.id == Segment.rendition_id)
        .join(Encode, Encode.id == Rendition.encode_id)
        .where(Encode.video_id == video.id)
    )
    container = plan_of(video).container
    return [
        (segment_name(container, name, index), digest) for name, index, digest in db.session.execute(query)
    ]


def check_rung(folder: Path, plan: EncodePlan, name: str, ffmpeg: str, tmp_path: Path) -> None:
    """Every frame once, in its place, at its time; a strict decoder has nothing to say."""
    film = shown(files_of(folder, plan, name), tmp_path / name)
    assert film.numbers == list(range(plan.total_frames)), name
    zero = TS_DELAY if plan.container == "ts" else 0
    times = [zero + ticks(n / plan.fps) for n in range(plan.total_frames)]
    assert film.times == times, name
    assert decoder_words(ffmpeg, tmp_path / name) == ""


def files_of(folder: Path, plan: EncodePlan, name: str) -> list[Path]:
    return [folder / segment_name(plan.container, name, index) for index in range(plan.segment_count)]


def check_sound(folder: Path, plan: EncodePlan, ffmpeg: str, tmp_path: Path) -> None:
    files = files_of(folder, plan, "audio")
    times = audio_times(files, tmp_path / "audio")
    gaps = [later - earlier for earlier, later in itertools.pairwise(times)]
    assert all(abs(gap - 1024) <= 1 for gap in gaps)  # 90 kHz cannot say 1024/48000 exactly
    assert abs(times[-1] / 48_000 - plan.duration_s) < 0.05
    assert decoder_words(ffmpeg, join(files, tmp_path / "audio")) == ""


def test_sigterm_lets_the_running_segment_land_and_costs_no_attempt(
    uploaded: Video, folder: Path, start_worker: StartWorker
) -> None:
    worker = start_worker()
    wait_until(lambda: bool(list(folder.glob("480p_*.ts"))))
    worker.terminate()
    assert worker.wait(60) == 0
    outcomes = db.session.scalars(db.select(Attempt.outcome)).all()
    assert set(outcomes) <= {"finished", "released"}
    assert orphans() == []


def wait_for(video: Video, state: str) -> None:
    wait_until(lambda: state_of(video) in (state, "failed"))
    assert state_of(video) == state


def wait_until(condition: object) -> None:
    assert callable(condition)
    until = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < until, "waited too long"
        time.sleep(0.1)


def stop(worker: subprocess.Popen[bytes]) -> None:
    worker.terminate()
    worker.wait(60)


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def orphans(of: int = 1) -> list[int]:
    """Processes named ffmpeg whose parent is `of`; 1 adopts those whose parent died."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdecimal():
            continue
        try:
            name, _, rest = (entry / "stat").read_text().partition(") ")
        except OSError:
            continue
        if "ffmpeg" in name and int(rest.split()[1]) == of and rest[0] != "Z":
            found.append(int(entry.name))
    return found
