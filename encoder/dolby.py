"""Dolby Vision without an ordinary picture in it: ffmpeg would decode it and show green and violet."""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO

CONFIGURATIONS = (b"dvcC", b"dvvC", b"dvwC")
TO_THE_DESCRIPTION = (b"trak", b"mdia", b"minf", b"stbl")
TWO_LAYERS = 7  # whose first one is HDR10, whatever is said of it
MAX_BOXES = 1000  # siblings inside one box
MAX_DESCRIPTION = 64 * 1024


def lacks_base_layer(file: BinaryIO, start: int, end: int) -> bool:
    """`start` and `end`: what is inside `moov`. Profiles 7 and 8 hold HDR10, HLG or SDR; profile 5 holds nothing that
    others can show, and says so with a compatibility of 0.
    """
    return any(_is_bare(description) for description in _descriptions(file, start, end))


def _descriptions(file: BinaryIO, start: int, end: int, depth: int = 0) -> Iterator[bytes]:
    offset = start
    for _ in range(MAX_BOXES):
        if offset + 8 > end:
            return
        file.seek(offset)
        header = file.read(8)
        size, kind = int.from_bytes(header[:4], "big"), header[4:]
        if size < 8:
            return
        if kind == b"stsd":
            yield file.read(min(size - 8, MAX_DESCRIPTION))
        elif kind in TO_THE_DESCRIPTION and depth < len(TO_THE_DESCRIPTION):
            yield from _descriptions(file, offset + 8, min(end, offset + size), depth + 1)
        offset += size


def _is_bare(description: bytes) -> bool:
    """Version (2 bytes), profile (7 bits), level (6), three flags, compatibility (4 bits)."""
    for name in CONFIGURATIONS:
        at = description.find(name) + len(name)
        if at >= len(name) and at + 5 <= len(description):
            profile, compatibility = description[at + 2] >> 1, description[at + 4] >> 4
            return compatibility == 0 and profile != TWO_LAYERS
    return False
