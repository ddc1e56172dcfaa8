"""The picture that stands for sound: its cover, or else its waveform. Argument lists; both write one JPEG file."""

from __future__ import annotations

from pathlib import Path

from .inputs import Origin, source_input
from .limits import COVER_CODECS
from .stills import JPEG_COLOURS

WIDTH, HEIGHT = 1280, 720  # a poster's box, as films have it

# Tokens of the dark page, which stand out on the light one as well: accent-soft and accent.
GROUND, BAR = "0x12393A", "0x63C9C0"
BARS, BAR_WIDTH, GAP = 96, 7, 5
SPAN = BARS * (BAR_WIDTH + GAP)
TALLEST = 600
MOST_S = 3600  # of a longer recording the first hour is drawn: decoding all of it would take minutes


def cover_command(ffmpeg: str, source: Origin, out: Path) -> list[str]:
    """The cover as large as fits, on the ground: never stretched, and what is transparent shows the ground."""
    fit = f"scale={WIDTH}:{HEIGHT}:force_original_aspect_ratio=decrease:flags=lanczos"
    chain = [
        f"[0:v:0]scale=iw*sar:ih,setsar=1,{fit},format=gbrap[cover]",
        f"{_ground()}[cover]overlay=(W-w)/2:(H-h)/2:format=gbrp:shortest=1,{_jpeg()}",
    ]
    return [*_preamble(ffmpeg), *_read(source), *_write(chain, out)]


def waveform_command(ffmpeg: str, source: Origin, track: int, out: Path) -> list[str]:
    """A bar for each part of the sound, as loud as it is on average; the cube root lets quiet speech be seen."""
    draw = f"showwavespic=s={BARS}x{TALLEST}:colors={BAR}:scale=cbrt:draw=full"
    widen = f"scale={SPAN}:{TALLEST}:flags=neighbor,format=gbrap"
    left, top = (WIDTH - SPAN) // 2, (HEIGHT - TALLEST) // 2
    # One pass of a grid whose rows lie outside the picture cuts the bars apart.
    gaps = f"drawgrid=x={left + BAR_WIDTH}:y=-{GAP}:w={BAR_WIDTH + GAP}:h={4 * HEIGHT}:t={GAP}:c={GROUND}"
    chain = [
        f"[0:a:{track}]aformat=channel_layouts=mono,{draw},{widen}[bars]",
        f"{_ground()}[bars]overlay={left}:{top}:format=gbrp:shortest=1,{gaps},{_jpeg()}",
    ]
    return [*_preamble(ffmpeg), "-t", str(MOST_S), *_read(source), *_write(chain, out)]


def _ground() -> str:
    return f"color={GROUND}:s={WIDTH}x{HEIGHT},format=gbrp[ground];[ground]"


def _jpeg() -> str:
    return f"scale={JPEG_COLOURS},format=yuvj420p[poster]"


def _preamble(ffmpeg: str) -> list[str]:
    return [ffmpeg, "-nostdin", "-hide_banner", "-loglevel", "warning", "-progress", "pipe:1"]


def _read(source: Origin) -> list[str]:
    return ["-threads", "1", *source_input(source, COVER_CODECS)]


def _write(chain: list[str], out: Path) -> list[str]:
    head = ["-filter_complex", ";".join(chain), "-map", "[poster]", "-map_metadata", "-1"]
    return [*head, "-frames:v", "1", "-q:v", "3", "-y", str(out)]
