"""Media and master playlists (RFC 8216) as text. Written from facts, never taken from a worker."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

AUDIO_GROUP = "sound"
INSIDE_GROUP = "inside"  # sound that comes with the pictures, where other rungs have theirs apart


@dataclass(frozen=True, slots=True)
class Entry:
    """One segment. `init_uri`: its header, in CMAF."""

    uri: str
    duration_s: float
    init_uri: str = ""


@dataclass(frozen=True, slots=True)
class Variant:
    """A rung's line in the master playlist. Rates include the sound played with it, in bits per second. A rung of
    sound alone has no size. `has_sound_inside`: its segments carry their sound beside the picture.
    """

    uri: str
    width: int
    height: int
    fps: Fraction
    codecs: tuple[str, ...]
    peak_bps: int
    average_bps: int | None = None
    has_sound_inside: bool = False
    is_sdr: bool = True  # False: nobody knows


@dataclass(frozen=True, slots=True)
class AudioTrackLine:
    uri: str | None  # None: the sound of the variants themselves
    name: str
    channels: int
    language: str | None = None


def media_playlist(
    entries: Sequence[Entry], *, target_s: float, is_whole: bool, is_independent: bool = True
) -> str:
    """A VOD playlist when whole, else one that only grows (EVENT). `target_s` must hold for segments to come too."""
    lines = [
        "#EXTM3U",
        "#EXT-X-VERSION:6",
        f"#EXT-X-TARGETDURATION:{target_duration(target_s, entries)}",
        "#EXT-X-MEDIA-SEQUENCE:0",
        f"#EXT-X-PLAYLIST-TYPE:{'VOD' if is_whole else 'EVENT'}",
        *(["#EXT-X-INDEPENDENT-SEGMENTS"] if is_independent else []),
    ]
    if not is_whole:
        # A growing list looks live to many players: start at the beginning all the same.
        lines.append("#EXT-X-START:TIME-OFFSET=0,PRECISE=YES")
    init_uri = ""
    for entry in entries:
        if entry.init_uri != init_uri:
            init_uri = entry.init_uri
            lines.append(f'#EXT-X-MAP:URI="{init_uri}"')
        lines += [f"#EXTINF:{entry.duration_s:.6f},", entry.uri]
    if is_whole:
        lines.append("#EXT-X-ENDLIST")
    return "\n".join([*lines, ""])


def target_duration(target_s: float, entries: Iterable[Entry]) -> int:
    """The longest segment, rounded to the nearest second (RFC 8216 4.3.3.1), never less than one."""
    longest = max([target_s, *(entry.duration_s for entry in entries)])
    return max(1, math.floor(longest + 0.5))


def peak_bps(segments: Sequence[tuple[float, int]]) -> int:
    """BANDWIDTH as RFC 8216 4.1 counts it: the highest rate of neighbouring segments that together last 0.5 to 1.5
    target durations. `segments` are (seconds, bytes) in order; a film shorter than that has the rate it has.
    """
    entries = [Entry("", duration_s) for duration_s, _size in segments]
    target = target_duration(0, entries) if entries else 1
    rates = []
    for first in range(len(segments)):
        length_s, size = 0.0, 0
        for duration_s, more in segments[first:]:
            length_s, size = length_s + duration_s, size + more
            if length_s > target * 1.5:
                break
            if length_s >= target / 2:
                rates.append(size * 8 / length_s)
    whole_s = sum(entry.duration_s for entry in entries)
    return math.ceil(max(rates, default=sum(size for _s, size in segments) * 8 / whole_s if whole_s else 0))


def master_playlist(
    variants: Sequence[Variant], audio: Sequence[AudioTrackLine], *, is_independent: bool = True
) -> str:
    """Highest rung first. Sound is a group of its own, shared by all rungs that do not carry theirs themselves."""
    lines = ["#EXTM3U", "#EXT-X-VERSION:6", *(["#EXT-X-INDEPENDENT-SEGMENTS"] if is_independent else [])]
    for position, track in enumerate(audio):
        lines.append(_audio_line(track, AUDIO_GROUP, is_default=position == 0))
    if audio and any(variant.has_sound_inside for variant in variants):
        lines.append(_audio_line(replace(audio[0], uri=None), INSIDE_GROUP, is_default=True))
    for variant in variants:
        group = INSIDE_GROUP if variant.has_sound_inside else AUDIO_GROUP
        lines += [_variant_line(variant, group if audio else None), variant.uri]
    return "\n".join([*lines, ""])


def _audio_line(track: AudioTrackLine, group: str, *, is_default: bool) -> str:
    fields = [
        "TYPE=AUDIO",
        f'GROUP-ID="{group}"',
        f'NAME="{_quoted(track.name)}"',
        *([f'LANGUAGE="{_quoted(track.language)}"'] if track.language else []),
        f"DEFAULT={'YES' if is_default else 'NO'}",
        "AUTOSELECT=YES",
        f'CHANNELS="{track.channels}"',
        *([f'URI="{_quoted(track.uri)}"'] if track.uri else []),
    ]
    return "#EXT-X-MEDIA:" + ",".join(fields)


def _variant_line(variant: Variant, audio_group: str | None) -> str:
    fields = [
        f"BANDWIDTH={variant.peak_bps}",
        *([f"AVERAGE-BANDWIDTH={variant.average_bps}"] if variant.average_bps else []),
        f'CODECS="{",".join(variant.codecs)}"',
        *(_picture_fields(variant) if variant.width else ()),
        *([f'AUDIO="{audio_group}"'] if audio_group else []),
    ]
    return "#EXT-X-STREAM-INF:" + ",".join(fields)


def _picture_fields(variant: Variant) -> tuple[str, ...]:
    size = f"RESOLUTION={variant.width}x{variant.height}"
    return (size, f"FRAME-RATE={float(variant.fps):.3f}", *(["VIDEO-RANGE=SDR"] if variant.is_sdr else []))


def _quoted(text: str) -> str:
    """A quoted string may hold neither quotes nor line ends."""
    return text.replace('"', "'").replace("\n", " ").replace("\r", " ")
