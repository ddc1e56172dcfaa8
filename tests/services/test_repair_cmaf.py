"""A film in CMAF is made again like any other, its headers included."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from flask import Flask

from jobs.contract import NOTHING_TO_REPORT, Claim
from jobs.layout import Priority
from tests.conftest import AppFactory
from tests.contract.conftest import ANY, ATLAS, segment_file
from tests.services.shop import encode_of, film, rendition_of, state_of
from vlog_app.config import settings
from vlog_app.models import Video
from vlog_app.services import checkpoints, publish, queue
from vlog_app.services.repair import make_again

pytestmark = pytest.mark.usefixtures("database")


@pytest.fixture
def app(app_factory: AppFactory) -> Iterator[Flask]:
    app = app_factory("cli", streaming_format="cmaf")
    with app.app_context():
        yield app


def hand_in_with_header(claim: Claim, folder: Path) -> None:
    header = folder / "header"
    header.write_bytes(b"header")
    for cell in sorted(claim.missing()):
        facts, file = segment_file(folder, claim, *cell)
        assert checkpoints.take_segment(claim, replace(facts, init_sha256="c" * 64), file, header)
    queue.finish_job(claim, NOTHING_TO_REPORT)


def make_all(folder: Path) -> None:
    while claim := queue.claim_next_job(ATLAS, ANY):
        hand_in_with_header(claim, folder)
    publish.publish_finished()


@pytest.fixture
def ready(app: Flask, tmp_path: Path) -> Video:
    video = film(60)
    source = settings().storage_path / video.source_path
    source.parent.mkdir(exist_ok=True)
    source.write_bytes(b"film")
    make_all(tmp_path)
    assert state_of(video) == "ready"
    return video


@pytest.mark.parametrize("gone", ["360p/seg_0003.m4s", "360p/init.mp4"])
def test_what_is_missing_is_made_again(ready: Video, tmp_path: Path, gone: str) -> None:
    path = settings().videos_dir / ready.slug / gone
    path.unlink()
    assert make_again(encode_of(ready).id, None, Priority.NORMAL) == ["360p"]
    make_all(tmp_path)
    assert (state_of(ready), path.is_file()) == ("ready", True)
    row = rendition_of(ready, "360p")
    assert row.index is not None and row.index["inits"] == [0] * row.planned_segments
