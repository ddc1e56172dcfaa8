"""Playlists from rows, at every point of a film's way."""

from __future__ import annotations

from pathlib import Path

import m3u8
import pytest

from tests.contract.conftest import ENCODES, SOUND
from tests.factories import make_progress, make_source, make_video
from tests.services.shop import do_all, film, hand_in, take
from vlog_app.extensions import db
from vlog_app.models import Video
from vlog_app.services import publish
from vlog_app.services.playlists import FULL, Availability, load_availability, master_text, media_text

pytestmark = pytest.mark.usefixtures("app")


def made_of(video: Video) -> Availability:
    db.session.rollback()
    db.session.expire_all()
    made = load_availability(db.session(), video)
    assert made is not None
    return made


def master(video: Video, timeline: str | None = None) -> m3u8.M3U8:
    return m3u8.loads(master_text(made_of(video), timeline=timeline))


def media(video: Video, name: str, timeline: str | None = None) -> m3u8.M3U8:
    made = made_of(video)
    row = made.row(name)
    assert row is not None
    return m3u8.loads(media_text(made, row, timeline=timeline))


def rungs(playlist: m3u8.M3U8) -> list[str]:
    return [row.uri.partition(".")[0] for row in playlist.playlists]


@pytest.fixture
def video() -> Video:
    """Four rungs of ten segments."""
    return make_video(source=make_source(seconds=60))


def test_other_players_get_a_rung_once_its_first_chunk_is_in(video: Video) -> None:
    make_progress(video, {"360p": 4, "480p": 2, "720p": 1, "audio": 3})
    assert rungs(master(video)) == ["480p", "360p"]


def test_other_players_get_what_has_begun_when_that_is_all_there_is(video: Video) -> None:
    make_progress(video, {"360p": 1, "audio": 1})
    assert rungs(master(video)) == ["360p"]


def test_our_player_gets_every_planned_rung_at_once(video: Video) -> None:
    make_progress(video, {"360p": 1, "audio": 1})
    playlist = master(video, FULL)
    assert rungs(playlist) == ["1080p", "720p", "480p", "360p"]
    assert all("timeline=full" in row.uri for row in playlist.playlists)


def test_a_growing_list_has_what_is_there_without_a_hole(tmp_path: Path) -> None:
    video = film()
    hand_in(take(ENCODES), tmp_path)
    bulk = take(ENCODES)
    hand_in(bulk, tmp_path, ("360p", 2), ("360p", 5))
    playlist = media(video, "360p")
    assert [segment.uri for segment in playlist.segments] == [f"360p_{n:04d}.ts?g=1" for n in range(3)]
    assert not playlist.is_endlist
    assert playlist.target_duration == 6


def test_the_full_timeline_lists_what_is_still_to_come(video: Video) -> None:
    make_progress(video, {"360p": 1})
    for name in ("360p", "1080p"):
        playlist = media(video, name, FULL)
        assert len(playlist.segments) == 10
        assert sum(segment.duration for segment in playlist.segments) == pytest.approx(60)
        assert playlist.is_endlist


@pytest.mark.parametrize("timeline", [None, "", "growing", "FULL"])
def test_any_other_word_for_a_timeline_gives_the_growing_list(video: Video, timeline: str | None) -> None:
    make_progress(video, {"360p": 3})
    assert len(media(video, "360p", timeline).segments) == 3


def test_a_rung_says_what_it_was_promised_until_it_is_measured(video: Video) -> None:
    row = next(row for row in master(video, FULL).playlists if row.uri.startswith("720p"))
    assert row.stream_info.bandwidth == 2_500_000 + 128_000
    assert row.stream_info.average_bandwidth is None
    assert row.stream_info.codecs == "avc1.64001F,mp4a.40.2"
    assert row.stream_info.resolution == (1280, 720)
    assert row.stream_info.frame_rate == 25.0


def test_a_segment_above_its_promise_raises_the_rate(video: Video) -> None:
    make_progress(video, {"360p": 1, "audio": 1})  # 1.5 MB in 6 s each
    row = next(row for row in master(video, FULL).playlists if row.uri.startswith("360p"))
    assert row.stream_info.bandwidth == 2_000_000 + 2_000_000


def test_the_bytes_decide_what_a_rung_calls_itself(tmp_path: Path) -> None:
    video = film()
    assert rungs(master(video, FULL)) == ["360p"]
    assert master(video, FULL).playlists[0].stream_info.codecs == "avc1.64001E,mp4a.40.2"
    hand_in(take(ENCODES), tmp_path)
    assert master(video, FULL).playlists[0].stream_info.codecs == "avc1.64001F,mp4a.40.2"


def test_a_film_without_sound_has_no_sound_group() -> None:
    playlist = master(film(has_audio=False), FULL)
    assert playlist.media == []
    assert playlist.playlists[0].stream_info.codecs == "avc1.64001E"


@pytest.mark.usefixtures("database")
def test_a_finished_film_reads_the_same_from_its_folded_rows(tmp_path: Path) -> None:
    video = film()
    do_all(tmp_path)
    before = media(video, "360p", FULL).dumps()
    assert publish.publish_finished() == 1
    for timeline in (None, FULL):
        assert media(video, "360p", timeline).dumps() == before
        row = master(video, timeline).playlists[0]
        assert row.stream_info.average_bandwidth is not None
        assert row.stream_info.bandwidth >= row.stream_info.average_bandwidth
    assert made_of(video).is_whole


def test_files_on_disk_name_no_generation(tmp_path: Path) -> None:
    video = film()
    do_all(tmp_path)
    made = made_of(video)
    row = made.row("audio")
    assert row is not None
    assert "?" not in master_text(made, timeline=FULL, suffix=False)
    assert "?" not in media_text(made, row, timeline=FULL, suffix=False)


def test_only_the_generation_viewers_get_is_read(tmp_path: Path) -> None:
    video = film()
    hand_in(take(SOUND), tmp_path)
    video.generation = 2
    assert load_availability(db.session(), video) is None
