"""Finished segments wait because nobody takes them, and then their worker is killed: the next one hands them in."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from jobs.journal import JOURNAL, finished_in
from tests.conftest import AppFactory, dispose
from tests.faults.conftest import StartWorker, plan_of, upload
from tests.faults.proxy import line_to
from tests.faults.remade import Remade
from tests.faults.remote import elsewhere
from tests.faults.test_killed_worker import check_rung, checkpoints, stop, wait_for, wait_until
from tests.faults.test_storm import BEGUN, ended_early, sizes_of
from tests.films import numbered_film
from tests.provision.postgres import Cluster
from vlog_app.config import Settings, settings
from vlog_app.extensions import db
from vlog_app.models import Job, Video

pytestmark = [pytest.mark.media, pytest.mark.timeout(420)]

logger = logging.getLogger(__name__)

RUNG = "360p"
WAITING = 3


@pytest.fixture(scope="module")
def film(ffmpeg_path: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight segments, six of them in one job; one rung is encoded, the other is the source itself."""
    path = tmp_path_factory.mktemp("film") / "numbered.mp4"
    return numbered_film(ffmpeg_path, path, seconds=48, size="854x480")


@pytest.fixture
def uploaded_elsewhere(cluster: Cluster, app_factory: AppFactory, film: Path) -> Iterator[Video]:
    """On a database that may be halted."""
    with cluster.postgres.database() as url:
        app = app_factory("cli", database_url=url)
        with app.app_context():
            yield upload(film, "numbers")
        dispose(app)


def test_a_remote_worker_killed_while_its_line_was_cut(
    uploaded: Video, config: Settings, ffmpeg_path: str, tmp_path: Path
) -> None:
    scratch = tmp_path / "atlas"
    remade = Remade([scratch])
    with elsewhere(config, tmp_path) as place:
        place.serve()
        with line_to(place.port) as line:
            worker = place.work("atlas", line.url)
            wait_until_begun(uploaded)
            line.cut()
            kill(worker, scratch)
            line.heal()
            finish(uploaded, place.work("atlas", line.url))
    remade.end()
    check(uploaded, remade, ffmpeg_path, tmp_path)


def test_a_local_worker_killed_while_the_database_hung_and_one_of_its_segments_is_not_whole(
    uploaded_elsewhere: Video, cluster: Cluster, start_worker: StartWorker, ffmpeg_path: str, tmp_path: Path
) -> None:
    video, scratch = uploaded_elsewhere, settings().work_dir
    more = {"database_url": settings().database_url, "database_timeout": "2"}
    remade = Remade([scratch])
    worker = start_worker(**more)
    wait_until_begun(video)
    cluster.halt()
    try:
        kill(worker, scratch)
    finally:
        cluster.go_on()
    last = waiting(scratch)[-1]
    os.truncate(last, last.stat().st_size - 188)
    finish(video, start_worker(**more))
    remade.end()
    check(video, remade, ffmpeg_path, tmp_path, broken=1)


def wait_until_begun(video: Video) -> None:
    """The job of six segments is under way."""
    wait_until(lambda: sum(name.startswith(RUNG) for name, _ in checkpoints(video)) >= 3)


def waiting(scratch: Path) -> list[Path]:
    """Finished pictures that nobody has taken."""
    folders = sorted(path.parent for path in scratch.rglob(JOURNAL))
    found = [folder / each.file for folder in folders for each in finished_in(folder)]
    return [path for path in found if path.name.startswith(RUNG)]


def kill(worker: subprocess.Popen[bytes], scratch: Path) -> None:
    wait_until(lambda: len(waiting(scratch)) >= WAITING)
    os.kill(worker.pid, signal.SIGKILL)
    worker.wait()
    logger.info("%d segments were waiting", len(waiting(scratch)))


def finish(video: Video, worker: subprocess.Popen[bytes]) -> None:
    wait_for(video, "ready")
    stop(worker)


def check(video: Video, remade: Remade, ffmpeg: str, folder: Path, *, broken: int = 0) -> None:
    """Only what was in flight is made again, and what was not whole on the disk."""
    jobs = list(db.session.scalars(db.select(Job).where(Job.video_id == video.id)))
    makers = {job.id for job in jobs if RUNG in job.renditions}
    again = remade.segments(makers, RUNG, sizes_of(video, RUNG))
    logger.info("%.2f segments made again", again)
    assert ended_early(makers) >= 1
    assert broken * 0.9 <= again <= broken + 1 + BEGUN
    check_rung(settings().videos_dir / video.slug, plan_of(video), RUNG, ffmpeg, folder)
    assert not list(settings().work_dir.rglob("*.ts")), "scratch was left behind"
