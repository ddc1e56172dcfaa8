"""The names that workers of an existing installation give to their files: these and no others are taken.

MPEG-TS  720p.m3u8          720p_0000.ts
CMAF     720p/stream.m3u8   720p/seg_0000.m4s   720p/init.mp4
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

from encoder.model import Container
from encoder.names import CMAF

QUALITIES = ("2160p", "1440p", "1080p", "720p", "480p", "360p", "original")
MASTER, THUMBNAIL, MANIFEST = "master.m3u8", "thumbnail.jpg", "manifest.mpd"
EXTRAS = (MASTER, THUMBNAIL, MANIFEST)

_QUALITY = f"(?P<quality>{'|'.join(QUALITIES)})"
_NAME = re.compile(
    rf"{_QUALITY}(?:(?P<ts>_(?P<ts_index>[0-9]{{4,6}})\.ts|\.m3u8)"
    r"|/(?P<cmaf>seg_(?P<m4s_index>[0-9]{4,6})\.m4s|init\.mp4|stream\.m3u8))",
    re.ASCII,
)


class Role(StrEnum):
    SEGMENT = "segment"
    INIT = "init"
    PLAYLIST = "playlist"
    EXTRA = "extra"  # of the whole film: its poster, and playlists that we write ourselves


@dataclass(frozen=True, slots=True)
class ForeignName:
    """What a name stands for. `index` is that of a segment."""

    name: str
    role: Role
    quality: str = ""
    container: Container = "ts"
    index: int = 0

    @property
    def is_canonical(self) -> bool:
        """A number has one spelling: 0001 and 00001 would be two files of one segment."""
        digits = re.search(r"[0-9]+(?=\.)", self.name)
        return self.role is not Role.SEGMENT or (digits is not None and digits[0] == f"{self.index:04d}")


def read_name(name: str) -> ForeignName | None:
    """None for every name that is not one of ours to take."""
    if name in EXTRAS:
        return ForeignName(name, Role.EXTRA)
    match = _NAME.fullmatch(name)
    if match is None:
        return None
    container: Container = CMAF if match["cmaf"] else "ts"
    number = match["ts_index"] or match["m4s_index"]
    role = Role.SEGMENT if number else Role.INIT if name.endswith(".mp4") else Role.PLAYLIST
    found = ForeignName(name, role, match["quality"], container, int(number or 0))
    return found if found.is_canonical else None
