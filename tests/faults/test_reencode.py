"""A film is encoded again under the eyes of a viewer, while workers and the site are killed: never a mix."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.client import HTTPException
from io import BytesIO
from pathlib import Path

import av
import pytest
from flask import Flask

from encoder.model import EncodePlan
from encoder.names import segment_name
from tests.conftest import dispose
from tests.faults.conftest import StartWorker, upload, workers_of
from tests.faults.test_killed_worker import files_of, orphans, stop, wait_for, wait_until
from tests.films import numbered_film, shown
from tests.hostile.server import Server
from vlog_app import create_app
from vlog_app.config import Settings, settings
from vlog_app.extensions import db
from vlog_app.models import Encode, Job, Video
from vlog_app.services import control
from vlog_app.services.reencode import encode_again
from vlog_app.storage import MARKER

pytestmark = [pytest.mark.media, pytest.mark.timeout(420)]

KILLS = 3
SEGMENT_S = 2
RUNGS = ("720p", "480p", "360p", "audio")


@pytest.fixture(scope="module")
def film(ffmpeg_path: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Short: the files of a former encode stay until whoever watches it can have seen its end."""
    path = tmp_path_factory.mktemp("film") / "numbered.mp4"
    return numbered_film(ffmpeg_path, path, seconds=14, size="1280x720")


@pytest.fixture
def config(config: Settings) -> Settings:
    """What is encoded again takes its time, so that it can be killed in the middle."""
    return config.model_copy(update={"x264_preset": "slow", "hls_segment_duration": SEGMENT_S})


@pytest.fixture
def public(config: Settings, tmp_path: Path) -> Iterator[Server]:
    server = Server(
        config.storage_path, tmp_path / "web.log", "wsgi:public", VLOG_DATABASE_URL=config.database_url
    )
    server.start()
    yield server
    server.kill()


@pytest.fixture
def start_scheduler(config: Settings, tmp_path: Path) -> Iterator[Callable[[], None]]:
    """Housekeeping that is in a hurry: files of a former encode go as soon as a viewer has seen its end."""
    env = os.environ | {
        "VLOG_STORAGE_PATH": str(config.storage_path),
        "VLOG_DATABASE_URL": config.database_url,
        "VLOG_OLD_FILES_KEPT": "1",
        "VLOG_STALE_JOB_CHECK_INTERVAL": "1",
    }
    started: list[subprocess.Popen[bytes]] = []
    log = (tmp_path / "scheduler.log").open("ab")

    def start() -> None:
        argv = [sys.executable, "-m", "flask", "--app", "wsgi:app", "vlog", "scheduler", "run"]
        started.append(subprocess.Popen(argv, env=env, stdout=log, stderr=log, start_new_session=True))

    yield start
    for process in started:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    log.close()


