"""One rendition: its playlist against its segments."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

from .avc import IDR, PPS, SPS
from .findings import Finding
from .fmp4 import read_fragment
from .mpegts import CLOCK_HZ, Segment, read_segment
from .texts import Text, attributes, durations, read_text

EXTINF_S = 0.001  # how far a written duration may be off
SLICES = (1, 2, 3, 4, IDR)
TICKS = 2  # of 90 kHz: two roundings
BT709, UNTAGGED = (1, 1, 1), (2, 2, 2)


@dataclass(slots=True)
class Media:
    """A media playlist, what it says, and what its segments hold."""

    text: Text
    extinf: list[float]
    segments: list[Segment]
    findings: list[Finding] = field(default_factory=list)

    @property
    def name(self) -> str:
        return self.text.name

    @property
    def target(self) -> int:
        return self.text.number("EXT-X-TARGETDURATION") or 0

    @property
    def is_video(self) -> bool:
        return any(segment.is_video for segment in self.segments)

    @property
    def frames(self) -> int:
        return sum(len(segment.pts) for segment in self.segments)

    @property
    def frame_ticks(self) -> float | None:
        """Length of one picture, from the whole rendition; None when there is only one."""
        times = [stamp for segment in self.segments for stamp in segment.pts]
        return (times[-1] - times[0]) / (len(times) - 1) if len(times) > 1 else None

    @property
    def duration_s(self) -> float:
        """What the bytes hold, not what the playlist says."""
        if self.is_video:
            return self.frames * (self.frame_ticks or self.extinf[0] * CLOCK_HZ) / CLOCK_HZ
        return sum(segment.samples_s for segment in self.segments)

    @property
    def size(self) -> int:
        return sum(segment.size for segment in self.segments)

    @property
    def peak_bps(self) -> float:
        """RFC 8216 4.1: the highest rate of neighbouring segments that together last 0.5 to 1.5 targets; a film
        shorter than that has the rate it has.
        """
        rates = [self.size * 8 / max(sum(self.extinf), 0.001)] if sum(self.extinf) < self.target / 2 else []
        for first in range(len(self.segments)):
            length = size = 0.0
            for extinf, segment in zip(self.extinf[first:], self.segments[first:], strict=True):
                length, size = length + extinf, size + segment.size * 8
                if self.target / 2 <= length <= self.target * 1.5:
                    rates.append(size / length)
        return max(rates, default=0.0)

    def find(self, rule: str, what: str, index: int | None = None) -> None:
        where = self.name if index is None else f"{self.name}#{index}"
        self.findings.append(Finding(rule, where, what))


def read_media(folder: Path, name: str) -> Media | None:
    """None when the playlist is not there."""
    path = folder / name.partition("?")[0]
    if not path.is_file():
        return None
    text = read_text(str(path.relative_to(folder)), path.read_bytes(), is_master=False)
    media = Media(text, durations(text), [])
    headers = _headers(text)
    for number, (_value, uri) in enumerate(text.entries):
        file = path.parent / uri.partition("?")[0]
        header = path.parent / headers[number].partition("?")[0] if headers[number] else None
        if not file.is_file() or (header and not header.is_file()):
            media.find("missing_segment", f"{uri} or its header is not there", number)
            media.segments.append(Segment(0, faults=["missing"]))
        elif header:
            media.segments.append(read_fragment(header.read_bytes(), file.read_bytes()))
        else:
            media.segments.append(read_segment(file.read_bytes()))
    return media


def _headers(text: Text) -> list[str]:
    """For each segment the address of its EXT-X-MAP, "" before the first."""
    current, found = "", []
    for tag, value in text.tags:
        if tag == "EXT-X-MAP":
            current = attributes(text, value).get("URI", "").strip('"')
        elif tag == "EXTINF":
            found.append(current)
    return found


def check_media(media: Media, *, is_copy: bool = False, is_foreign: bool = False) -> None:
    _check_text(media)
    for number, segment in enumerate(media.segments):
        for fault in segment.faults:
            if fault != "missing":
                media.find("segment", fault, number)
    _check_seams(media)
    if media.is_video:
        _check_pictures(media)
        if not is_foreign:
            _check_look(media, is_copy=is_copy)
    else:
        _check_sound(media)


def _check_text(media: Media) -> None:
    text, whole = media.text, media.text.value("EXT-X-ENDLIST") is not None
    version = text.number("EXT-X-VERSION") or 1
    if version < (6 if text.value("EXT-X-MAP") else 3):  # decimal durations need 3, a map without I-frames 6
        media.find("version", f"version {version} has no decimal durations")
    if not media.target:
        media.find("target_duration", "there is no EXT-X-TARGETDURATION")
    if not media.segments:
        media.find("empty", "lists no segments")
    for number, length in enumerate(media.extinf):
        if math.floor(length + 0.5) > media.target:
            media.find("target_duration", f"{length} s is longer than the target {media.target}", number)
    kind = text.value("EXT-X-PLAYLIST-TYPE")
    if kind not in ("VOD", "EVENT") or (kind == "VOD") is not whole:
        media.find("playlist_type", f"type {kind}, {'with' if whole else 'without'} an end")
    if text.value("EXT-X-INDEPENDENT-SEGMENTS") is None:
        media.find("independent", "does not say that its segments are independent")
    if text.value("EXT-X-DISCONTINUITY") is not None:
        media.find("discontinuity", "one film on one clock has no discontinuities")
    if text.number("EXT-X-MEDIA-SEQUENCE") not in (None, 0):
        media.find("media_sequence", "a film that is kept whole begins with segment 0")


def _check_seams(media: Media) -> None:
    for number, (before, after) in enumerate(pairwise(media.segments), start=1):
        for pid in before.counters.keys() & after.counters.keys() - after.restarts:
            last, first = before.counters[pid][1], after.counters[pid][0]
            if first != (last + 1) % 16:
                media.find(
                    "continuity", f"PID {pid:#x} goes from {last} to {first} without saying so", number
                )
        if before.dts and after.dts and after.dts[0] <= before.dts[-1]:
            media.find("decode_times", "the segment is to be decoded before the one in front of it", number)


def _check_pictures(media: Media) -> None:
    step = media.frame_ticks
    parameters = {sps for segment in media.segments for sps in segment.sps}
    if len(parameters) != 1 and len(set(_headers(media.text))) == 1:
        media.find("parameter_sets", f"{len(parameters)} different sequence parameter sets in one rendition")
    for number, segment in enumerate(media.segments):
        if segment.pts and not _begins_anew(segment):
            units = segment.first_units[:6]
            media.find("key_frame", f"does not begin with parameter sets and an IDR picture: {units}", number)
        if step is None or not segment.pts:
            continue
        _check_length(media, number, len(segment.pts) * step / CLOCK_HZ)
    times = [stamp for segment in media.segments for stamp in segment.pts]
    for number, stamp in enumerate(times):
        if step is not None and abs(stamp - times[0] - number * step) > TICKS:
            media.find(
                "picture_times", f"picture {number} is {stamp - times[0] - number * step:+.0f} ticks off"
            )
            break


def _check_look(media: Media, *, is_copy: bool) -> None:
    """A copy may say nothing of its colours, and be out of shape by less than anybody sees: a rounded 16:9."""
    allowed, slack = ((BT709, UNTAGGED), 0.01) if is_copy else ((BT709,), 0.0)
    for sps in {sps for segment in media.segments for sps in segment.sps}:
        if sps.full_range or sps.colours not in allowed:
            media.find("colour", f"is tagged {sps.colours}, full range {sps.full_range}, and not BT.709")
        if sps.sar != (0, 1) and abs(sps.sar[0] / sps.sar[1] - 1) > slack:
            media.find("pixel_aspect", f"pixels are {sps.sar[0]}:{sps.sar[1]}")


def _begins_anew(segment: Segment) -> bool:
    """Parameter sets, then an IDR picture before any other one."""
    if segment.begins_with_key is not None:
        return segment.begins_with_key
    units = segment.first_units
    slices = [position for position, unit in enumerate(units) if unit in SLICES]
    return bool(slices) and units[slices[0]] == IDR and {SPS, PPS} <= set(units[: slices[0]])


def _check_sound(media: Media) -> None:
    sounds = {sound for segment in media.segments for sound in segment.sounds}
    if len(sounds) != 1:
        media.find("sound_format", f"{len(sounds)} formats of sound in one rendition")
    for number, segment in enumerate(media.segments):
        _check_length(media, number, segment.samples_s)
    for number, (before, after) in enumerate(pairwise(media.segments), start=1):
        if before.pts and after.pts:
            gap = after.pts[0] - before.pts[0] - before.samples_s * CLOCK_HZ
            if abs(gap) > TICKS:
                media.find("sound_times", f"begins {gap / 90:+.1f} ms from the end of the one before", number)


def _check_length(media: Media, number: int, held_s: float) -> None:
    if abs(media.extinf[number] - held_s) > EXTINF_S:
        media.find("extinf", f"says {media.extinf[number]} s and holds {held_s:.6f} s", number)
