"""Where a source may be cut without touching a picture: its key frames, read from the container's table.

Runs inside the probe's child. Only ISO files (MP4, MOV) have a table of all frames that costs nothing to read.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from encoder.model import KeyFrames
from encoder.random_access import ENTRIES, Fault, SampleEntry

MOST_KEYS = 40_000  # twenty hours of two-second groups; beyond that the list is not worth its size
LOOK_BYTES = 4096  # of a picture; what is asked for stands in front of its first slice


def read_keyframes(video: Any, path: Path) -> KeyFrames | None:
    """None when the source has no table of its frames, or a codec that is never copied. `video` is a PyAV stream."""
    codec = video.codec_context
    entries = [entry for entry in video.index_entries if not entry.is_discard]
    keys = [number for number, entry in enumerate(entries) if entry.is_keyframe]
    read = ENTRIES.get(codec.codec.canonical_name)
    if read is None or not keys or keys[0] != 0 or len(keys) > MOST_KEYS:
        return None
    with path.open("rb") as file:
        header = read(codec.extradata or b"", _head(file.fileno(), entries[0]))
        if header is None:
            return None
        faults = set(_faults(header, file.fileno(), entries, keys))
    ends = [*keys[1:], len(entries)]
    sizes = tuple(sum(e.size for e in entries[key:end]) for key, end in zip(keys, ends, strict=True))
    return KeyFrames(tuple(keys), sizes, "open" not in faults, has_own_headers="headers" in faults)


def _faults(header: SampleEntry, handle: int, entries: list[Any], keys: list[int]) -> Iterator[Fault]:
    """What keeps each key frame from being a clean cut."""
    for key in keys:
        following = entries[key + 1] if key + 1 < len(entries) else None
        yield header.fault(_head(handle, entries[key]), _head(handle, following) if following else b"")


def _head(handle: int, entry: Any) -> bytes:
    return os.pread(handle, min(entry.size, LOOK_BYTES), entry.pos)