@pytest.fixture(scope="module")
def finished(film: Path, sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A storage in which the film is ready, encoded once for all tests; each works on a copy."""
    folder = tmp_path_factory.mktemp("finished") / "storage"
    folder.mkdir()
    shutil.copyfile(sqlite_template, folder / "vlog.db")
    quick = {"x264_preset": "ultrafast", "hls_segment_duration": SEGMENT_S}
    config = Settings(storage_path=folder, database_url=f"sqlite:///{folder / 'vlog.db'}", **quick)
    app = create_app(config)
    with app.app_context(), workers_of(config, folder.with_name("worker.log")) as start_worker:
        video = upload(film, "numbers")
        (folder / MARKER).write_text("here")
        worker = start_worker()
        wait_for(video, "ready")
        wait_until(is_idle)  # the preview pictures come last
        stop(worker)
    dispose(app)
    return folder


@pytest.fixture
def ready(app: Flask, finished: Path, storage: Path) -> Video:
    shutil.copytree(finished, storage, dirs_exist_ok=True)
    return db.session.scalars(db.select(Video)).one()


def is_idle() -> bool:
    db.session.rollback()
    return db.session.scalar(db.select(Job.id).where(Job.state.in_(("queued", "leased"))).limit(1)) is None


@dataclass
class Viewer:
    """Asks for everything all the time, and writes down what must never be."""

    url: str
    wrong: list[str] = field(default_factory=list)
    generations: set[str] = field(default_factory=set)
    rounds: int = 0
    is_leaving: threading.Event = field(default_factory=threading.Event)
    _decoded: set[str] = field(default_factory=set)

    def watch(self) -> None:
        while not self.is_leaving.is_set():
            try:
                self._round()
            except (urllib.error.URLError, HTTPException, ConnectionError, TimeoutError) as error:
                if isinstance(error, urllib.error.HTTPError):
                    self.wrong.append(f"{error.code} {error.url}")
                time.sleep(0.05)  # the site was killed: it comes back

    def _round(self) -> None:
        master = self._get("master.m3u8").decode()
        playlists = [*re.findall(r"^[^#\n].*$", master, re.MULTILINE), *re.findall(r'URI="([^"]+)"', master)]
        said = {uri.partition("?g=")[2] for uri in playlists}
        if len(said) != 1:
            self.wrong.append(f"a master of {said}")
        self.generations |= said
        for uri in playlists:
            self._look_into(uri, said)
        self.rounds += 1

    def _look_into(self, uri: str, said: set[str]) -> None:
        text = self._get(uri).decode()
        segments = re.findall(r"^[^#\n].*$", text, re.MULTILINE)
        if "#EXT-X-ENDLIST" not in text or {each.partition("?g=")[2] for each in segments} != said:
            self.wrong.append(f"{uri} is not whole, or of another generation")
        for segment in segments[self.rounds % 3 :: 3]:
            self._decode(segment, self._get(segment))

    def _decode(self, uri: str, data: bytes) -> None:
        digest = hashlib.sha256(data).hexdigest()
        if digest in self._decoded:
            return
        self._decoded.add(digest)
        with av.open(BytesIO(data)) as container:
            if not sum(1 for _frame in container.decode(container.streams[0])):
                self.wrong.append(f"nothing in {uri}")

    def _get(self, name: str) -> bytes:
        with urllib.request.urlopen(f"{self.url}/{name}", timeout=20) as answer:
            data: bytes = answer.read()
            return data


@pytest.fixture
def viewer(public: Server, ready: Video) -> Iterator[Viewer]:
    viewer = Viewer(f"{public.url}/videos/{ready.slug}")
    thread = threading.Thread(target=viewer.watch)
    thread.start()
    yield viewer
    viewer.is_leaving.set()
    thread.join()


def test_a_viewer_gets_one_or_the_other_whatever_is_killed(
    ready: Video,
    viewer: Viewer,
    public: Server,
    start_worker: StartWorker,
    start_scheduler: Callable[[], None],
    tmp_path: Path,
) -> None:
    start_scheduler()
    top = settings().videos_dir / ready.slug
    former = inodes(top)
    encode_again(ready.id, ["480p", "360p"])
    for _ in range(KILLS):
        worker = start_worker()
        wait_until(lambda pid=worker.pid: orphans(of=pid))
        time.sleep(0.4)
        os.killpg(worker.pid, signal.SIGKILL)
        worker.wait()
        public.kill()
        public.start()
        assert generation_of(ready) == 1
    worker = start_worker()
    wait_until(lambda: generation_of(ready) == 2)
    public.kill()
    public.start()
    seen = viewer.rounds
    wait_until(lambda: viewer.rounds >= seen + 3)
    stop(worker)
    assert viewer.generations == {"1", "2"}
    plan = encode_plan(ready)
    assert inodes(top / "g2")["720p_0000.ts"] == former["720p_0000.ts"], "taken over, not made again"
    film = shown(files_of(top / "g2", plan, "480p"), tmp_path / "480p")
    assert film.numbers == list(range(plan.total_frames))
    wait_until(lambda: not list(top.glob("*.ts")))
    seen = viewer.rounds
    wait_until(lambda: viewer.rounds >= seen + 3)
    assert viewer.wrong == []
    names = {segment_name("ts", rung, index) for rung in RUNGS for index in range(plan.segment_count)}
    assert {name for name in inodes(top / "g2") if name.endswith(".ts")} == names


def test_cancelling_in_the_middle_leaves_every_file_as_it_was(
    ready: Video, viewer: Viewer, start_worker: StartWorker, start_scheduler: Callable[[], None]
) -> None:
    top = settings().videos_dir / ready.slug
    before = inodes(top)
    encode_again(ready.id)
    worker = start_worker()
    wait_until(lambda: bool(list((top / "g2").glob("*.ts"))))
    found = control.current_encode(ready.id)
    assert found is not None
    control.cancel_encode(found)
    start_scheduler()
    wait_until(lambda: not (top / "g2").exists())
    stop(worker)
    assert inodes(top) == before
    assert (generation_of(ready), viewer.wrong, viewer.generations) == (1, [], {"1"})


def inodes(folder: Path) -> dict[str, int]:
    """Name -> the file behind it, of all that lies in a folder and below."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {str(path.relative_to(folder)): path.stat().st_ino for path in files}


def generation_of(video: Video) -> int:
    db.session.rollback()
    return int(db.session.scalar(db.select(Video.generation).where(Video.id == video.id)) or 0)


def encode_plan(video: Video) -> EncodePlan:
    query = db.select(Encode.plan).where(Encode.video_id == video.id, Encode.generation == 2)
    return EncodePlan.from_json(db.session.scalars(query).one())
