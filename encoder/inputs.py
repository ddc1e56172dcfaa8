"""How ffmpeg gets at a source that a stranger uploaded, and what it may open on that file's behalf."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from .limits import AUDIO_CODECS, MAX_PIXELS, VIDEO_CODECS

# Only these demuxers may open what a stranger uploaded: playlists and lists of files could reach other files.
INPUT_FORMATS = "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,mp3,flac,ogg,wav"


@dataclass(frozen=True, slots=True)
class Loopback:
    """Address of a server inside this process that answers ranges of one source."""

    url: str


Origin = Path | Loopback

# What is read must come over a line first, so ffmpeg shall take little that it does not need: a longer jump is a new
# request (by default the bytes between are read and thrown away, as many as a socket holds), and the kernel holds
# little for it (on loopback it would take megabytes ahead).
READ_THROUGH_BYTES = 64 * 1024
RECEIVE_BYTES = 256 * 1024


def source_input(origin: Origin, more_codecs: frozenset[str] = frozenset()) -> list[str]:
    """From the fence to `-i`: nothing but that source may be opened, and only what we take on."""
    return [
        *_way_to(origin),
        *("-format_whitelist", INPUT_FORMATS),
        *("-codec_whitelist", ",".join(sorted(VIDEO_CODECS | AUDIO_CODECS | more_codecs))),
        *("-max_pixels", str(MAX_PIXELS)),
        *("-i", f"file:{origin}" if isinstance(origin, Path) else origin.url),
    ]


def _way_to(origin: Origin) -> list[str]:
    """A file opens no connection. What comes by a connection opens no file, and our server sends nobody elsewhere."""
    if isinstance(origin, Path):
        return ["-protocol_whitelist", "file"]
    economy = ("-short_seek_size", str(READ_THROUGH_BYTES), "-recv_buffer_size", str(RECEIVE_BYTES))
    return ["-protocol_whitelist", "http,tcp", *economy]
