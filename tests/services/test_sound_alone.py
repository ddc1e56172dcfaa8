"""A film without picture on its way through the queue, and as players and pages see it."""

from __future__ import annotations

import threading
from pathlib import Path

import m3u8
import pytest
from flask import Flask

from encoder.probe import probe
from jobs.contract import JobProgress, Slot
from jobs.layout import AUDIO, POSTER, Rank
from jobs.runner import KINDS, Tools, run_claim
from tests.contract.conftest import ATLAS, SOUND
from tests.factories import make_progress, make_recording, make_video, make_working, utc_now
from tests.hostile.clips import Clips
from tests.services.shop import do_all, encode_of, hand_in, jobs_of, state_of, take
from vlog_app.config import settings
from vlog_app.extensions import db, transaction
from vlog_app.local_coordinator import LocalCoordinator
from vlog_app.models import Video
from vlog_app.services import publish, queue
from vlog_app.services.demand import demand_segment, expected_wait_s
from vlog_app.services.grid import Grid
from vlog_app.services.grid_reading import read_grid
from vlog_app.services.playlists import FULL, load_availability, master_text

pytestmark = pytest.mark.usefixtures("app")


@pytest.fixture
def song() -> Video:
    """Ten segments at three rates."""
    return make_video("Song", source=make_recording())


def master(video: Video, timeline: str | None = None) -> m3u8.M3U8:
    db.session.rollback()
    db.session.expire_all()
    made = load_availability(db.session(), video)
    assert made is not None
    return m3u8.loads(master_text(made, timeline=timeline))


def grid_of(video: Video) -> Grid:
    grid = read_grid(video.id, 1, utc_now())
    assert grid is not None
    return grid


def test_the_lowest_rate_is_made_first_and_every_rate_is_a_job(song: Video) -> None:
    found = [(job.kind, job.rank, job.renditions, job.end_segment) for job in jobs_of(song)]
    assert found == [
        (AUDIO, Rank.SOUND, ["64k"], 10),
        (AUDIO, Rank.RATES, ["192k"], 10),
        (AUDIO, Rank.RATES, ["128k"], 10),
        (POSTER, Rank.POSTER, [], 10),
    ]


def test_it_is_viewable_from_its_first_segment(song: Video, tmp_path: Path) -> None:
    hand_in(take(SOUND), tmp_path, ("64k", 0))
    assert state_of(song) == "viewable"
    assert [row.uri.partition(".")[0] for row in master(song).playlists] == ["64k"]


def test_it_is_ready_when_every_rate_is_in_and_has_no_storyboard(song: Video, tmp_path: Path) -> None:
    do_all(tmp_path)
    assert publish.publish_finished() == 1
    assert state_of(song) == "ready"
    assert {job.kind for job in jobs_of(song)} == {AUDIO, POSTER}


def test_variants_of_sound_promise_no_picture(song: Video) -> None:
    text = master(song, FULL)
    assert [row.uri.partition(".")[0] for row in text.playlists] == ["192k", "128k", "64k"]
    for row in text.playlists:
        assert row.stream_info.codecs == "mp4a.40.2"
        assert (row.stream_info.resolution, row.stream_info.frame_rate) == (None, None)
    assert [row.stream_info.bandwidth for row in text.playlists] == [192_000, 128_000, 64_000]
    assert text.media == []


def test_another_track_is_chosen_beside_the_variant_which_holds_the_first(app: Flask) -> None:
    text = master(make_video("Play", source=make_recording(tracks=2)), FULL)
    assert [(media.name, media.uri and media.uri.partition(".")[0]) for media in text.media] == [
        ("Track 1", None),
        ("Track 2", "audio2"),
    ]
    [variant] = text.playlists
    assert variant.stream_info.audio == "sound"


def test_the_grid_says_how_far_it_plays_and_at_which_rate(song: Video) -> None:
    make_progress(song, {"64k": 7, "192k": 3})
    grid = grid_of(song)
    assert [row.label for row in grid.rows] == ["192k", "128k", "64k"]
    assert (grid.watchable, grid.watchable_s) == (7, 42.0)
    assert grid.best is not None
    assert (grid.best[0].name, grid.best[1]) == ("192k", 3)
    assert grid.percent == 33


def test_a_viewer_ahead_of_it_waits_and_is_told_how_long(song: Video) -> None:
    make_progress(song, {"64k": 2})
    assert demand_segment(song, 8) is False
    assert expected_wait_s(song, 8) is None
    make_working(song, "64k", 3)
    assert expected_wait_s(song, 8) == pytest.approx(0.5 + 6 * 6.0 / 3.2, abs=0.1)
    assert len(jobs_of(song)) == 4


def test_progress_of_a_worker_is_kept(song: Video) -> None:
    claim = take(SOUND)
    queue.renew_lease(claim, JobProgress(4, 0.0, 40.0))
    assert grid_of(song).working[0].speed == 40.0


@pytest.mark.media
def test_a_real_recording_is_verified_before_viewers_get_it(
    app: Flask, clips: Clips, ffmpeg_path: str, tmp_path: Path
) -> None:
    path = clips.make("sound.mp3", "-f", "lavfi", "-i", "sine=d=14", "-c:a", "libmp3lame", "-b:a", "128k")
    video = make_video("Tone", source=probe(path))
    target = settings().uploads_dir / f"{video.id}.mp3"
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(path.read_bytes())
    point_at(video, target)
    coordinator = LocalCoordinator(app)
    every, tools = Slot("every", tuple(KINDS)), Tools(ffmpeg_path, tmp_path / "work")
    while claim := coordinator.claim(ATLAS, every):
        run_claim(claim, coordinator, tools, threading.Event())
    assert state_of(video) == "ready", encode_of(video).error_message
    folder = settings().videos_dir / video.slug
    assert (folder / "thumbnail.jpg").stat().st_size > 1000
    assert sorted(path.name for path in folder.glob("*.m3u8")) == ["48k.m3u8", "96k.m3u8", "master.m3u8"]


def point_at(video: Video, target: Path) -> None:
    with transaction() as session:
        row = session.get_one(Video, video.id)
        row.source_path = str(target.relative_to(settings().storage_path))
