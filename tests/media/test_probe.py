"""The probe on real files: what a film is, in how much time, and in which cage."""

from __future__ import annotations

import os
import subprocess
import time
from fractions import Fraction
from pathlib import Path

import pytest

from encoder.errors import SourceUnreadable
from encoder.grid import Grid, find_grid
from encoder.probe import probe
from tests.hostile.clips import H264, PICTURE, Clips

pytestmark = pytest.mark.media
NTSC = Fraction(30000, 1001)


def test_mp4_facts_are_exact(clips: Clips) -> None:
    source = probe(clips.mp4)
    assert (source.container, source.extension, source.video_codec) == ("mp4", "mp4", "h264")
    assert (source.width, source.height, source.rotation) == (320, 180, 0)
    assert (source.fps, source.frame_count, source.is_vfr) == (NTSC, 120, False)
    assert source.duration_s == pytest.approx(4.004)
    assert (source.pix_fmt, source.bit_depth, source.is_interlaced) == ("yuv420p", 8, False)
    [track] = source.audio
    assert (track.index, track.codec, track.language) == (0, "aac", "eng")
    assert source.size_bytes == clips.mp4.stat().st_size


@pytest.mark.parametrize("name", ["film.mov", "film.mkv", "film.ts"])
def test_the_same_film_in_other_containers(clips: Clips, name: str) -> None:
    source = probe(clips.remux(name))
    assert source.extension == name.rpartition(".")[2]
    assert (source.fps, source.is_vfr, source.width) == (NTSC, False, 320)
    assert source.duration_s == pytest.approx(4.004, abs=0.05)


def test_webm_that_was_never_closed_is_counted_through(clips: Clips) -> None:
    """What a browser's recorder writes: no duration, no index."""
    closed = clips.make("film.webm", "-i", str(clips.mp4), "-c:v", "libvpx", "-deadline", "realtime", "-an")
    path = clips.mp4.with_name("live.webm")
    with path.open("wb") as out:
        argv = [
            clips._ffmpeg,
            "-v",
            "error",
            "-i",
            str(closed),
            "-c",
            "copy",
            "-f",
            "webm",
            "-live",
            "1",
            "-",
        ]
        subprocess.run(argv, stdout=out, check=True, timeout=60)
    source = probe(path)
    assert (source.frame_count, source.fps) == (120, NTSC)


def test_turned_picture_is_measured_as_seen(clips: Clips) -> None:
    turned = clips.make("turned.mp4", "-display_rotation", "90", "-i", str(clips.mp4), "-c", "copy")
    source = probe(turned)
    assert (source.width, source.height, source.coded_width, source.rotation) == (180, 320, 320, 90)


def test_wide_pixels_and_two_fields_are_seen(clips: Clips) -> None:
    pal = (
        "-f",
        "lavfi",
        "-i",
        "testsrc2=s=720x576:r=25:d=1",
        "-vf",
        "setfield=tff,setsar=16/11",
        "-flags",
        "+ildct+ilme",
    )
    source = probe(clips.make("pal.mp4", *pal, *H264, "-x264opts", "tff=1"))
    assert (source.width, source.height, source.sar, source.is_interlaced) == (
        1047,
        576,
        Fraction(16, 11),
        True,
    )


def test_ten_bit_is_seen(clips: Clips) -> None:
    source = probe(clips.make("deep.mkv", *PICTURE, "-t", "1", *H264, "-pix_fmt", "yuv420p10le"))
    assert (source.bit_depth, source.pix_fmt) == (10, "yuv420p10le")


def test_fast_pictures_are_halved_and_not_counted_as_grid_frames(clips: Clips) -> None:
    fast = clips.make("fast120.mp4", "-f", "lavfi", "-i", "testsrc2=s=160x90:r=120:d=1", *H264)
    source = probe(fast)
    assert (source.fps, source.frame_count, source.is_vfr) == (Fraction(60), None, False)


def test_dropped_frames_make_it_variable_on_the_grid_they_were_dropped_from(clips: Clips) -> None:
    drop = ("-vf", "select=mod(n\\,7)*mod(n\\,5)", "-fps_mode", "vfr")
    source = probe(clips.make("vfr.mp4", "-i", str(clips.mp4), *drop, *H264, "-an"))
    assert (source.is_vfr, source.frame_count, source.fps) == (True, None, NTSC)


def test_cut_beginning_by_edit_list_is_not_counted(clips: Clips) -> None:
    source = probe(clips.make("trim.mp4", "-ss", "0.5", "-i", str(clips.mp4), "-c", "copy"))
    assert source.frame_count == 105
    assert source.duration_s == pytest.approx(3.5, abs=0.02)


def test_cover_picture_is_no_film(clips: Clips) -> None:
    cover = clips.make("cover.jpg", *PICTURE, "-frames:v", "1")
    song = (
        "-f",
        "lavfi",
        "-i",
        "sine=d=2",
        "-i",
        str(cover),
        "-map",
        "0",
        "-map",
        "1",
        "-c:a",
        "aac",
        "-c:v",
        "copy",
    )
    path = clips.make("song.mp4", *song, "-disposition:v", "attached_pic")
    source = probe(path)
    assert (source.has_picture, source.has_cover, source.video_codec) == (False, True, "")


def test_ten_minutes_are_probed_in_half_a_second(clips: Clips) -> None:
    long = clips.make("long.mp4", "-stream_loop", "149", "-i", str(clips.mp4), "-c", "copy")
    probe(clips.mp4)  # the first start reads Python and PyAV from disk
    start = time.monotonic()
    source = probe(long)
    assert source.duration_s == pytest.approx(600, abs=5)
    assert time.monotonic() - start < 0.5


def test_child_that_hangs_is_killed(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe.mp4"
    os.mkfifo(pipe)  # opening it waits for a writer that never comes
    start = time.monotonic()
    with pytest.raises(SourceUnreadable) as refusal:
        probe(pipe, timeout_s=1)
    assert refusal.value.code == "probe_timeout"
    assert time.monotonic() - start < 5


def test_playlist_inside_the_cage_opens_nothing(tmp_path: Path, clips: Clips) -> None:
    """Even when its type were not looked at, the demuxer allowlist holds."""
    import av

    from encoder.facts import _options
    from encoder.sniff import MP4

    bait = tmp_path / "bait.mp4"
    bait.write_text(f"#EXTM3U\n#EXTINF:4,\n{clips.remux('bait.ts')}\n#EXT-X-ENDLIST\n")
    with pytest.raises(av.FFmpegError):
        av.open(f"file:{bait}", container_options=_options(MP4))


@pytest.mark.parametrize(
    ("times", "expected"),
    [
        ([i / 25 for i in range(100)], Grid(Fraction(25), False)),
        ([round(i * 1001 / 24) / 1000 for i in range(100)], Grid(Fraction(24000, 1001), False)),
        ([i * 1001 / 60000 for i in range(9)], Grid(Fraction(60000, 1001), False)),
        ([i / 25 for i in range(50)] + [2 + i / 12.5 for i in range(50)], Grid(Fraction(25), True)),
    ],
)
def test_grid_is_found_behind_rounded_times(times: list[float], expected: Grid) -> None:
    assert find_grid([times], 0.001, []) == expected


def test_slow_pictures_get_a_grid_of_five() -> None:
    grid = find_grid([[0.0, 10.0, 20.0]], 0.001, [Fraction(1, 10)])
    assert grid.fps == 5
    assert not grid.is_source_grid
