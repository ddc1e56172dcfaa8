"""Facts of a source without a moving picture: music, a podcast, a radio play. Runs inside the probe's child."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av

from encoder import limits
from encoder.errors import SourceUnreadable
from encoder.model import AudioTrack, Source
from encoder.sniff import Container
from encoder.timeline import COUNT_ALL_S, MISSING_PART, MISSING_S, check_duration, refuse, stops_at

# The grid of a film without pictures is only a clock. With 25 steps a second every whole number of seconds is a whole
# number of steps, so that segments of 6 s are exactly that, and no more than 40 ms of silence round off the end.
GRID_FPS = Fraction(25)
CLOSE_S = 0.25  # a header this near to the packets knows more than they: which samples only warm a decoder up


def read_sound(media: Any, path: Path, container: Container, tracks: tuple[AudioTrack, ...]) -> Source:
    """`tracks`: those that can be decoded. Raises SourceUnreadable."""
    if not tracks:
        raise _without_sound(media)
    size = path.stat().st_size
    duration_s = _length_s(media, container, [media.streams.audio[track.index] for track in tracks])
    if duration_s <= 0:
        raise refuse("no_frames", "This file has no sound that could be played. Export it again.")
    check_duration(duration_s)
    whole_bps = round(size * 8 / duration_s)
    return Source(
        container=container.name,
        extension=container.extension,
        size_bytes=size,
        duration_s=duration_s,
        width=0,
        height=0,
        coded_width=0,
        coded_height=0,
        fps=GRID_FPS,
        video_codec="",
        pix_fmt="",
        bitrate_bps=whole_bps,
        audio=tuple(_with_rate(media, track, whole_bps, is_alone=len(tracks) == 1) for track in tracks),
        has_cover=bool(media.streams.video),
    )


def _with_rate(media: Any, track: AudioTrack, whole_bps: int, *, is_alone: bool) -> AudioTrack:
    """Matroska, Ogg and FLAC do not say a rate; then the file's own size does, where nothing else is in it."""
    said = media.streams.audio[track.index].codec_context.bit_rate
    return replace(track, bitrate_bps=said or (whole_bps if is_alone else None))


def _without_sound(media: Any) -> SourceUnreadable:
    streams = media.streams.audio
    if not streams:
        return refuse("no_media", "There is neither a moving picture nor sound in this file.")
    codec = streams[0].codec_context
    name = codec.codec.canonical_name if codec else None
    if name in limits.AUDIO_CODECS:
        return refuse("unreadable_media", "No sound in this file can be decoded. Export it again.")
    how = f"is {name}, which is not accepted" if name else "is stored in a way that cannot be read here"
    return refuse("unsupported_codec", f"The sound in this file {how}. Export it as MP3 or AAC.")


def _length_s(media: Any, container: Container, streams: list[Any]) -> float:
    """From the file's first sound to its last. Headers lie: packets are counted, a million in three seconds."""
    promised_s: float | None = (
        media.duration / av.time_base if media.duration and media.duration > 0 else None
    )
    counted_s = _counted_s(media, streams)
    if counted_s is None:
        if promised_s is None:
            raise refuse("duration_unknown", "This file does not say how long it is. Export it again.")
        return promised_s
    if promised_s is None:
        return counted_s
    missing_s = promised_s - counted_s
    # MP3 has no header of its own: what is promised is guessed from the first frames, or left from before a cut.
    if container.name != "mp3" and missing_s > max(MISSING_S, promised_s * MISSING_PART):
        raise stops_at(counted_s, promised_s)
    return min(counted_s, promised_s) if abs(missing_s) < CLOSE_S else counted_s


def _counted_s(media: Any, streams: list[Any]) -> float | None:
    """None when there are too many packets to look at."""
    begin = Fraction(media.start_time, av.time_base) if media.start_time is not None else None
    last, deadline = Fraction(0), time.monotonic() + COUNT_ALL_S
    for start, end in _spans(media, streams):
        begin = start if begin is None else begin
        last = max(last, end)
        if time.monotonic() > deadline:
            return None
    return float(last - begin) if begin is not None else 0.0


def _spans(media: Any, streams: list[Any]) -> Iterator[tuple[Fraction, Fraction]]:
    for packet in media.demux(streams):
        if packet.pts is not None:
            yield packet.pts * packet.time_base, (packet.pts + (packet.duration or 0)) * packet.time_base
