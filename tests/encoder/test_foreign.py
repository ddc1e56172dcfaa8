"""Renditions that somebody else cut: what is read from their bytes, in every codec and container players have."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from encoder.errors import OutputInvalid
from encoder.foreign import WRAP_S, ForeignFacts, Piece, measure_foreign, sum_up

FIRST = Piece(1.4, 7.4, 150, 640, 360, ("avc1.64001E", "mp4a.40.2"), True)
SECOND = replace(FIRST, start_s=7.4, end_s=11.9, frames=112)


def test_a_piece_lasts_until_the_next_one_begins() -> None:
    gap = replace(SECOND, start_s=7.5)
    facts = sum_up([FIRST, gap])
    assert facts.durations_s == pytest.approx((6.1, 4.4))
    assert facts.fps == pytest.approx(262 / 10.5, abs=0.001)
    assert (facts.width, facts.height, facts.codecs) == (640, 360, ("avc1.64001E", "mp4a.40.2"))


def test_the_clock_of_mpegts_may_begin_anew() -> None:
    late = [replace(FIRST, start_s=WRAP_S - 4, end_s=2.0), replace(SECOND, start_s=2.0, end_s=6.0)]
    assert sum_up(late).durations_s == pytest.approx((6.0, 4.0))


def test_levels_are_joined_and_sound_may_end_early() -> None:
    facts = sum_up([FIRST, replace(SECOND, codecs=("avc1.64001F",))])
    assert facts.codecs == ("avc1.64001F", "mp4a.40.2")


def test_a_piece_that_begins_without_a_key_frame_takes_the_promise_away() -> None:
    assert sum_up([FIRST, SECOND]).is_independent
    assert not sum_up([FIRST, replace(SECOND, starts_with_key=False)]).is_independent


@pytest.mark.parametrize(
    ("second", "code"),
    [
        (replace(SECOND, width=1280), "picture_size"),
        (replace(SECOND, start_s=1.0), "timestamp"),
        (replace(SECOND, codecs=("avc1.4D001E", "mp4a.40.2")), "codec"),
        (replace(SECOND, codecs=("avc1.64001E", "ac-3")), "codec"),
    ],
)
def test_pieces_that_are_no_one_rendition_are_refused(second: Piece, code: str) -> None:
    with pytest.raises(OutputInvalid) as refused:
        sum_up([FIRST, second])
    assert refused.value.code == code


@pytest.mark.media
@pytest.mark.parametrize(
    ("kind", "picture", "sound", "codecs"),
    [
        ("mpegts", "libx264 -profile:v main", "aac", ("avc1.4D400B", "mp4a.40.2")),
        ("fmp4", "libx264 -profile:v high", "aac", ("avc1.64000B", "mp4a.40.2")),
        ("mpegts", "libx264", "ac3", ("avc1.64000B", "ac-3")),
        ("mpegts", "libx265 -x265-params log-level=0", "aac", ("hvc1.1.6.L30.90", "mp4a.40.2")),
        ("fmp4", "libx265 -x265-params log-level=0 -tag:v hvc1", "aac", ("hvc1.1.6.L30.90", "mp4a.40.2")),
        ("fmp4", "libx265 -x265-params log-level=0", "aac", ("hev1.1.6.L30.90", "mp4a.40.2")),
        ("fmp4", "libsvtav1 -preset 12 -svtav1-params log=0", "aac", ("av01.0.00M.08", "mp4a.40.2")),
    ],
)
def test_it_is_called_by_its_codecs(
    tmp_path: Path, ffmpeg_path: str, kind: str, picture: str, sound: str, codecs: tuple[str, ...]
) -> None:
    facts = measured(made(tmp_path, ffmpeg_path, kind, picture, sound))
    assert facts.codecs == codecs
    assert (facts.width, facts.height, facts.fps) == (192, 108, 25.0)
    assert facts.duration_s == pytest.approx(4.0, abs=0.05)
    assert len(facts.durations_s) == 2


@pytest.mark.media
def test_a_part_that_is_no_film_is_named(tmp_path: Path, ffmpeg_path: str) -> None:
    files, _init = made(tmp_path, ffmpeg_path, "mpegts", "libx264", "aac")
    files[1].write_bytes(b"\x47" + b"\0" * 187)
    with pytest.raises(OutputInvalid, match="Part 2 cannot be used"):
        measured((files, None))


@pytest.mark.media
def test_pictures_alone_are_read_too(tmp_path: Path, ffmpeg_path: str) -> None:
    files, _init = made(tmp_path, ffmpeg_path, "mpegts", "libx264", "")
    assert measured((files, None)).codecs == ("avc1.64000B",)


def made(folder: Path, ffmpeg: str, kind: str, picture: str, sound: str) -> tuple[list[Path], Path | None]:
    """Four seconds in two pieces, and their header."""
    suffix = "m4s" if kind == "fmp4" else "ts"
    with_sound = ("-f", "lavfi", "-i", "sine=d=4", "-c:a", sound) if sound else ("-an",)
    argv = [
        *(ffmpeg, "-nostdin", "-v", "error", "-f", "lavfi", "-i", "testsrc2=s=192x108:r=25:d=4"),
        *with_sound,
        *("-c:v", *picture.split(), "-pix_fmt", "yuv420p", "-g", "50", "-f", "hls", "-hls_time", "2"),
        *("-hls_playlist_type", "vod", "-hls_segment_type", kind, "-hls_fmp4_init_filename", "init.mp4"),
        *("-hls_segment_filename", str(folder / f"%d.{suffix}"), str(folder / "list.m3u8")),
    ]
    subprocess.run(argv, check=True, timeout=120)
    init = folder / "init.mp4"
    return sorted(folder.glob(f"*.{suffix}")), init if kind == "fmp4" else None


def measured(files: tuple[list[Path], Path | None]) -> ForeignFacts:
    return sum_up([piece for batch in measure_foreign(*files) for piece in batch])
