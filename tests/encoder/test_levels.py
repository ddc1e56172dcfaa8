"""Levels and the codec strings made of them."""

from __future__ import annotations

from fractions import Fraction

import pytest

from encoder.levels import expected_codec, joined


@pytest.mark.parametrize(
    ("width", "height", "fps", "codec"),
    [
        (640, 360, Fraction(25), "avc1.64001E"),
        (640, 360, Fraction(60), "avc1.64001F"),
        (854, 480, Fraction(30), "avc1.64001F"),
        (1280, 720, Fraction(30), "avc1.64001F"),
        (1280, 720, Fraction(50), "avc1.640020"),
        (720, 1280, Fraction(30), "avc1.64001F"),
        (1920, 1080, Fraction(30), "avc1.640028"),
        (1920, 1080, Fraction(60), "avc1.64002A"),
        (2560, 1440, Fraction(30), "avc1.640032"),
        (3840, 2160, Fraction(30), "avc1.640033"),
        (3840, 2160, Fraction(60), "avc1.640034"),
        (8192, 8192, Fraction(60), "avc1.64003E"),
    ],
)
def test_a_rung_names_its_codec_before_its_first_segment(
    width: int, height: int, fps: Fraction, codec: str
) -> None:
    assert expected_codec("h264", width, height, fps) == codec


@pytest.mark.parametrize(
    ("codec", "height", "expected"),
    [
        ("hevc", 360, "hvc1.1.6.L90.90"),
        ("hevc", 1080, "hvc1.1.6.L120.90"),
        ("hevc", 2160, "hvc1.1.6.L150.90"),
        ("av1", 360, "av01.0.01M.08"),
        ("av1", 1080, "av01.0.08M.08"),
        ("av1", 2160, "av01.0.12M.08"),
    ],
)
def test_newer_codecs_too(codec: str, height: int, expected: str) -> None:
    assert expected_codec(codec, height * 16 // 9, height, Fraction(30)) == expected


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ("avc1.640028", "avc1.640028", "avc1.640028"),
        ("avc1.640028", "avc1.64002A", "avc1.64002A"),  # the higher level holds for both
        ("avc1.640C29", "avc1.640028", "avc1.640C29"),  # constraint flags take nothing away from a decoder
        ("avc1.640028", "avc1.4D4028", None),
        ("avc1.640028", "hvc1.1.6.L120.90", None),
        ("hvc1.1.6.L120.90", "hvc1.1.6.L123.B0", "hvc1.1.6.L123.B0"),
        ("hvc1.1.6.L120.90", "hvc1.2.4.L120.90", None),
        ("av01.0.08M.08", "av01.0.09M.08", "av01.0.09M.08"),
        ("av01.0.08M.08", "av01.0.08M.10", None),
        ("mp4a.40.2", "mp4a.40.5", None),
    ],
)
def test_segments_join_when_only_their_levels_differ(one: str, other: str, expected: str | None) -> None:
    assert joined(one, other) == joined(other, one) == expected
