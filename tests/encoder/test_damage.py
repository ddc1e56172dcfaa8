"""Which words of ffmpeg are about damage: taken from what it says of real files."""

from __future__ import annotations

import pytest

from encoder.damage import is_damage

DAMAGE = """
[h264 @ 0x55f023633d40] Invalid NAL unit size (1362419393 > 6).
[h264 @ 0x55f023633d40] missing picture in access unit with size 10
[h264 @ 0x5603a3e02d40] concealing 123 DC, 123 AC, 123 MV errors in P frame
[h264 @ 0x5603a3e02d40] error while decoding MB 12 7, bytestream -5
[vist#0:0/h264 @ 0x1] [dec:h264 @ 0x2] corrupt decoded frame
[in#0/matroska,webm @ 0x5607596a0080] Element at 0x1468 ending at 0x38f7f894ccd exceeds containing master element
[in#0/matroska,webm @ 0x5] 0x00 at pos 19802 (0x4d5a) invalid as first byte of an EBML number
[aist#0:1/aac @ 0x1] [dec:aac @ 0x2] Error submitting packet to decoder: Invalid data found when processing input
[prores @ 0x55dfcf86a5c0] invalid frame header
[in#0/mpegts @ 0x55d108616080] Packet corrupt (stream = 0, dts = 266400).
[in#0/mpegts @ 0x55d108615d40] corrupt input packet in stream 0
Error while decoding stream #0:0: Invalid data found when processing input
[libdav1d @ 0x5580] Failed to parse temporal unit.
""".strip().splitlines()

HARMLESS = """
[in#0 @ 0x55e685a5a080] stream 0, timescale not set
[aist#0:1/pcm_s16le @ 0x55a6e3b7c880] Guessed Channel Layout: mono
[hls @ 0x1] Opening '/scratch/360p_00003.ts.tmp' for writing
Error while decoding stream #0:0: Resource temporarily unavailable
[hevc @ 0x1] Could not find ref with POC 12
""".strip().splitlines()


@pytest.mark.parametrize("line", DAMAGE)
def test_damage_is_heard(line: str) -> None:
    assert is_damage(line)


@pytest.mark.parametrize("line", HARMLESS)
def test_what_whole_files_make_it_say_is_not_damage(line: str) -> None:
    assert not is_damage(line)
