"""The rungs, and which of them fit a source."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from .model import AudioTrack, Source


@dataclass(frozen=True, slots=True)
class Rung:
    """One step of the ladder: lines of the short side, and the most it may cost, in bits per second."""

    name: str
    lines: int
    max_bitrate_bps: int


LADDER = (
    Rung("2160p", 2160, 15_000_000),
    Rung("1440p", 1440, 8_000_000),
    Rung("1080p", 1080, 5_000_000),
    Rung("720p", 720, 2_500_000),
    Rung("480p", 480, 1_000_000),
    Rung("360p", 360, 600_000),
)

# x264 quality per preset: slower presets reach the same picture at a higher number (measured: about 3 from
# veryfast to medium), so the number moves with the preset.
CRF_BY_PRESET = {
    "ultrafast": 21,
    "superfast": 22,
    "veryfast": 23,
    "faster": 25,
    "fast": 25,
    "medium": 26,
    "slow": 26,
    "slower": 26,
    "veryslow": 26,
}

# Newer codecs need fewer bits for the same picture: the rung's most, as a part of H.264's.
RATE_PART = {"h264": Fraction(1), "hevc": Fraction(13, 20), "av1": Fraction(11, 20)}


def rate_of(rung: Rung, codec: str) -> int:
    """The most a rung may cost in a codec, in bits per second."""
    return int(rung.max_bitrate_bps * RATE_PART[codec])


# Audio is encoded once and shared by all rungs: the rate of the highest rung decides.
AUDIO_BPS_ABOVE_1080 = 192_000
AUDIO_BPS = 128_000
AUDIO_BPS_BELOW_720 = 96_000


# A film without picture: rates of its sound, highest first. Our AAC encoder needs half as much for one channel.
SOUND_LADDER_BPS = {1: (96_000, 48_000), 2: (192_000, 128_000, 64_000)}


def sound_rates(track: AudioTrack) -> tuple[int, ...]:
    """Those below the source and the one just above it, highest first: a second lossy coding needs some room, and no
    more makes it better.
    """
    ladder = SOUND_LADDER_BPS[min(2, track.channels)]
    source_bps = track.bitrate_bps or ladder[0]
    useful = [rate for rate, below in zip(ladder, (*ladder[1:], 0), strict=True) if below < source_bps]
    return tuple(useful) or ladder[-1:]


def ladder_lines(source: Source) -> Fraction:
    """The short side the ladder is measured by. A wide film (1920x800) counts as the 1080 it was cut from."""
    if source.width > source.height:
        return max(Fraction(source.height), Fraction(source.width * 9, 16))
    return Fraction(source.short_side)


def fitting_rungs(source: Source, ladder: tuple[Rung, ...] = LADDER) -> tuple[Rung, ...]:
    """The rungs at or below the source, highest first; a source below all of them gets the lowest, never enlarged."""
    fitting = tuple(rung for rung in ladder if rung.lines <= ladder_lines(source))
    return fitting or ladder[-1:]


def size_on(rung: Rung, source: Source) -> tuple[int, int]:
    """Width and height of the source on this rung: even, same shape, never larger than the source."""
    scale = min(Fraction(1), Fraction(rung.lines) / ladder_lines(source))
    return _even(source.width * scale, source.width), _even(source.height * scale, source.height)


def audio_bitrate(top: Rung) -> int:
    if top.lines > 1080:
        return AUDIO_BPS_ABOVE_1080
    return AUDIO_BPS if top.lines >= 720 else AUDIO_BPS_BELOW_720


def _even(length: Fraction, most: int) -> int:
    nearest = round(length / 2) * 2
    return max(2, nearest if nearest <= most else nearest - 2)
