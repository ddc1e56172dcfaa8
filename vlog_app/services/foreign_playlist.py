"""What a worker's playlist may say. It is compared with the files and then forgotten: players get ours."""

from __future__ import annotations

from pathlib import Path

MOST_BYTES = 8 << 20


def check_playlist(path: Path, segments: list[str]) -> str:
    """What is wrong with a media playlist, as the end of a sentence; empty when it names exactly `segments`."""
    if path.stat().st_size > MOST_BYTES:
        return "is far too long"
    try:
        lines = [line.strip() for line in path.read_text(encoding="utf-8").splitlines()]
    except UnicodeDecodeError:
        return "is not text"
    if not lines or lines[0] != "#EXTM3U":
        return "is not a playlist"
    if any(line.startswith("#EXT-X-KEY") and "METHOD=NONE" not in line for line in lines):
        return "is of an encrypted film"
    if "#EXT-X-ENDLIST" not in lines:
        return "has no end"
    listed = [line for line in lines if line and not line.startswith("#")]
    return "" if listed == segments else "does not name the segments that came with it"
