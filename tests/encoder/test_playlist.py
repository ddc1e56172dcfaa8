"""Playlists as text, read back with another reader and held against RFC 8216."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise

import m3u8
import pytest
from hypothesis import given
from hypothesis import strategies as st

from encoder.playlist import (
    AudioTrackLine,
    Entry,
    Variant,
    master_playlist,
    media_playlist,
    peak_bps,
)

THREE = (Entry("360p_0000.ts", 6.006), Entry("360p_0001.ts", 6.006), Entry("360p_0002.ts", 1.5015))
DURATIONS = st.lists(st.floats(0.04, 60, allow_nan=False), min_size=1, max_size=30)


def variant(name: str = "720p", *, codecs: tuple[str, ...] = ("avc1.64001F", "mp4a.40.2")) -> Variant:
    return Variant(f"{name}.m3u8", 1280, 720, Fraction(30000, 1001), codecs, 2_628_000, 1_400_000)


def test_a_whole_film_is_a_vod_playlist() -> None:
    assert media_playlist(THREE, target_s=6.006, is_whole=True) == (
        "#EXTM3U\n"
        "#EXT-X-VERSION:6\n"
        "#EXT-X-TARGETDURATION:6\n"
        "#EXT-X-MEDIA-SEQUENCE:0\n"
        "#EXT-X-PLAYLIST-TYPE:VOD\n"
        "#EXT-X-INDEPENDENT-SEGMENTS\n"
        "#EXTINF:6.006000,\n360p_0000.ts\n"
        "#EXTINF:6.006000,\n360p_0001.ts\n"
        "#EXTINF:1.501500,\n360p_0002.ts\n"
        "#EXT-X-ENDLIST\n"
    )


def test_a_growing_film_has_no_end_and_starts_at_its_beginning() -> None:
    playlist = m3u8.loads(media_playlist(THREE[:2], target_s=6.006, is_whole=False))
    assert playlist.playlist_type == "event"
    assert playlist.is_endlist is False
    assert (playlist.start.time_offset, playlist.start.precise) == (0, "YES")
    assert [segment.uri for segment in playlist.segments] == ["360p_0000.ts", "360p_0001.ts"]


def test_a_whole_film_ends() -> None:
    playlist = m3u8.loads(media_playlist(THREE, target_s=6.006, is_whole=True))
    assert playlist.playlist_type == "vod"
    assert playlist.is_endlist is True
    assert playlist.media_sequence == 0
    assert [segment.duration for segment in playlist.segments] == [6.006, 6.006, 1.5015]


@given(durations=DURATIONS, target_s=st.floats(0.04, 60), is_whole=st.booleans())
def test_no_segment_is_longer_than_the_target_when_rounded(
    durations: list[float], target_s: float, is_whole: bool
) -> None:
    """RFC 8216 4.3.3.1."""
    entries = [Entry(f"{n}.ts", duration) for n, duration in enumerate(durations)]
    playlist = m3u8.loads(media_playlist(entries, target_s=target_s, is_whole=is_whole))
    target = playlist.target_duration
    assert target is not None and target >= 1
    assert all(int(segment.duration + 0.5) <= target for segment in playlist.segments)
    assert target >= int(target_s + 0.5), "a growing list may never change its target"


def test_the_target_of_a_growing_list_holds_before_the_first_segment() -> None:
    texts = [media_playlist(THREE[:n], target_s=6.006, is_whole=False) for n in range(4)]
    assert {m3u8.loads(text).target_duration for text in texts} == {6}


def test_a_growing_list_only_ever_gets_longer() -> None:
    texts = [media_playlist(THREE[:n], target_s=6.006, is_whole=False) for n in range(4)]
    assert all(later.startswith(earlier) for earlier, later in pairwise(texts))


def test_the_master_playlist_with_sound() -> None:
    sound = AudioTrackLine("audio.m3u8", "Original", 2)
    assert master_playlist([variant("720p")], [sound]) == (
        "#EXTM3U\n"
        "#EXT-X-VERSION:6\n"
        "#EXT-X-INDEPENDENT-SEGMENTS\n"
        '#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="sound",NAME="Original",DEFAULT=YES,AUTOSELECT=YES,'
        'CHANNELS="2",URI="audio.m3u8"\n'
        "#EXT-X-STREAM-INF:BANDWIDTH=2628000,AVERAGE-BANDWIDTH=1400000,"
        'CODECS="avc1.64001F,mp4a.40.2",RESOLUTION=1280x720,FRAME-RATE=29.970,VIDEO-RANGE=SDR,AUDIO="sound"\n'
        "720p.m3u8\n"
    )


def test_the_master_playlist_without_sound_names_no_group() -> None:
    text = master_playlist([variant(codecs=("avc1.64001F",))], [])
    playlist = m3u8.loads(text)
    assert playlist.media == []
    assert playlist.playlists[0].stream_info.codecs == "avc1.64001F"
    assert "AUDIO" not in text


def test_rungs_keep_their_order_and_the_first_track_is_the_default() -> None:
    tracks = [AudioTrackLine(f"{name}.m3u8", name, 2, name) for name in ("de", "en")]
    playlist = m3u8.loads(master_playlist([variant("1080p"), variant("360p")], tracks))
    assert [row.uri for row in playlist.playlists] == ["1080p.m3u8", "360p.m3u8"]
    assert [(track.language, track.default) for track in playlist.media] == [("de", "YES"), ("en", "NO")]
    assert {row.stream_info.audio for row in playlist.playlists} == {
        track.group_id for track in playlist.media
    }


def test_a_name_cannot_break_out_of_its_quotes() -> None:
    track = AudioTrackLine("audio.m3u8", 'a",DEFAULT=NO\n#EXT-X-ENDLIST\r', 2, 'd"e')
    text = master_playlist([variant()], [track])
    assert len(text.splitlines()) == 6
    playlist = m3u8.loads(text)
    assert playlist.is_endlist is False
    assert playlist.media[0].default == "YES"
    assert playlist.media[0].language == "d'e"


@pytest.mark.parametrize(
    ("segments", "expected"),
    [
        ([(6.0, 6_000)], 8_000),
        ([(6.0, 6_000), (6.0, 12_000), (6.0, 3_000)], 16_000),
        # A last segment of a moment says little: it counts with the one before it.
        ([(6.0, 6_000), (0.04, 4_000)], 13_246),
        ([(2.0, 2_000), (2.0, 6_000), (6.0, 6_000)], 16_000),
        ([(0.05, 1_000)], 160_000),
        ([], 0),
    ],
)
def test_the_peak_is_that_of_neighbours_near_the_target(
    segments: list[tuple[float, int]], expected: int
) -> None:
    """RFC 8216 4.1."""
    assert peak_bps(segments) == expected
