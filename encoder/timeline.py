"""How long a film is and on which frame grid, found without reading all of it. Runs inside the probe's child."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av

from encoder import limits
from encoder.boxes import human_time, truncated
from encoder.errors import SourceUnreadable
from encoder.grid import REORDER, Grid, find_grid
from encoder.sniff import NOTHING_KEPT, Container

WINDOW_FRAMES = 240  # looked at in one place when the container has no table of frames
WINDOW_PACKETS = 4000
WINDOW_BYTES = 64 << 20
TAIL_S = 10.0  # how far before the promised end the search for the true end begins
COUNT_ALL_S = 8.0  # seconds spent on counting through a file that does not say how long it is
SEEKABLE_BYTES = 256 << 20  # a Matroska file without cues is read from end to end by a seek: only when small
CUES_ID = b"\x1c\x53\xbb\x6b"
MISSING_S, MISSING_PART = 2.0, 0.02  # a film may end this much before its header says


def refuse(code: str, sentence: str) -> SourceUnreadable:
    return SourceUnreadable(f"{sentence} {NOTHING_KEPT}", code=code)


@dataclass(frozen=True, slots=True)
class Timeline:
    """When the pictures are on show. `frame_count` is exact or None."""

    duration_s: float
    grid: Grid
    frame_count: int | None


def check_duration(duration_s: float) -> None:
    if duration_s <= 0:
        raise refuse("no_frames", "This file has no picture that could be shown. Export it again.")
    if duration_s > limits.MAX_DURATION_S:
        raise refuse(
            "duration_limit", f"This file says it is {human_time(duration_s)} long. The most is 20 hours."
        )


def read_timeline(media: Any, video: Any, path: Path, container: Container) -> Timeline:
    if container.name in ("mp4", "mov", "avi"):
        exact = _from_index(video, path.stat().st_size)
        if exact is not None:
            return exact
    promised = _promised(media, video)
    if promised is None:
        return _by_counting(media, video)
    return _by_looking(media, video, promised, _can_seek(path, container))


def _hints(video: Any) -> list[Fraction]:
    rates = (video.average_rate, video.base_rate, video.guessed_rate)
    return [rate for rate in rates if rate and 0 < rate <= limits.MAX_FPS]


def _promised(media: Any, video: Any) -> float | None:
    if video.duration and video.duration > 0:
        return float(video.duration * video.time_base)
    return media.duration / av.time_base if media.duration and media.duration > 0 else None


def _from_index(video: Any, size_bytes: int) -> Timeline | None:
    """From the container's own table of frames; None when there is none or it covers a part only."""
    shown: list[int] = []
    whole_until = None
    for entry in video.index_entries:
        if whole_until is None and entry.pos + entry.size > size_bytes:
            whole_until = entry.timestamp
        if not entry.is_discard:
            shown.append(entry.timestamp)
    if not shown:
        return None
    tick = float(video.time_base)
    promised = float(video.duration * video.time_base) if video.duration else 0.0
    if whole_until is not None:
        raise stops_at(max(0.0, (whole_until - shown[0]) * tick), promised)
    times = [stamp * tick for stamp in shown]
    if promised - (times[-1] - times[0]) > max(MISSING_S, promised * MISSING_PART) and not video.frames:
        return None  # a fragmented file whose later fragments are not in the table
    grid = find_grid([times], tick, _hints(video))
    if not grid.is_vfr:
        return Timeline(float(len(shown) / grid.source_fps), grid, len(shown))
    return Timeline(max(promised, times[-1] - times[0]), grid, None)


def _by_counting(media: Any, video: Any) -> Timeline:
    """For recordings that were never closed: they do not say how long they are, so every packet is looked at."""
    times, deadline = [], time.monotonic() + COUNT_ALL_S
    for packet in media.demux(video):
        if packet.pts is not None:
            times.append(packet.pts)
        if time.monotonic() > deadline:
            raise refuse(
                "duration_unknown", "This file does not say how long it is. Remux or export it again."
            )
    return _from_times(video, sorted(times))


def _from_times(video: Any, ticks: list[int]) -> Timeline:
    if not ticks:
        return Timeline(0.0, Grid(Fraction(25), is_vfr=False), None)
    tick = float(video.time_base)
    times = [stamp * tick for stamp in ticks]
    grid = find_grid([times], tick, _hints(video))
    if not grid.is_vfr:
        return Timeline(float(len(times) / grid.source_fps), grid, len(times))
    return Timeline(times[-1] - times[0] + float(1 / grid.source_fps), grid, None)


def _by_looking(media: Any, video: Any, promised_s: float, can_seek: bool) -> Timeline:
    """No table of frames: look at the beginning, and at the end when it can be reached without reading it all."""
    head, reached_end = _window(media, video)
    if reached_end:
        return _from_times(video, head)
    tick = float(video.time_base)
    start_s = float((video.start_time or 0) * video.time_base)
    windows = [[stamp * tick for stamp in head[:-REORDER]]]
    end_s = promised_s
    if can_seek:
        end_s, tail = _true_end(media, video, start_s + promised_s)
        end_s -= start_s
        windows.append([stamp * tick for stamp in tail])
    media.seek(0)
    return Timeline(end_s, find_grid(windows, tick, _hints(video)), None)


def _window(media: Any, video: Any) -> tuple[list[int], bool]:
    """Presentation times of the next pictures, in order; True when the file ended before the window was full."""
    times: list[int] = []
    for packet in _some_packets(media, [video]):
        if packet.pts is not None:
            times.append(packet.pts)
        if len(times) >= WINDOW_FRAMES:
            return sorted(times), False
    return sorted(times), len(times) < WINDOW_FRAMES


def _some_packets(media: Any, streams: list[Any]) -> Iterator[Any]:
    size = 0
    for number, packet in enumerate(media.demux(streams)):
        size += packet.size
        if number > WINDOW_PACKETS or size > WINDOW_BYTES:
            return
        yield packet


def _true_end(media: Any, video: Any, promised_end_s: float) -> tuple[float, list[int]]:
    """When the last picture ends, and the times near it. Raises when nothing at all reaches the promised end."""
    media.seek(max(0, round((promised_end_s - TAIL_S) * av.time_base)))
    pictures: list[int] = []
    end_s = last_s = 0.0
    for packet in media.demux([stream for stream in media.streams if stream.type in ("video", "audio")]):
        if packet.pts is None:
            continue
        end = float((packet.pts + (packet.duration or 0)) * packet.time_base)
        last_s = max(last_s, end)
        if packet.stream.index == video.index:
            pictures.append(packet.pts)
            end_s = max(end_s, end)
    missing = promised_end_s - last_s
    if missing > max(MISSING_S, promised_end_s * MISSING_PART):
        raise stops_at(last_s, promised_end_s)
    return (end_s or promised_end_s), sorted(pictures)


def _can_seek(path: Path, container: Container) -> bool:
    if container.name not in ("mkv", "webm") or path.stat().st_size <= SEEKABLE_BYTES:
        return True
    with path.open("rb") as file:
        return CUES_ID in file.read(4096)


def stops_at(reached_s: float, promised_s: float) -> SourceUnreadable:
    return truncated(f"This file stops at {human_time(reached_s)} of {human_time(promised_s)}.")
