"""Parts of rungs that were taken over from a former encode, made again by ffmpeg: they join what stayed, exactly."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from flask import Flask

from encoder.model import Container, EncodePlan
from encoder.names import segment_name
from tests.conformance import check
from tests.conftest import AppFactory
from tests.faults.conftest import state_of, upload
from tests.faults.test_killed_worker import check_rung, check_sound
from tests.films import numbered_film
from tests.services.test_publish import work
from vlog_app.config import settings
from vlog_app.extensions import db
from vlog_app.models import Encode, Video
from vlog_app.services.reencode import encode_again
from vlog_app.services.repair import make_again

pytestmark = pytest.mark.media
SEGMENT_S = 2
BROKEN = {"720p": (2,), "480p": (1, 2, 5), "audio": (3,)}


@pytest.fixture(scope="module")
def film(ffmpeg_path: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """720p can be copied, 480p and 360p are encoded: seven segments."""
    path = tmp_path_factory.mktemp("film") / "numbered.mp4"
    return numbered_film(ffmpeg_path, path, seconds=11, size="1280x720")


@pytest.fixture(params=["ts", "cmaf"])
def container(request: pytest.FixtureRequest) -> Container:
    kind: Container = request.param
    return kind


@pytest.fixture
def app(container: Container, app_factory: AppFactory) -> Iterator[Flask]:
    how = {"hls_segment_duration": SEGMENT_S, "x264_preset": "ultrafast", "split_seconds": 2 * SEGMENT_S}
    app = app_factory("cli", streaming_format="cmaf" if container == "cmaf" else "hls_ts", **how)
    with app.app_context():
        yield app


def plan_of(video: Video) -> EncodePlan:
    query = db.select(Encode.plan).where(Encode.video_id == video.id, Encode.generation == 2)
    return EncodePlan.from_json(db.session.scalars(query).one())


def hashes(folder: Path) -> dict[str, str]:
    files = [path for path in folder.rglob("*") if path.suffix in (".ts", ".m4s", ".mp4")]
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_they_join_what_stayed(
    app: Flask, container: Container, film: Path, ffmpeg_path: str, tmp_path: Path
) -> None:
    video = upload(film, "numbers")
    work(app, ffmpeg_path, tmp_path / "work")
    assert encode_again(video.id, ["360p"]) == ["360p"]
    work(app, ffmpeg_path, tmp_path / "work")
    plan, folder = plan_of(video), settings().videos_dir / video.slug / "g2"
    assert [row.name for row in plan.copied] == ["720p"]
    before = hashes(folder)
    broken = {segment_name(container, name, index) for name, those in BROKEN.items() for index in those}
    for name in broken:
        (folder / name).unlink()
    (encode_id,) = db.session.scalars(db.select(Encode.id).where(Encode.generation == 2))
    assert make_again(encode_id, None) == ["720p", "480p", "audio"]
    work(app, ffmpeg_path, tmp_path / "work")
    assert state_of(video) == "ready"
    after = hashes(folder)
    assert {name: after[name] for name in before if name not in broken} == {
        name: before[name] for name in before if name not in broken
    }
    assert after.keys() == before.keys()
    for row in plan.video:
        check_rung(folder, plan, row.name, ffmpeg_path, tmp_path)
    check_sound(folder, plan, ffmpeg_path, tmp_path)
    assert [str(found) for found in check(folder, copied={"720p"})] == []
