"""A remote worker whose disk is full: no job pays for it, the owner is told, and it works again when there is room."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
from flask import Flask

from tests.conftest import AppFactory
from tests.contract.worker_api import WORKER_SECRET, running_worker_api
from tests.faults.conftest import state_of, upload
from tests.faults.far import outcomes
from tests.faults.remote import elsewhere
from tests.faults.test_killed_worker import orphans, stop, wait_until
from tests.films import numbered_film
from vlog_app.config import Settings
from vlog_app.extensions import db
from vlog_app.models import Worker
from vlog_app.services import retries, workers

pytestmark = [pytest.mark.media, pytest.mark.timeout(300)]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """60 MB of a file system of its own."""
    folder = tmp_path / "small"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=60m", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(mount, check=False, capture_output=True).returncode != 0:
        pytest.skip("only root may mount a small disk here")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.fixture
def server(app_factory: AppFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[Flask]:
    monkeypatch.setattr(workers, "FIRST_WAIT_S", 2.0)
    monkeypatch.setattr(retries, "NO_SPACE_WAIT_S", 0.5)
    server = app_factory("worker_api", worker_admin_secret=WORKER_SECRET)
    with server.app_context():
        yield server


def test_a_worker_without_room_pauses_itself_and_comes_back(
    server: Flask, config: Settings, small_disk: Path, ffmpeg_path: str, tmp_path: Path
) -> None:
    film = numbered_film(ffmpeg_path, tmp_path / "film.mp4", seconds=20, size="640x360", filled_to="6M")
    video = upload(film, "numbers")
    ballast = fill(small_disk)
    with running_worker_api(server) as url, elsewhere(config, tmp_path) as place:
        place.port = httpx2.URL(url).port or 0
        worker = place.work(small_disk.name)
        wait_until(lambda: len(failed(outcomes(video))) >= 3)
        row = the_worker()
        assert (row.pause_reason, row.probe_at is not None) == (workers.NO_SPACE, True)
        wait_until(lambda: not scratch(small_disk))
        assert state_of(video) == "processing"
        ballast.unlink()
        wait_until(lambda: state_of(video) == "ready")
        assert the_worker().paused_at is None
        stop(worker)
    assert worker.returncode == 0
    assert set(failed(outcomes(video))) == {("failed", "storage_full")}
    assert not scratch(small_disk)
    assert orphans() == []


def fill(folder: Path) -> Path:
    """Somebody else's file, that takes all there is."""
    ballast = folder / "ballast"
    with ballast.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(1 << 20))
    assert shutil.disk_usage(folder).free == 0
    return ballast


def failed(attempts: list[tuple[str | None, str | None]]) -> list[tuple[str | None, str | None]]:
    return [each for each in attempts if each[0] == "failed"]


def the_worker() -> Worker:
    db.session.rollback()
    return db.session.scalars(db.select(Worker)).one()


def scratch(folder: Path) -> list[Path]:
    return [
        path
        for path in folder.rglob("*")
        if path.is_file() and path.suffix != ".lock" and path.name != "ballast"
    ]
