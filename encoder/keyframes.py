"""Where a source may be cut without touching a picture: its key frames, read from the container's table.

Runs inside the probe's child. Only ISO files (MP4, MOV) have a table of all frames that costs nothing to read.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from encoder.model import KeyFrames

MOST_KEYS = 40_000  # twenty hours of two-second groups; beyond that the list is not worth its size
IDR, SLICE = 5, 1  # H.264 NAL unit types


def read_keyframes(video: Any, path: Path) -> KeyFrames | None:
    """None when the source is not H.264 with a table of its frames. `video` is a PyAV stream."""
    if video.codec_context.codec.canonical_name != "h264":
        return None
    entries = [entry for entry in video.index_entries if not entry.is_discard]
    keys = [number for number, entry in enumerate(entries) if entry.is_keyframe]
    length_bytes = _length_bytes(video.codec_context.extradata)
    if not keys or keys[0] != 0 or len(keys) > MOST_KEYS or length_bytes is None:
        return None
    with path.open("rb") as file:
        closed = all(_is_idr(file.fileno(), entries[key].pos, length_bytes) for key in keys)
    ends = [*keys[1:], len(entries)]
    sizes = tuple(sum(e.size for e in entries[key:end]) for key, end in zip(keys, ends, strict=True))
    return KeyFrames(tuple(keys), sizes, closed)


def _length_bytes(extradata: bytes | None) -> int | None:
    """How many bytes say how long a NAL unit is, from `avcC` (ISO/IEC 14496-15)."""
    if not extradata or len(extradata) < 7 or extradata[0] != 1:
        return None
    return (extradata[4] & 3) + 1


def _is_idr(handle: int, at: int, length_bytes: int) -> bool:
    """Is the first slice of this frame an IDR? Otherwise pictures may reach over the cut (open GOP)."""
    while True:
        head = os.pread(handle, length_bytes + 1, at)
        if len(head) <= length_bytes:
            return False
        kind = head[-1] & 0x1F
        if kind in (IDR, SLICE):
            return kind == IDR
        at += length_bytes + int.from_bytes(head[:-1])
