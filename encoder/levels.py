"""Levels: the promise of how much a decoder must manage. One per rendition, whatever encodes it, so that chunks made on
different devices join, and the codec string is known before the first byte is.
"""

from __future__ import annotations

import math
import re
from fractions import Fraction

#: (H.264 level times ten, macroblocks a second, macroblocks a picture), ISO/IEC 14496-10 table A-1.
AVC_LEVELS = (
    (30, 40_500, 1_620),
    (31, 108_000, 3_600),
    (32, 216_000, 5_120),
    (40, 245_760, 8_192),
    (42, 522_240, 8_704),
    (50, 589_824, 22_080),
    (51, 983_040, 36_864),
    (52, 2_073_600, 36_864),
    (60, 4_177_920, 139_264),
    (61, 8_355_840, 139_264),
    (62, 16_711_680, 139_264),
)
#: (HEVC level times ten, samples a second, samples a picture), ITU-T H.265 tables A.8 and A.9.
HEVC_LEVELS = (
    (30, 16_588_800, 552_960),
    (31, 33_177_600, 983_040),
    (40, 66_846_720, 2_228_224),
    (41, 133_693_440, 2_228_224),
    (50, 267_386_880, 8_912_896),
    (51, 534_773_760, 8_912_896),
    (52, 1_069_547_520, 8_912_896),
    (60, 1_069_547_520, 35_651_584),
    (61, 2_139_095_040, 35_651_584),
    (62, 4_278_190_080, 35_651_584),
)
#: (AV1 seq_level_idx, its name times ten, samples a second, samples a picture), AV1 specification annex A.3.
AV1_LEVELS = (
    (0, 20, 4_423_680, 147_456),
    (1, 21, 8_363_520, 278_784),
    (4, 30, 19_975_680, 665_856),
    (5, 31, 31_950_720, 1_065_024),
    (8, 40, 70_778_880, 2_359_296),
    (9, 41, 141_557_760, 2_359_296),
    (12, 50, 267_386_880, 8_912_896),
    (13, 51, 534_773_760, 8_912_896),
    (14, 52, 1_069_547_520, 8_912_896),
    (16, 60, 1_069_547_520, 35_651_584),
    (17, 61, 2_139_095_040, 35_651_584),
    (18, 62, 4_278_190_080, 35_651_584),
)


def avc_level(width: int, height: int, fps: Fraction) -> int:
    """Times ten."""
    blocks = math.ceil(width / 16) * math.ceil(height / 16)
    fitting = (n for n, per_s, most in AVC_LEVELS if blocks <= most and blocks * fps <= per_s)
    return next(fitting, AVC_LEVELS[-1][0])


def hevc_level(width: int, height: int, fps: Fraction) -> int:
    """Times ten."""
    size = width * height
    fitting = (n for n, per_s, most in HEVC_LEVELS if size <= most and size * fps <= per_s)
    return next(fitting, HEVC_LEVELS[-1][0])


def av1_level(width: int, height: int, fps: Fraction) -> tuple[int, int]:
    """(seq_level_idx, level times ten)"""
    size = width * height
    fitting = ((idx, n) for idx, n, per_s, most in AV1_LEVELS if size <= most and size * fps <= per_s)
    return next(fitting, AV1_LEVELS[-1][:2])


def expected_codec(codec: str, width: int, height: int, fps: Fraction) -> str:
    """What a rung will call itself (RFC 6381) before its first segment exists. Afterwards the bytes are asked."""
    if codec == "hevc":
        return f"hvc1.1.6.L{hevc_level(width, height, fps) * 3}.90"
    if codec == "av1":
        return f"av01.0.{av1_level(width, height, fps)[0]:02d}M.08"
    return f"avc1.6400{avc_level(width, height, fps):02X}"


def joined(one: str, other: str) -> str | None:
    """The codec string of a stream made of both; None when they are no one stream. Encoders on other devices may need
    another level for the same pictures: the higher one holds for all.
    """
    if one == other:
        return one
    (family, level), (other_family, other_level) = _split(one), _split(other)
    if family != other_family:
        return None
    return one if level >= other_level else other


def _split(codec: str) -> tuple[tuple[str, ...], int]:
    """(what must be equal, level)"""
    if match := re.fullmatch(r"(avc1)\.([0-9A-F]{2})[0-9A-F]{2}([0-9A-F]{2})", codec):
        return (match[1], match[2]), int(match[3], 16)
    if match := re.fullmatch(r"(hvc1)\.([ABC]?\d+)\.[0-9A-F]+\.L(\d+)(\.[0-9A-F]+)*", codec):
        return (match[1], match[2]), int(match[3])
    if match := re.fullmatch(r"(av01)\.(\d)\.(\d\d)M\.(\d\d)", codec):
        return (match[1], match[2], match[4]), int(match[3])
    return (codec,), 0
