"""What is believed of bytes on a disk: only what was read in them."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from encoder.errors import OutputInvalid
from encoder.segments import PACKET, TS_DELAY, closed_segments, read_ts

PID = 0x100
H264_START = b"\x00\x00\x00\x01\x67\x64\x00\x1e" + bytes(40)


def pes(stream_id: int, pts: int, body: bytes) -> bytes:
    """ISO/IEC 13818-1 2.4.3.6, with a PTS and nothing else."""
    stamp = bytes(
        [
            0x21 | pts >> 29 & 0x0E,
            pts >> 22 & 0xFF,
            pts >> 14 & 0xFE | 1,
            pts >> 7 & 0xFF,
            pts << 1 & 0xFE | 1,
        ]
    )
    return b"\0\0\1" + bytes([stream_id]) + b"\0\0" + b"\x80\x80\x05" + stamp + body


def packet(payload: bytes, *, pid: int = PID, is_start: bool = True) -> bytes:
    """One transport packet; what is short is stuffed in its adaptation field."""
    room = PACKET - 4 - len(payload)
    assert room >= 0
    head = bytes([0x47, (0x40 if is_start else 0) | pid >> 8, pid & 0xFF])
    if not room:
        return head + b"\x10" + payload
    stuffing = b"" if room == 1 else b"\0" + b"\xff" * (room - 2)
    return head + b"\x30" + bytes([room - 1]) + stuffing + payload


def adts(length: int = 20) -> bytes:
    """One AAC packet at 48 kHz."""
    return bytes(
        [0xFF, 0xF1, 0x4C, 0x80 | length >> 11, length >> 3 & 0xFF, length << 5 & 0xE0, 0xFC]
    ) + bytes(length - 7)


def film(pictures: int = 3) -> bytes:
    table = packet(b"\0" + bytes(20), pid=0)
    units = [packet(pes(0xE0, TS_DELAY + n * 3600, H264_START)) for n in range(pictures)]
    return table + b"".join(units) + packet(b"rest of a picture", is_start=False)


def sound(packets: int = 3) -> bytes:
    return packet(b"\0" + bytes(20), pid=0) + packet(pes(0xC0, TS_DELAY, adts() * packets))


def code_of(data: bytes) -> str:
    with pytest.raises(OutputInvalid) as refused:
        read_ts(data)
    assert refused.value.public_message
    return refused.value.code


def test_pictures_are_counted_and_the_first_one_dated() -> None:
    facts = read_ts(film(pictures=3))
    assert (facts.units, facts.first_pts, facts.codecs) == (3, TS_DELAY, "avc1.64001E")


def test_sound_packets_are_counted() -> None:
    facts = read_ts(sound(packets=4))
    assert (facts.units, facts.first_pts, facts.codecs, facts.sample_rate) == (
        4,
        TS_DELAY,
        "mp4a.40.2",
        48_000,
    )


def test_a_timestamp_keeps_all_of_its_33_bits() -> None:
    late = (1 << 33) - 1
    assert read_ts(packet(pes(0xE0, late, H264_START))).first_pts == late


def test_nothing_is_no_segment() -> None:
    assert code_of(b"") == "not_mpegts"


@pytest.mark.parametrize("cut", [1, 100, 187])
def test_a_file_that_ends_in_the_middle_of_a_packet_is_refused(cut: int) -> None:
    assert code_of(film()[:-cut]) == "not_mpegts"


@pytest.mark.parametrize("at", [0, PACKET, 3 * PACKET])
def test_a_packet_out_of_step_is_refused(at: int) -> None:
    damaged = bytearray(film())
    damaged[at] = 0x48
    assert code_of(bytes(damaged)) == "not_mpegts"


def test_a_file_of_zeros_is_refused() -> None:
    assert code_of(bytes(10 * PACKET)) == "not_mpegts"


def test_tables_without_a_stream_are_refused() -> None:
    assert code_of(packet(b"\0" + bytes(20), pid=0)) == "empty_segment"


def test_a_picture_without_a_timestamp_is_refused() -> None:
    bare = bytearray(pes(0xE0, 0, H264_START))
    bare[7] = 0
    assert code_of(packet(bytes(bare))) == "timestamp"


def test_pictures_without_parameter_sets_are_refused() -> None:
    assert code_of(packet(pes(0xE0, TS_DELAY, b"\x00\x00\x01\x41" + bytes(20)))) == "no_parameter_sets"


def test_sound_that_loses_a_byte_is_refused() -> None:
    assert code_of(packet(pes(0xC0, TS_DELAY, adts() + adts()[:-1]))) == "adts"


def test_sound_that_is_noise_is_refused() -> None:
    assert code_of(packet(pes(0xC0, TS_DELAY, b"\x12" * 40))) == "adts"


def test_sound_that_says_it_has_no_length_is_refused() -> None:
    endless = bytearray(adts())
    endless[3], endless[4], endless[5] = 0x80, 0, 0
    assert code_of(packet(pes(0xC0, TS_DELAY, bytes(endless)))) == "adts"


@given(st.binary(max_size=PACKET - 5))
def test_no_payload_can_do_more_than_be_refused(payload: bytes) -> None:
    """Whatever stands in a packet: facts or OutputInvalid, never another error."""
    try:
        facts = read_ts(packet(payload))
    except OutputInvalid:
        return
    assert facts.units > 0


@given(st.sampled_from([0xC0, 0xE0]), st.lists(st.binary(max_size=PACKET - 25), max_size=4))
def test_no_stream_can_do_more_than_be_refused(stream_id: int, bodies: list[bytes]) -> None:
    start = packet(pes(stream_id, TS_DELAY, adts()))
    try:
        facts = read_ts(start + b"".join(packet(body) for body in bodies))
    except OutputInvalid:
        return
    assert facts.units > 0


@given(st.binary(max_size=60))
def test_no_sound_can_do_more_than_be_refused(noise: bytes) -> None:
    try:
        facts = read_ts(packet(pes(0xC0, TS_DELAY, b"\xff\xf1" + noise)))
    except OutputInvalid:
        return
    assert facts.sample_rate > 0


@given(st.binary(min_size=PACKET - 3, max_size=PACKET - 3))
def test_no_packet_can_do_more_than_be_refused(tail: bytes) -> None:
    try:
        read_ts(bytes([0x47, 0x41, 0x00]) + tail)
    except OutputInvalid:
        return


def test_only_segments_that_ffmpeg_has_closed_are_taken(tmp_path: Path) -> None:
    lines = ["#EXTM3U", "#EXTINF:6.0,", "360p_00002.ts", "#EXTINF:6.0,", f"{tmp_path}/360p_00003.ts"]
    (tmp_path / "360p.m3u8").write_text("\n".join([*lines, "1360p_00009.ts", "360p_00004.ts.tmp", ""]))
    assert closed_segments(tmp_path, "360p") == [
        (2, tmp_path / "360p_00002.ts"),
        (3, tmp_path / "360p_00003.ts"),
    ]


def test_before_the_first_segment_there_is_nothing(tmp_path: Path) -> None:
    assert closed_segments(tmp_path, "360p") == []
