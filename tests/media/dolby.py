"""Dolby Vision as phones write it: plain HDR, a box that names the profile, and a unit of data beside each picture."""

from __future__ import annotations

import re
import struct
from pathlib import Path

from tests.media.scene import Kitchen

PATH = (b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stsd", b"hvc1")
BEFORE_BOXES = {b"stsd": 8, b"hvc1": 78}  # bytes of its own in front of the boxes inside it
RPU = b"\x7c\x01\x19\x08\x09" + bytes(n * 29 % 200 + 4 for n in range(60)) + b"\x80"  # unit type 62


def dolby_vision(kitchen: Kitchen, base: Path, compatibility: int) -> Path:
    """Profile 8 over `base`, a film without reordered pictures; 1 stands for HDR10, 4 for HLG."""
    stream = kitchen.run(f"{base.stem}.hevc", "-i", str(base), "-map", "0:v", "-c", "copy")
    units = kitchen.folder / f"{base.stem}-rpu.hevc"
    units.write_bytes(with_rpus(stream.read_bytes()))
    inputs = ("-framerate", "25", "-i", str(units), "-i", str(base), "-map", "0:v", "-map", "1:a")
    film = kitchen.run(f"{base.stem}-dv.mp4", *inputs, "-c", "copy", "-tag:v", "hvc1")
    box = b"dvvC" + bytes([1, 0, 8 << 1, 0x2D, compatibility << 4]) + bytes(19)
    path = kitchen.folder / f"{base.stem}-dv8.mp4"
    path.write_bytes(_inserted(film.read_bytes(), PATH, struct.pack(">I", 4 + len(box)) + box))
    return path


def with_rpus(stream: bytes) -> bytes:
    """One behind each slice; pictures here have one slice."""
    units = re.split(rb"\x00?\x00\x00\x01", stream)[1:]
    parts = []
    for unit in units:
        parts.append(unit)
        if unit[0] >> 1 & 0x3F < 32:
            parts.append(RPU)
    return b"".join(b"\0\0\0\1" + part for part in parts)


def _inserted(data: bytes, path: tuple[bytes, ...], box: bytes) -> bytes:
    """`box` as the last one inside the box at `path`; what lies in front of `moov` keeps its place."""
    if not path:
        return data + box
    out, at, is_done = b"", 0, False
    while at < len(data):
        size, kind = struct.unpack_from(">I4s", data, at)
        body = data[at + 8 : at + size]
        if kind == path[0] and not is_done and path[-1] in data[at : at + size]:
            own = BEFORE_BOXES.get(kind, 0)
            body, is_done = body[:own] + _inserted(body[own:], path[1:], box), True
        out += struct.pack(">I4s", 8 + len(body), kind) + body
        at += size
    return out
