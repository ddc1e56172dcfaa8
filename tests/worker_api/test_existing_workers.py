"""Workers of an existing installation go on working unmodified: a whole film over a real socket, on both databases."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Flask

from encoder.probe import probe
from tests.conftest import AppFactory
from tests.contract.worker_api import WORKER_SECRET, register, running_worker_api
from tests.factories import make_video
from tests.films import decoder_words, numbered_film
from tests.worker_api.existing import ExistingWorker
from vlog_app.config import settings
from vlog_app.models import Video

pytestmark = pytest.mark.media
SECONDS = 14.0


@pytest.fixture(scope="module")
def clip(ffmpeg_path: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("clip") / "clip.mp4"
    return numbered_film(ffmpeg_path, path, seconds=SECONDS, size="854x480")


@pytest.fixture
def server(app_factory: AppFactory) -> Flask:
    return app_factory("worker_api", worker_admin_secret=WORKER_SECRET)


@pytest.fixture
def url(server: Flask) -> Iterator[str]:
    with running_worker_api(server) as url:
        yield url


@pytest.fixture
def site(app_factory: AppFactory) -> Any:
    """What a viewer reaches."""
    return app_factory("public").test_client()


@pytest.fixture
def film(server: Flask, clip: Path) -> Video:
    with server.app_context():
        video = make_video("Kiln", source=probe(clip))
        source = settings().storage_path / video.source_path
        source.parent.mkdir(exist_ok=True)
        source.write_bytes(clip.read_bytes())
        return video


@pytest.fixture
def worker(url: str, ffmpeg_path: str, tmp_path: Path, request: pytest.FixtureRequest) -> ExistingWorker:
    kind = getattr(request, "param", "hls_ts")
    folder = tmp_path / "old-worker"
    folder.mkdir()
    return ExistingWorker(url, register(url, "old hand")["api_key"], ffmpeg_path, folder, kind)


def addresses(site: Any, slug: str) -> dict[str, bytes]:
    """Every address that the film's playlists name, and what it answers."""
    found: dict[str, bytes] = {}
    todo = [f"/videos/{slug}/master.m3u8"]
    while todo:
        address = todo.pop()
        with site.get(address) as answer:
            assert answer.status_code == 200, address
            found[address] = answer.data
        if ".m3u8" in address:
            text = found[address].decode()
            named = [line for line in text.splitlines() if line and not line.startswith("#")]
            named += re.findall(r'URI="([^"]+)"', text)
            todo += [f"{address.rpartition('/')[0]}/{name}" for name in named]
    return found


@pytest.mark.parametrize("worker", ["hls_ts", "cmaf"], indirect=True)
def test_a_whole_film(
    database: str,
    server: Flask,
    site: Any,
    film: Video,
    worker: ExistingWorker,
    tmp_path: Path,
    ffmpeg_path: str,
) -> None:
    verdict = worker.work_once()
    assert verdict is not None
    assert verdict["video_status"] == "ready"
    assert verdict["job_completed"] is True
    assert (verdict["all_files_present"], verdict["missing_files"]) == (True, [])
    assert verdict["qualities_present"] == ["480p", "360p"]
    there = addresses(site, film.slug)
    master = there[f"/videos/{film.slug}/master.m3u8"].decode()
    assert re.findall(r"RESOLUTION=(\S+?),", master) == ["854x480", "640x360"]
    assert re.findall(r'CODECS="([^"]+)"', master) == ["avc1.64001E,mp4a.40.2"] * 2 or "mp4a.40.2" in master
    assert "elsewhere.example" not in master
    segments = [data for name, data in there.items() if re.search(r"480p.*(_0|seg_)", name)]
    assert len(segments) > 2
    joined = tmp_path / "joined.mp4"
    header = [data for name, data in there.items() if "480p/init" in name]
    joined.write_bytes(
        b"".join([*header, *(there[name] for name in sorted(there) if re.search(r"480p(_|/seg_)", name))])
    )
    assert decoder_words(ffmpeg_path, joined) == ""
    assert worker.work_once() is None
