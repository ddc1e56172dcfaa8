"""A finished encode becomes the one viewers get: verified, folded, its playlists on disk."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from pathlib import Path

import av
import m3u8
import pytest
from flask import Flask

from encoder.names import segment_name
from encoder.probe import probe
from jobs.contract import Slot
from jobs.runner import KINDS, Tools, run_claim
from jobs.states import JobState
from tests.conftest import AppFactory
from tests.contract.conftest import ANY, ATLAS, ENCODES
from tests.factories import events_of, make_video
from tests.films import numbered_film, shown
from tests.services.shop import (
    cells_in,
    do_all,
    encode_of,
    film,
    hand_in,
    hand_in_and_finish,
    jobs_of,
    plan_of,
    rendition_of,
    state_of,
    take,
)
from vlog_app.config import settings
from vlog_app.extensions import db
from vlog_app.local_coordinator import LocalCoordinator
from vlog_app.models import Segment, Video
from vlog_app.services import control, publish, queue
from vlog_app.services.events import EventKind

pytestmark = pytest.mark.usefixtures("database", "app")


def folder_of(video: Video) -> Path:
    return settings().videos_dir / video.slug


def published(folder: Path) -> Video:
    video = film()
    do_all(folder)
    assert publish.publish_finished() == 1
    return video


def everything_about(video: Video) -> dict[str, object]:
    files = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder_of(video).iterdir()}
    rows = {name: rendition_of(video, name).index for name in ("360p", "audio")}
    return {"files": files, "rows": rows, "events": len(events_of(video)), "state": state_of(video)}


def test_a_published_film_is_ready_and_its_encode_done(tmp_path: Path) -> None:
    video = published(tmp_path)
    encode = encode_of(video)
    assert (state_of(video), encode.state) == ("ready", "done")
    assert encode.finished_at is not None
    assert events_of(video)[-1].kind == EventKind.READY


def test_segment_rows_become_one_index(tmp_path: Path) -> None:
    video = published(tmp_path)
    assert db.session.scalars(db.select(Segment)).all() == []
    row = rendition_of(video, "360p")
    assert row.index is not None
    assert row.index["durations"] == [2.0] * 30
    assert row.index["sizes"] == [len(f"360p-{n}") for n in range(30)]
    assert row.index["sha256"] == [f"{n:064x}" for n in range(30)]
    assert (row.done_segments, row.peak_bps) == (30, round(7 * 8 / 2))


def test_playlists_on_disk_name_files_that_are_there(tmp_path: Path) -> None:
    folder = folder_of(published(tmp_path))
    master = m3u8.load(str(folder / "master.m3u8"))
    assert [row.uri for row in master.playlists] == ["360p.m3u8"]
    assert [track.uri for track in master.media] == ["audio.m3u8"]
    for name in ("360p.m3u8", "audio.m3u8"):
        playlist = m3u8.load(str(folder / name))
        assert playlist.is_endlist
        assert [(folder / segment.uri).is_file() for segment in playlist.segments] == [True] * 30


def test_publishing_again_changes_nothing(tmp_path: Path) -> None:
    video = published(tmp_path)
    before = everything_about(video)
    assert publish.publish_encode(encode_of(video).id) is False
    assert publish.publish_finished() == 0
    assert everything_about(video) == before


def test_a_film_with_work_left_is_not_published(tmp_path: Path) -> None:
    video = film()
    do_all(tmp_path, ENCODES)
    assert publish.publish_finished() == 0
    assert state_of(video) == "processing"


def test_a_film_without_a_poster_is_published(tmp_path: Path) -> None:
    video = film()
    do_all(tmp_path, ENCODES)
    while claim := queue.claim_next_job(ATLAS, ANY):
        if claim.kind == "audio":
            hand_in_and_finish(claim, tmp_path)
    assert publish.publish_finished() == 1
    assert state_of(video) == "ready"


def test_a_segment_that_vanished_is_made_again_and_not_published(tmp_path: Path) -> None:
    video = film()
    do_all(tmp_path)
    (folder_of(video) / "360p_0007.ts").unlink()
    (folder_of(video) / "audio_0002.ts").write_bytes(b"shorter or longer than its row says")
    assert publish.publish_finished() == 0
    assert state_of(video) == "viewable"
    assert not (folder_of(video) / "master.m3u8").exists()
    assert {("360p", 7), ("audio", 2)}.isdisjoint(cells_in(video))
    assert len(cells_in(video)) == 58
    assert rendition_of(video, "360p").done_segments == 29
    again = [queue.claim_next_job(ATLAS, ANY) for _ in range(2)]
    assert {cell for claim in again if claim for cell in claim.missing()} == {("360p", 7), ("audio", 2)}
    for claim in again:
        assert claim is not None
        hand_in_and_finish(claim, tmp_path)
    assert publish.publish_finished() == 1
    assert state_of(video) == "ready"


def test_a_cancelled_encode_is_not_published(tmp_path: Path) -> None:
    video = film()
    hand_in(take(ENCODES), tmp_path)
    control.cancel_encode(encode_of(video).id)
    assert publish.publish_finished() == 0
    assert state_of(video) == "failed"


@pytest.fixture
def app(app_factory: AppFactory) -> Iterator[Flask]:
    """With short segments, so that a short film has several."""
    app = app_factory("cli", hls_segment_duration=2)
    with app.app_context():
        yield app


@pytest.fixture(params=["hls_ts", "cmaf"])
def format_app(request: pytest.FixtureRequest, app_factory: AppFactory) -> Iterator[Flask]:
    app = app_factory("cli", hls_segment_duration=2, streaming_format=request.param)
    with app.app_context():
        yield app


@pytest.mark.media
def test_a_real_film_plays_from_its_folder(format_app: Flask, ffmpeg_path: str, tmp_path: Path) -> None:
    source = numbered_film(ffmpeg_path, tmp_path / "film.mp4", seconds=5, size="854x480", fps="25")
    video = make_video(source=probe(source))
    target = settings().storage_path / video.source_path
    target.parent.mkdir(exist_ok=True)
    target.write_bytes(source.read_bytes())
    work(format_app, ffmpeg_path, tmp_path / "work")
    assert state_of(video) == "ready"
    assert {job.state for job in jobs_of(video)} == {JobState.DONE}
    folder, plan = folder_of(video), plan_of(video)
    pictures, sound_s = played(folder / "master.m3u8")
    assert pictures == 125
    assert sound_s == pytest.approx(5, abs=0.1)
    for name in ("480p", "360p"):
        files = [folder / segment_name(plan.container, name, index) for index in range(plan.segment_count)]
        assert shown(files, tmp_path / "joined").numbers == list(range(125))
    assert (folder / "thumbnail.jpg").is_file() and (folder / "storyboard.vtt").is_file()
    assert (folder / "manifest.mpd").is_file() is (plan.container == "cmaf")
    assert list((tmp_path / "work").iterdir()) == [], "scratch was left behind"


def work(app: Flask, ffmpeg: str, folder: Path) -> None:
    """A worker's loop until the queue is empty."""
    coordinator = LocalCoordinator(app)
    while claim := coordinator.claim(ATLAS, Slot("every", tuple(KINDS))):
        run_claim(claim, coordinator, Tools(ffmpeg=ffmpeg, work_root=folder), threading.Event())


def played(master: Path) -> tuple[int, float]:
    """Pictures and seconds of sound that a player gets out of a folder."""
    with av.open(str(master), options={"allowed_extensions": "ALL"}) as container:
        pictures, samples, rate = 0, 0, 1
        for frame in container.decode(video=0, audio=0):
            if isinstance(frame, av.VideoFrame):
                pictures += 1
            elif isinstance(frame, av.AudioFrame):
                samples, rate = samples + frame.samples, frame.sample_rate
        return pictures, samples / rate
