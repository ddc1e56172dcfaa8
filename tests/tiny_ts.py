"""Small MPEG-TS segments that measure as what a plan asks for: true timestamps, pictures without content."""

from __future__ import annotations

from encoder.command import CLOCK_HZ
from encoder.model import EncodePlan, RenditionPlan
from encoder.segments import PACKET, TS_DELAY, VIDEO_PID

SPS = b"\x00\x00\x01\x67\x64\x00\x1f\x00"  # avc1.64001F
AAC_FRAME = 1024
ADTS_BYTES = 8


def tiny_segment(plan: EncodePlan, row: RenditionPlan, index: int, mark: str = "") -> bytes:
    """`mark` makes bytes that differ and measure the same."""
    start_s = plan.start_of(index)
    if row.is_video:
        frames = range(plan.frames_in(index))
        times = [round((start_s + n / plan.fps) * CLOCK_HZ) + TS_DELAY for n in frames]
        return b"".join(_packet(0xE0, time, SPS + mark.encode()[:40]) for time in times)
    count = round(plan.duration_of(index) * row.sample_rate / AAC_FRAME)
    start = round(start_s * CLOCK_HZ) + TS_DELAY
    packets = [_packet(0xC0, start + n, _adts(mark)) for n in range(count)]
    return b"".join(packets)


def _packet(stream_id: int, pts: int, payload: bytes) -> bytes:
    """One transport packet that holds one PES packet, stuffed to its full length."""
    pes = b"\0\0\1" + bytes([stream_id]) + b"\0\0\x80\x80\5" + _stamp(pts) + payload
    stuffing = PACKET - 4 - 1 - len(pes)
    adaptation = bytes([stuffing]) + (b"\0" + b"\xff" * (stuffing - 1) if stuffing else b"")
    return bytes([0x47, 0x40 | VIDEO_PID >> 8, VIDEO_PID & 0xFF, 0x30]) + adaptation + pes


def _stamp(pts: int) -> bytes:
    pts %= 1 << 33
    return bytes(
        [
            0x21 | pts >> 29 & 0xE,
            pts >> 22 & 0xFF,
            0x01 | pts >> 14 & 0xFE,
            pts >> 7 & 0xFF,
            0x01 | pts << 1 & 0xFE,
        ]
    )


def _adts(mark: str) -> bytes:
    """An AAC packet at 48 kHz with one byte in it."""
    content = mark.encode()[:1] or b"\0"
    return bytes([0xFF, 0xF1, 3 << 2, 0, ADTS_BYTES >> 3, (ADTS_BYTES & 7) << 5, 0]) + content
