"""May a decoder start at this key frame, and is a cut there clean? H.264, HEVC and AV1 as MP4 files hold them.

ISO/IEC 14496-15 (avcC, hvcC), ITU-T H.265 table 7-1, the AV1 specification 5.3 and 5.9. A fault is named:
`open`      pictures reach over the cut, or the key frame is none
`headers`   parameter sets stand between the pictures, and are not those in the file's own header
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal, Protocol

Fault = Literal["", "open", "headers"]

AVC_IDR, AVC_SLICES, AVC_HEADERS = 5, range(1, 6), (7, 8)
HEVC_KEYS, HEVC_SLICES, HEVC_HEADERS = range(16, 22), range(32), range(32, 35)
HEVC_LEADING = range(6, 10)  # shown before the key frame they follow
OBU_SEQUENCE, OBU_FRAMES = 1, (3, 6)
SHOWN_KEY_FRAME = 0b0001  # show_existing_frame 0, frame_type KEY_FRAME, show_frame 1
MAX_UNITS = 256  # in front of a picture's first slice


class SampleEntry(Protocol):
    """What a file's sample entry says of all pictures."""

    def fault(self, key: bytes, following: bytes) -> Fault:
        """Of a key frame and the picture that is decoded next; both may be cut short behind their first slice."""


@dataclass(frozen=True, slots=True)
class Avc:
    length_bytes: int
    headers: frozenset[bytes]

    def fault(self, key: bytes, following: bytes) -> Fault:
        for unit in _units(key, self.length_bytes):
            kind = unit[0] & 0x1F
            if kind in AVC_HEADERS and unit not in self.headers:
                return "headers"
            if kind in AVC_SLICES:
                return "" if kind == AVC_IDR else "open"
        return "open"


@dataclass(frozen=True, slots=True)
class Hevc:
    length_bytes: int

    def fault(self, key: bytes, following: bytes) -> Fault:
        """Pictures that are decoded behind the key frame and shown before it would fall into the segment before."""
        for unit in _units(key, self.length_bytes):
            kind = unit[0] >> 1 & 0x3F
            if kind in HEVC_HEADERS:
                return (
                    "headers"  # `hvc1`, the name Apple's players want, allows none even if they are the same
                )
            if kind in HEVC_SLICES:
                return "open" if kind not in HEVC_KEYS or self._may_lead(following) else ""
        return "open"

    def _may_lead(self, picture: bytes) -> bool:
        """No picture follows the last one."""
        kinds = (unit[0] >> 1 & 0x3F for unit in _units(picture, self.length_bytes))
        kind = next((kind for kind in kinds if kind in HEVC_SLICES), HEVC_LEADING[0])
        return bool(picture) and kind in HEVC_LEADING


@dataclass(frozen=True, slots=True)
class Av1:
    """`sequence`: what the first picture brings, b"" for nothing. SVT-AV1 writes another one into the file's header, so
    that one is only good for players to know what they will need.
    """

    sequence: bytes

    def fault(self, key: bytes, following: bytes) -> Fault:
        if _sequence(key) != self.sequence:
            return "headers"
        frame = next((body for kind, body in _obus(key) if kind in OBU_FRAMES), b"")
        return "" if frame and frame[0] >> 4 == SHOWN_KEY_FRAME else "open"


def _avc(extra: bytes, _first: bytes) -> SampleEntry | None:
    if len(extra) < 7 or extra[0] != 1:
        return None
    sequences, at = _counted(extra, 6, extra[5] & 0x1F)
    pictures, _at = _counted(extra, at + 1, extra[at] if at < len(extra) else 0)
    return Avc((extra[4] & 3) + 1, frozenset([*sequences, *pictures]))


def _hevc(extra: bytes, _first: bytes) -> SampleEntry | None:
    """None without all three kinds of parameter sets: then they stand between the pictures."""
    if len(extra) < 23 or extra[0] != 1:
        return None
    at, kinds = 23, set()
    for _ in range(extra[22]):
        if at + 3 > len(extra):
            return None
        kinds.add(extra[at] & 0x3F)
        _sets, at = _counted(extra, at + 3, int.from_bytes(extra[at + 1 : at + 3], "big"))
    return Hevc((extra[21] & 3) + 1) if kinds >= set(HEVC_HEADERS) else None


def _av1(extra: bytes, first: bytes) -> SampleEntry | None:
    return Av1(_sequence(first)) if len(extra) >= 4 and extra[0] == 0x81 else None


def _sequence(picture: bytes) -> bytes:
    return next((body for kind, body in _obus(picture) if kind == OBU_SEQUENCE), b"")


#: Codec -> what reads its configuration box and the first picture. None: it cannot be used.
ENTRIES: dict[str, Callable[[bytes, bytes], SampleEntry | None]] = {"h264": _avc, "hevc": _hevc, "av1": _av1}


def _counted(data: bytes, at: int, count: int) -> tuple[list[bytes], int]:
    """`count` units, each behind its length in two bytes; where the last one ends."""
    units = []
    for _ in range(count):
        length = int.from_bytes(data[at : at + 2], "big")
        units.append(data[at + 2 : at + 2 + length])
        at += 2 + length
    return units, at


def _units(picture: bytes, length_bytes: int) -> Iterator[bytes]:
    at = 0
    for _ in range(MAX_UNITS):
        start = at + length_bytes
        if start >= len(picture):
            return
        at = start + int.from_bytes(picture[start - length_bytes : start], "big")
        if unit := picture[start:at]:
            yield unit


def _obus(picture: bytes) -> Iterator[tuple[int, bytes]]:
    """(type, body). A body without a length goes on to the end."""
    at = 0
    for _ in range(MAX_UNITS):
        if at >= len(picture):
            return
        head = picture[at]
        at += 2 if head & 4 else 1
        size = len(picture) - at
        if head & 2:
            size, at = _leb128(picture, at)
        yield head >> 3 & 0xF, picture[at : at + size]
        at += size


def _leb128(data: bytes, at: int) -> tuple[int, int]:
    value = 0
    for place in range(8):
        byte = data[at] if at < len(data) else 0
        value, at = value | (byte & 0x7F) << 7 * place, at + 1
        if not byte & 0x80:
            break
    return value, at
