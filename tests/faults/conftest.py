"""Real worker processes on a real storage, to be killed."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from flask import Flask

from encoder.model import EncodePlan
from encoder.probe import probe
from tests.conftest import migrate
from tests.films import numbered_film
from tests.provision.postgres import SMALL, Cluster, find_programs, running_cluster
from vlog_app.config import Settings, settings
from vlog_app.extensions import db, transaction
from vlog_app.models import Encode, Video
from vlog_app.services import planning
from vlog_app.services.clock import database_now

StartWorker = Callable[..., "subprocess.Popen[bytes]"]


@pytest.fixture(scope="session")
def short_film(ffmpeg_path: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Half a minute of numbered frames: five segments on three rungs, one of them the source itself."""
    path = tmp_path_factory.mktemp("film") / "short.mp4"
    return numbered_film(ffmpeg_path, path, seconds=30, size="1280x720")


@pytest.fixture(scope="session")
def film(short_film: Path) -> Path:
    return short_film


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """A PostgreSQL to be killed: what it has committed survives that."""
    programs = find_programs()
    if programs is None:
        pytest.exit("The tests need PostgreSQL; run ./test, which installs it.", returncode=3)
    with running_cluster(programs, SMALL) as cluster:
        cluster.postgres.make_template(migrate)
        yield cluster


@pytest.fixture
def config(config: Settings) -> Settings:
    """Ten kills may hit one segment again and again: here that is no reason to give up."""
    return config.model_copy(update={"max_retry_attempts": 100, "retry_backoff_base": 1})


@pytest.fixture
def start_worker(config: Settings, tmp_path: Path) -> Iterator[StartWorker]:
    with workers_of(config, tmp_path / "worker.log") as start:
        yield start


@contextmanager
def workers_of(config: Settings, log: Path) -> Iterator[StartWorker]:
    """Starts worker processes, with more settings where some are named; whatever still runs at the end is killed."""
    started: list[subprocess.Popen[bytes]] = []
    env = os.environ | {
        "VLOG_STORAGE_PATH": str(config.storage_path),
        "VLOG_DATABASE_URL": config.database_url,
        "VLOG_MAX_RETRY_ATTEMPTS": "100",
        "VLOG_RETRY_BACKOFF_BASE": "1",
    }

    def start(**settings: str) -> subprocess.Popen[bytes]:
        more = {f"VLOG_{name.upper()}": value for name, value in settings.items()}
        argv = [sys.executable, "-m", "flask", "--app", "wsgi:app", "vlog", "worker", "run"]
        with log.open("ab") as said:
            process = subprocess.Popen(argv, env=env | more, stdout=said, stderr=said, start_new_session=True)
        started.append(process)
        return process

    try:
        yield start
    finally:
        for process in started:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


@pytest.fixture
def uploaded(app: Flask, film: Path) -> Video:
    return upload(film, "numbers")


def upload(film: Path, slug: str) -> Video:
    """The film as it stands right after its upload. Call in an app's context."""
    facts = probe(film)
    with transaction() as session:
        now = database_now(session)
        video = Video(
            title="Numbers",
            slug=slug,
            source_path=f"uploads/{slug}.mp4",
            source_size_bytes=facts.size_bytes,
            source=facts.to_json(),
            duration_s=facts.duration_s,
            width=facts.width,
            height=facts.height,
            created_at=now,
            published_at=now,
        )
        session.add(video)
        session.flush()
        planning.plan_encode(session, video, facts)
    target = settings().storage_path / video.source_path
    target.parent.mkdir(exist_ok=True)
    shutil.copyfile(film, target)
    return video


def plan_of(video: Video) -> EncodePlan:
    return EncodePlan.from_json(
        db.session.scalars(db.select(Encode.plan).where(Encode.video_id == video.id)).one()
    )


def state_of(video: Video) -> str:
    db.session.rollback()
    return str(db.session.scalar(db.select(Video.state).where(Video.id == video.id)))
