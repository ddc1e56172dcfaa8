"""A worker at the end of a line that is slow, breaks, or leads to another file than before."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from flask import Flask

from tests.conftest import AppFactory
from tests.contract.worker_api import WORKER_SECRET
from tests.faults.conftest import upload
from tests.faults.far import far_worker, job_at, outcomes
from tests.faults.test_killed_worker import checkpoints, wait_until
from tests.films import numbered_film
from vlog_app.config import settings
from vlog_app.models import Video
from vlog_app.services import queue

pytestmark = [pytest.mark.media, pytest.mark.timeout(300)]

LEASE_S = 6.0
FILM_S = 60.0


@pytest.fixture(scope="module")
def film(ffmpeg_path: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A minute in ten segments of one rung, 60 MB."""
    path = tmp_path_factory.mktemp("film") / "numbered.mp4"
    return numbered_film(ffmpeg_path, path, seconds=FILM_S, size="640x360", filled_to="8M")


@pytest.fixture
def server(app_factory: AppFactory) -> Iterator[Flask]:
    """Cuts films into parts of one segment; its leases are short."""
    overrides = {"split_seconds": 6, "worker_claim_duration": LEASE_S / 60, "retry_backoff_base": 0}
    server = app_factory("worker_api", worker_admin_secret=WORKER_SECRET, **overrides)
    with server.app_context():
        yield server


@pytest.fixture
def uploaded(server: Flask, film: Path) -> Video:
    return upload(film, "numbers")


def made(video: Video) -> dict[str, str]:
    return dict(checkpoints(video))


def test_a_part_from_the_middle_needs_a_small_part_of_the_film(
    server: Flask, uploaded: Video, film: Path, ffmpeg_path: str, tmp_path: Path
) -> None:
    with far_worker(server, tmp_path, ffmpeg_path) as far:
        began = far.line.down.passed
        far.work(far.claim(job_at(uploaded, 5))).join()
        came = far.line.down.passed - began
    assert list(made(uploaded)) == ["360p_0005.ts"]
    assert came < 0.25 * film.stat().st_size, f"{came / film.stat().st_size:.0%} of the film"
    assert outcomes(uploaded) == [("finished", None)]


def test_neighbours_share_what_was_fetched(
    server: Flask, uploaded: Video, film: Path, ffmpeg_path: str, tmp_path: Path
) -> None:
    with far_worker(server, tmp_path, ffmpeg_path) as far:
        claims = [far.claim(job_at(uploaded, index)) for index in (4, 5, 6)]
        for thread in [far.work(claim) for claim in claims]:
            thread.join()
        assert far.line.down.passed < 0.5 * film.stat().st_size
    assert outcomes(uploaded) == [("finished", None)] * 3


def test_a_site_that_is_away_for_a_while_is_waited_for_and_no_watchdog_bites(
    server: Flask, uploaded: Video, ffmpeg_path: str, tmp_path: Path
) -> None:
    """Away for longer than ffmpeg may stand still, and shorter than a lease."""
    with far_worker(server, tmp_path, ffmpeg_path, down_bytes_per_s=2e6, stall_s=1.0) as far:
        worker = far.work(far.claim(job_at(uploaded, 5)))
        wait_until(lambda: far.line.down.passed > 2e6)
        far.line.cut()
        time.sleep(LEASE_S / 2)
        assert worker.is_alive()
        far.line.heal()
        worker.join()
        came = far.line.down.passed
    assert far.line.broken > 0
    assert outcomes(uploaded) == [("finished", None)]
    assert came < 0.3 * (settings().storage_path / uploaded.source_path).stat().st_size


def test_a_source_that_changes_ends_the_job_with_its_reason(
    server: Flask, uploaded: Video, ffmpeg_path: str, tmp_path: Path
) -> None:
    source = settings().storage_path / uploaded.source_path
    with far_worker(server, tmp_path, ffmpeg_path, down_bytes_per_s=2e6) as far:
        worker = far.work(far.claim(job_at(uploaded, 5)))
        wait_until(lambda: far.line.down.passed > 2e6)
        with source.open("r+b") as file:
            file.seek(source.stat().st_size // 2)
            file.write(os.urandom(100))
        worker.join()
        assert list(far.tools.work_root.iterdir()) == []
    assert outcomes(uploaded) == [("failed", "source_changed")]
    assert made(uploaded) == {}


def test_a_very_slow_line_is_slow_and_nothing_else(server: Flask, ffmpeg_path: str, tmp_path: Path) -> None:
    """30 kB/s each way. Everything takes longer than a lease, and than a line may be silent."""
    film = numbered_film(ffmpeg_path, tmp_path / "small.mp4", seconds=10, size="320x180", filled_to="200k")
    video = upload(film, "small")
    with far_worker(
        server, tmp_path, ffmpeg_path, up_bytes_per_s=30e3, down_bytes_per_s=30e3, stall_s=3.0
    ) as far:
        far.coordinator._api._silence_s = 2.0
        began = time.monotonic()
        worker = far.work(far.claim(job_at(video, 1)))
        while worker.is_alive():
            assert queue.sweep_expired_leases() == 0
            worker.join(0.2)
        took_s = time.monotonic() - began
    assert took_s > LEASE_S
    assert outcomes(video) == [("finished", None)]
    assert far.line.broken == 0


def test_a_line_slower_than_the_encoder_stops_the_encoder_and_does_not_fill_the_disk(
    app_factory: AppFactory, ffmpeg_path: str, tmp_path: Path
) -> None:
    overrides = {"split_seconds": 0, "hls_segment_duration": 2, "worker_claim_duration": LEASE_S / 60}
    server = app_factory("worker_api", worker_admin_secret=WORKER_SECRET, **overrides)
    largest, was_stopped = 0, False
    with server.app_context():
        video = upload(noisy_film(ffmpeg_path, tmp_path / "noisy.mp4"), "noisy")
        with far_worker(
            server, tmp_path, ffmpeg_path, up_bytes_per_s=200e3, stall_s=2.0, outbox_bytes=200_000
        ) as far:
            worker = far.work(far.claim(job_at(video, 8)))
            while worker.is_alive():
                largest = max(largest, far.scratch_bytes)
                was_stopped = was_stopped or any(state == "T" for state in our_ffmpegs())
                worker.join(0.02)
        assert outcomes(video) == [("finished", None)]
        sent = sum(path.stat().st_size for path in (settings().videos_dir / video.slug).glob("*_0*.ts"))
    assert was_stopped, "the encoder was never stopped"
    assert largest < 0.6 * sent, (largest, sent)


def noisy_film(ffmpeg: str, path: Path) -> Path:
    """Half a minute whose every rung needs all of its rate."""
    picture = "testsrc2=s=640x360:r=30:d=30,noise=alls=60:allf=t"
    how = ["-c:v", "libx264", "-preset", "ultrafast", "-crf", "30"]
    subprocess.run(
        [ffmpeg, "-nostdin", "-v", "error", "-f", "lavfi", "-i", picture, *how, str(path)],
        check=True,
        timeout=120,
    )
    return path


def our_ffmpegs() -> list[str]:
    """The states of our ffmpegs, as the system names them; T is stopped."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            name, _, rest = stat.read_text().rpartition(") ")
        except OSError:
            continue
        if "ffmpeg" in name and int(rest.split()[1]) == os.getpid():
            found.append(rest[0])
    return found
