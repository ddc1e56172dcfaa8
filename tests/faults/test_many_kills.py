"""Kills by the hundred, over random films, formats, segment and chunk lengths. Seeded: a failure comes again.

An hour on two cores: `./test -m slow tests/faults/test_many_kills.py`; KILLS=50 before it does fewer, SEED=1 others.
"""

from __future__ import annotations

import os
import random
import signal
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.conformance import check
from tests.conftest import AppFactory
from tests.faults.conftest import StartWorker, plan_of, state_of, upload
from tests.faults.test_killed_worker import (
    check_rung,
    check_sound,
    checkpoints,
    orphans,
    sha256,
    stop,
    wait_for,
    wait_until,
)
from tests.films import numbered_film
from vlog_app.config import settings
from vlog_app.models import Video

KILLS = int(os.environ.get("KILLS", "500"))
SEED = int(os.environ.get("SEED", "5002026"))
MOST_PER_FILM = 12
RATES = ("24000/1001", "24", "25", "30000/1001", "30", "50", "60")
FORMATS = (("hls_ts", "h264"), ("cmaf", "h264"), ("cmaf", "hevc"), ("cmaf", "av1"))
SIZES = ("854x480", "1280x720", "1920x1080", "480x854")

pytestmark = [pytest.mark.media, pytest.mark.slow, pytest.mark.timeout(3 * 3600)]


@dataclass(frozen=True, slots=True)
class Case:
    number: int
    fps: str
    size: str
    seconds: int
    segment_s: int
    chunk_s: int
    container: str
    codec: str


def draw(dice: random.Random, number: int) -> Case:
    return Case(
        number=number,
        fps=dice.choice(RATES),
        size=dice.choice(SIZES),
        seconds=dice.randint(12, 40),
        segment_s=dice.choice((2, 3, 4, 6)),
        chunk_s=dice.choice((0, 6, 12, 30, 60)),
        **dict(zip(("container", "codec"), dice.choice(FORMATS), strict=True)),
    )


def test_hundreds_of_kills_change_no_frame_and_no_timestamp(
    app_factory: AppFactory, start_worker: StartWorker, ffmpeg_path: str, tmp_path: Path
) -> None:
    dice = random.Random(SEED)
    kills = number = 0
    while kills < KILLS:
        case = draw(dice, number)
        number += 1
        app = app_factory(
            "cli",
            hls_segment_duration=case.segment_s,
            split_seconds=case.chunk_s,
            streaming_format=case.container,
            hwaccel_preferred_codec=case.codec,
            x264_preset="ultrafast" if case.codec != "h264" else "veryfast",
        )
        with app.app_context():
            kills += kill_through(case, dice, start_worker, ffmpeg_path, tmp_path / str(case.number))


def kill_through(case: Case, dice: random.Random, start: StartWorker, ffmpeg: str, folder: Path) -> int:
    """One film, killed at random moments until it has had enough; then finished and checked. Returns the kills."""
    folder.mkdir()
    source = numbered_film(ffmpeg, folder / "film.mp4", seconds=case.seconds, size=case.size, fps=case.fps)
    video = upload(source, f"case-{case.number}")
    media = settings().videos_dir / video.slug
    kept: dict[Path, str] = {}
    kills = 0
    while kills < MOST_PER_FILM and kill_once(video, dice, start):
        kills += 1
        kept |= {media / name: digest for name, digest in checkpoints(video)}
    worker = start()
    wait_for(video, "ready")
    stop(worker)
    plan = plan_of(video)
    for row in plan.video:
        check_rung(media, plan, row.name, ffmpeg, folder)
    check_sound(media, plan, ffmpeg, folder)
    assert [str(finding) for finding in check(media, copied=[row.name for row in plan.copied])] == [], case
    assert [path.name for path, digest in kept.items() if sha256(path) != digest] == [], case
    assert orphans() == []
    return kills


def kill_once(video: Video, dice: random.Random, start: StartWorker) -> bool:
    """False when the film was ready before the knife fell."""
    worker = start()
    wait_until(lambda: bool(orphans(of=worker.pid)) or state_of(video) == "ready")
    time.sleep(dice.uniform(0.0, 1.5))
    if state_of(video) == "ready":
        stop(worker)
        return False
    os.kill(worker.pid, signal.SIGKILL)
    worker.wait()
    return True
