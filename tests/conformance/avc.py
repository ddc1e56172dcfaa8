"""H.264 parameter sets (ISO/IEC 14496-10, 7.3.2.1 and annex E), as far as a playlist makes promises about them."""

from __future__ import annotations

import re
from dataclasses import dataclass

HIGH_PROFILES = (100, 110, 122, 244, 44, 83, 86, 118, 128)
EXTENDED_SAR = 255
SAMPLE_ASPECTS = (
    (0, 1), (1, 1), (12, 11), (10, 11), (16, 11), (40, 33), (24, 11), (20, 11), (32, 11), (80, 33), (18, 11),
    (15, 11), (64, 33), (160, 99), (4, 3), (3, 2), (2, 1),
)  # fmt: skip
IDR, SPS, PPS = 5, 7, 8


@dataclass(frozen=True, slots=True)
class Sps:
    """`colours` are primaries, transfer and matrix as numbers of ISO/IEC 23091-2; 2 means unspecified."""

    codec: str
    width: int
    height: int
    sar: tuple[int, int] = (0, 1)
    full_range: bool = False
    colours: tuple[int, int, int] = (2, 2, 2)
    fps: float | None = None


class Bits:
    """Reads a payload bit by bit, without the bytes that only keep start codes out."""

    def __init__(self, payload: bytes) -> None:
        clean = payload.replace(b"\0\0\3", b"\0\0")
        self._bits = "".join(f"{byte:08b}" for byte in clean)
        self._at = 0

    def u(self, count: int) -> int:
        self._at += count
        return int(self._bits[self._at - count : self._at], 2)

    def ue(self) -> int:
        zeros = self._bits.index("1", self._at) - self._at
        self._at += zeros
        return self.u(zeros + 1) - 1

    def se(self) -> int:
        code = self.ue()
        return -(code // 2) if code % 2 == 0 else (code + 1) // 2


def nal_units(stream: bytes) -> list[bytes]:
    """Units of an Annex B stream, without start codes."""
    starts = [match.end() for match in re.finditer(rb"\x00\x00\x01", stream)]
    ends = [start - 3 for start in starts[1:]] + [len(stream)]
    return [stream[start:end].rstrip(b"\0") for start, end in zip(starts, ends, strict=True)]


def read_sps(nal: bytes) -> Sps:
    bits = Bits(nal[1:])
    profile, constraints, level = bits.u(8), bits.u(8), bits.u(8)
    bits.ue()
    chroma = _chroma_format(bits, profile)
    _frame_numbers(bits)
    width, height = _cropped_size(bits, chroma)
    codec = f"avc1.{profile:02X}{constraints:02X}{level:02X}"
    return _with_vui(bits, Sps(codec, width, height)) if bits.u(1) else Sps(codec, width, height)


def _chroma_format(bits: Bits, profile: int) -> int:
    if profile not in HIGH_PROFILES:
        return 1
    chroma = bits.ue()
    if chroma == 3:
        bits.u(1)
    bits.ue(), bits.ue(), bits.u(1)
    if bits.u(1):
        raise ValueError("scaling matrices are not read here")
    return chroma


def _frame_numbers(bits: Bits) -> None:
    bits.ue()
    order = bits.ue()
    if order == 0:
        bits.ue()
    elif order == 1:
        bits.u(1), bits.se(), bits.se()
        for _ in range(bits.ue()):
            bits.se()
    bits.ue(), bits.u(1)


def _cropped_size(bits: Bits, chroma: int) -> tuple[int, int]:
    width, map_units = (bits.ue() + 1) * 16, bits.ue() + 1
    frames_only = bits.u(1)
    height = map_units * 16 * (2 - frames_only)
    if not frames_only:
        bits.u(1)
    bits.u(1)
    left = right = top = bottom = 0
    if bits.u(1):
        left, right, top, bottom = bits.ue(), bits.ue(), bits.ue(), bits.ue()
    step_x, step_y = (2 if chroma in (1, 2) else 1), (2 if chroma == 1 else 1) * (2 - frames_only)
    return width - step_x * (left + right), height - step_y * (top + bottom)


def _with_vui(bits: Bits, sps: Sps) -> Sps:
    sar, full, colours, fps = (0, 1), False, (2, 2, 2), None
    if bits.u(1):
        kind = bits.u(8)
        sar = (bits.u(16), bits.u(16)) if kind == EXTENDED_SAR else SAMPLE_ASPECTS[kind]
    if bits.u(1):
        bits.u(1)
    if bits.u(1):
        bits.u(3)
        full = bool(bits.u(1))
        if bits.u(1):
            colours = (bits.u(8), bits.u(8), bits.u(8))
    if bits.u(1):
        bits.ue(), bits.ue()
    if bits.u(1):
        tick, scale = bits.u(32), bits.u(32)
        fps = scale / tick / 2
    return Sps(sps.codec, sps.width, sps.height, sar, full, colours, fps)
