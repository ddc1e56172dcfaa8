"""A film that is damaged in the middle and was to be copied: shown as a decoder makes it, and its owner is told."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import pytest
from flask import Flask

from encoder.probe import probe
from jobs.contract import Slot
from jobs.runner import KINDS, Tools, run_claim
from tests.conformance import check
from tests.conftest import AppFactory
from tests.contract.conftest import ATLAS
from tests.factories import events_of, make_video, utc_now
from tests.films import decoder_words, numbered_film
from tests.services.shop import plan_of, state_of
from vlog_app.blueprints.admin.queries import video_page
from vlog_app.config import settings
from vlog_app.local_coordinator import LocalCoordinator
from vlog_app.models import Video
from vlog_app.services.events import EventKind
from vlog_app.services.media_files import video_folder

pytestmark = pytest.mark.media
EVERY = Slot("every", tuple(KINDS))
GOOD_UNTIL, BAD_UNTIL = 55, 80  # frames; the second key frame is 50


@pytest.fixture(params=["hls_ts", "cmaf"])
def app(app_factory: AppFactory, request: pytest.FixtureRequest) -> Iterator[Flask]:
    app = app_factory("cli", hls_segment_duration=2, streaming_format=request.param)
    with app.app_context():
        yield app


@dataclass(frozen=True, slots=True)
class Bench:
    """A worker's loop until the queue is empty."""

    app: Flask
    ffmpeg: str
    folder: Path

    def upload(self, size: str, *, is_damaged: bool = True) -> Video:
        film = numbered_film(self.ffmpeg, self.folder / "film.mp4", seconds=5, size=size, fps="25")
        if is_damaged:
            scratch(film)
        video = make_video(source=probe(film))
        target = settings().storage_path / video.source_path
        target.parent.mkdir(exist_ok=True)
        target.write_bytes(film.read_bytes())
        return video

    def work(self) -> None:
        coordinator = LocalCoordinator(self.app)
        while claim := coordinator.claim(ATLAS, EVERY):
            run_claim(claim, coordinator, Tools(self.ffmpeg, self.folder / "work"), threading.Event())


def scratch(film: Path) -> None:
    """The second half of each of some pictures reads as something else; the container's tables are whole."""
    with av.open(str(film)) as media:
        entries: list[Any] = media.streams.video[0].index_entries
        places = [(entry.pos, entry.size) for entry in entries][GOOD_UNTIL:BAD_UNTIL]
    data = bytearray(film.read_bytes())
    for at, size in places:
        data[at + size // 2 : at + size] = bytes(byte ^ 0x5A for byte in data[at + size // 2 : at + size])
    film.write_bytes(data)


@pytest.fixture
def bench(app: Flask, ffmpeg_path: str, tmp_path: Path) -> Bench:
    return Bench(app, ffmpeg_path, tmp_path)


@pytest.mark.parametrize(("size", "rungs"), [("854x480", ["480p", "360p"]), ("640x360", ["360p"])])
def test_a_damaged_film_is_shown_decoded_and_its_owner_is_told(
    bench: Bench, size: str, rungs: list[str]
) -> None:
    video = bench.upload(size)
    assert [row.name for row in plan_of(video).copied] == rungs[:1]
    bench.work()
    plan = plan_of(video)
    assert state_of(video) == "ready"
    assert (plan.copied, plan.notes) == ((), ("not_copied:damaged",))
    assert [row.name for row in plan.video] == rungs
    told = [event.data["rendition"] for event in events_of(video) if event.kind == EventKind.UNCOPIED]
    assert told == rungs[:1]
    folder = video_folder(settings().videos_dir, video)
    assert [str(finding) for finding in check(folder)] == []
    for name in rungs:
        assert decoder_words(bench.ffmpeg, folder / playlist(plan.container, name)) == ""
    page = video_page(video.id, utc_now())
    assert page is not None
    assert page.is_damaged


def playlist(container: str, name: str) -> str:
    return f"{name}/stream.m3u8" if container == "cmaf" else f"{name}.m3u8"
