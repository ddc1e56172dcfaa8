"""Which key frames are clean cuts, from the bytes that say so."""

from __future__ import annotations

import pytest

from encoder.random_access import ENTRIES, SampleEntry

SPS, PPS = b"\x67\x64\x00\x1f", b"\x68\xee"
VPS_H, SPS_H, PPS_H = b"\x40\x01\x0c", b"\x42\x01\x01", b"\x44\x01\xc1"
TRAIL, RASL, RADL, IDR_W, IDR_N, CRA = (bytes([kind << 1, 1, 0x80]) for kind in (1, 9, 7, 19, 20, 21))


def units(*each: bytes) -> bytes:
    return b"".join(len(unit).to_bytes(4, "big") + unit for unit in each)


def counted(*each: bytes) -> bytes:
    return b"".join(len(unit).to_bytes(2, "big") + unit for unit in each)


def entry(codec: str, extra: bytes, first: bytes = b"") -> SampleEntry:
    found = ENTRIES[codec](extra, first)
    assert found is not None
    return found


AVCC = b"\x01\x64\x00\x1f\xff\xe1" + counted(SPS) + b"\x01" + counted(PPS)
HVCC = b"\x01" + bytes(20) + b"\x03\x03" + b"".join(
    bytes([unit[0] >> 1]) + b"\0\1" + counted(unit) for unit in (VPS_H, SPS_H, PPS_H)
)  # fmt: skip


@pytest.mark.parametrize(
    ("key", "fault"),
    [
        (units(b"\x65\x88"), ""),
        (units(b"\x09\x10", SPS, PPS, b"\x06\x05", b"\x65\x88"), ""),
        (units(b"\x67\x64\x00\x28", PPS, b"\x65\x88"), "headers"),
        (units(b"\x06\x06", b"\x41\x9a"), "open"),
        (units(b"\x06\x06"), "open"),
        (b"\0\0", "open"),
    ],
)
def test_h264_is_cut_at_an_idr_that_needs_the_files_own_parameter_sets(key: bytes, fault: str) -> None:
    assert entry("h264", AVCC).fault(key, b"") == fault


@pytest.mark.parametrize(
    ("key", "following", "fault"),
    [
        (units(IDR_N), units(TRAIL), ""),
        (units(b"\x4e\x01\x05", IDR_W), units(TRAIL), ""),
        (units(IDR_W), units(RADL), "open"),
        (units(CRA), units(TRAIL), ""),
        (units(CRA), units(RASL), "open"),
        (units(CRA), units(b"\x4e\x01\x05"), "open"),
        (units(IDR_N), b"", ""),
        (units(SPS_H, IDR_N), units(TRAIL), "headers"),
        (units(TRAIL), units(TRAIL), "open"),
    ],
)
def test_hevc_is_cut_where_no_picture_is_shown_before_the_key_frame(
    key: bytes, following: bytes, fault: str
) -> None:
    assert entry("hevc", HVCC).fault(key, following) == fault


SEQUENCE, OTHER = b"\x0a\x02\x00\x01", b"\x0a\x02\x00\x02"
KEY, HIDDEN, INTER = b"\x32\x01\x10", b"\x32\x01\x00", b"\x32\x01\x30"


@pytest.mark.parametrize(
    ("key", "fault"),
    [
        (SEQUENCE + KEY, ""),
        (b"\x12\x00" + SEQUENCE + b"\x30\x10", ""),  # behind a delimiter, the frame without a length
        (OTHER + KEY, "headers"),
        (KEY, "headers"),
        (SEQUENCE + HIDDEN, "open"),
        (SEQUENCE + INTER, "open"),
        (SEQUENCE, "open"),
    ],
)
def test_av1_is_cut_at_a_key_frame_that_is_shown_and_brings_the_same_header(key: bytes, fault: str) -> None:
    assert entry("av1", b"\x81\x00\x0c\x00", SEQUENCE + KEY).fault(key, b"") == fault


@pytest.mark.parametrize(
    ("codec", "extra"),
    [("h264", b""), ("h264", b"\0\0\0\1" + SPS), ("hevc", HVCC[:22]), ("hevc", HVCC[:23]), ("hevc", HVCC[:22] + b"\0"),
     ("hevc", HVCC[:22] + b"\x03\x20"), ("av1", b"\x81"), ("av1", SEQUENCE)],
)  # fmt: skip
def test_a_header_that_does_not_hold_what_decoders_need_is_no_header(codec: str, extra: bytes) -> None:
    assert ENTRIES[codec](extra, SEQUENCE + KEY) is None


def test_reading_noise_ends() -> None:
    noise = bytes(n * 37 % 251 for n in range(4096))
    for codec, extra in (("h264", AVCC), ("hevc", HVCC), ("av1", b"\x81\0\0\0")):
        for start in range(0, 4096, 61):
            assert entry(codec, extra, SEQUENCE).fault(noise[start:], noise[:start]) in (
                "",
                "open",
                "headers",
            )
