"""What the files of a rendition are called, in each container, relative to the folder of the video.

ts     1080p.m3u8          1080p_0000.ts
cmaf   1080p/stream.m3u8   1080p/seg_0000.m4s   1080p/init.mp4
"""

from __future__ import annotations

from .model import Container

CMAF: Container = "cmaf"


def segment_name(container: Container, rendition: str, index: int) -> str:
    return f"{rendition}/seg_{index:04d}.m4s" if container == CMAF else f"{rendition}_{index:04d}.ts"


def playlist_name(container: Container, rendition: str) -> str:
    return f"{rendition}/stream.m3u8" if container == CMAF else f"{rendition}.m3u8"


def init_name(rendition: str, number: int) -> str:
    """CMAF only. Encoders that differ write different headers; the one that came first has number 0."""
    return f"{rendition}/init.mp4" if number == 0 else f"{rendition}/init_{number}.mp4"
