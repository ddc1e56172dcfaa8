"""Films whose every frame carries its own number, and the reading of it back: nothing lost, doubled or misplaced."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av

BITS = 16
CLOCK_HZ = 90_000


def numbered_film(
    ffmpeg: str,
    path: Path,
    *,
    seconds: float,
    size: str = "1280x720",
    fps: str = "30000/1001",
    filled_to: str = "",
) -> Path:
    """Sixteen bars show the frame's number in binary, the leftmost bar is the lowest bit. `filled_to`: a rate such as
    8M that is kept with bytes that say nothing, which cost nothing to make.
    """
    filled = ["-b:v", filled_to, "-minrate", filled_to, "-maxrate", filled_to, "-bufsize", filled_to]
    filled += ["-x264-params", "nal-hrd=cbr:filler=1"]
    picture = (
        f"color=black:s=64x36:r={fps}:d={seconds},geq=lum='235*mod(floor(N/pow(2\\,floor(X*{BITS}/W)))\\,2)'"
    )
    argv = [
        *(ffmpeg, "-nostdin", "-v", "error", "-f", "lavfi", "-i", f"{picture}:cb=128:cr=128"),
        *("-f", "lavfi", "-i", f"sine=f=440:r=48000:d={seconds}"),
        *("-vf", f"scale={size.replace('x', ':')}:flags=neighbor,format=yuv420p"),
        *("-c:v", "libx264", "-preset", "ultrafast", "-bf", "2", "-g", "50", "-c:a", "aac", "-b:a", "64k"),
        *(filled if filled_to else ()),
        *("-movflags", "+faststart", str(path)),
    ]
    subprocess.run(argv, check=True, timeout=120)
    return path


@dataclass(frozen=True, slots=True)
class Shown:
    """What a decoder makes of a rendition: the number on each picture, and its time in ticks of 90 kHz."""

    numbers: list[int]
    times: list[int]


def shown(segments: list[Path], joined: Path) -> Shown:
    """Decode segments as one stream, in order."""
    return numbers_in(join(segments, joined))


def ticks(time_s: Fraction) -> int:
    """On the clock of MPEG-TS. Half a tick goes up, as ffmpeg rounds it."""
    return int(time_s * CLOCK_HZ + Fraction(1, 2))


def numbers_in(film: Path) -> Shown:
    numbers, times = [], []
    with av.open(str(film)) as container:
        for frame in container.decode(container.streams.video[0]):
            numbers.append(_number(frame))
            times.append(ticks(frame.pts * frame.time_base))
    return Shown(numbers, times)


def join(segments: list[Path], joined: Path) -> Path:
    """One film of segments of one rendition; in CMAF its header, which all of them share, comes first."""
    header = segments[0].with_name("init.mp4")
    parts = [header, *segments] if segments[0].suffix == ".m4s" else segments
    joined.write_bytes(b"".join(part.read_bytes() for part in parts))
    return joined


def decoder_words(ffmpeg: str, film: Path) -> str:
    """What a strict decoder complains about; empty when it is content."""
    argv = [ffmpeg, "-nostdin", "-hide_banner", "-v", "warning", "-i", str(film), "-f", "null", "-"]
    done = subprocess.run(argv, check=False, capture_output=True, text=True, timeout=120)
    return done.stderr.strip()


def audio_times(segments: list[Path], joined: Path) -> list[int]:
    """Start of every AAC packet, in samples from the first."""
    join(segments, joined)
    with av.open(str(joined)) as container:
        stream = container.streams.audio[0]
        times = [float(p.pts * p.time_base) for p in container.demux(stream) if p.pts is not None]
        return [round((time - times[0]) * stream.sample_rate) for time in times]


def _number(frame: av.VideoFrame) -> int:
    plane = frame.planes[0]
    row = bytes(plane)[plane.line_size * (frame.height // 2) :][: frame.width]
    bar = frame.width / BITS
    return sum(1 << bit for bit in range(BITS) if row[int((bit + 0.5) * bar)] > 117)
