"""Reads the facts of one media file with PyAV. Runs only inside the limited child that `probe` starts."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import av.error

from encoder import limits
from encoder.errors import SourceUnreadable
from encoder.grid import REORDER, Grid, find_grid
from encoder.layout import check_file, human_time, truncated
from encoder.model import AudioTrack, Source
from encoder.sniff import NOTHING_KEPT, Container

WINDOW_FRAMES = 240  # looked at in one place when the container has no table of frames
WINDOW_PACKETS = 4000
WINDOW_BYTES = 64 << 20
TAIL_S = 10.0  # how far before the promised end the search for the true end begins
FIRST_FRAME_PACKETS = 300
COUNT_ALL_S = 8.0  # seconds spent on counting through a file that does not say how long it is
SEEKABLE_BYTES = 256 << 20  # a Matroska file without cues is read from end to end by a seek: only when small
CUES_ID = b"\x1c\x53\xbb\x6b"
MISSING_S, MISSING_PART = 2.0, 0.02  # a film may end this much before its header says

PRIMARIES = {
    1: "bt709", 4: "bt470m", 5: "bt470bg", 6: "smpte170m", 7: "smpte240m", 8: "film", 9: "bt2020",
    10: "smpte428", 11: "smpte431", 12: "smpte432", 22: "ebu3213",
}  # fmt: skip
TRANSFERS = {
    1: "bt709", 4: "gamma22", 5: "gamma28", 6: "smpte170m", 7: "smpte240m", 8: "linear", 11: "iec61966-2-4",
    13: "iec61966-2-1", 14: "bt2020-10", 15: "bt2020-12", 16: "smpte2084", 18: "arib-std-b67",
}  # fmt: skip
SPACES = {
    0: "gbr", 1: "bt709", 4: "fcc", 5: "bt470bg", 6: "smpte170m", 7: "smpte240m", 8: "ycgco", 9: "bt2020nc",
    10: "bt2020c", 14: "ictcp",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Timeline:
    """When the pictures are on show. `frame_count` is exact or None."""

    duration_s: float
    grid: Grid
    frame_count: int | None


@dataclass(frozen=True, slots=True)
class Look:
    """What only a decoded picture tells."""

    width: int
    height: int
    rotation: int
    is_interlaced: bool
    pix_fmt: str


def refuse(code: str, sentence: str) -> SourceUnreadable:
    return SourceUnreadable(f"{sentence} {NOTHING_KEPT}", code=code)


def damaged() -> SourceUnreadable:
    return refuse("unreadable_media", "The inside of this file is damaged. Export it again.")


def read_facts(path: Path) -> Source:
    """Raises SourceUnreadable with a code and a sentence for a person."""
    container = check_file(path)
    try:
        with av.open(
            f"file:{path}", metadata_errors="replace", container_options=_options(container)
        ) as media:
            return _facts(media, path, container)
    except av.error.FFmpegError as error:
        raise damaged() from error


def _options(container: Container) -> dict[str, str]:
    return {
        "protocol_whitelist": "file",
        "format_whitelist": container.demuxers,
        "codec_whitelist": ",".join(sorted(limits.VIDEO_CODECS | limits.AUDIO_CODECS)),
        "max_streams": str(limits.MAX_STREAMS),
    }


def _facts(media: Any, path: Path, container: Container) -> Source:
    video = _picture_stream(media)
    size = path.stat().st_size
    timeline = _timeline(media, video, path, container)
    _check_duration(timeline.duration_s)
    look = _look(media, video)
    sar = _sar(video)
    width, height = _shown_size(look, sar)
    codec = video.codec_context
    return Source(
        container=container.name,
        extension=container.extension,
        size_bytes=size,
        duration_s=timeline.duration_s,
        width=width,
        height=height,
        coded_width=look.width,
        coded_height=look.height,
        fps=timeline.grid.fps,
        video_codec=codec.codec.canonical_name,
        pix_fmt=look.pix_fmt,
        frame_count=timeline.frame_count if timeline.grid.is_source_grid else None,
        rotation=look.rotation,
        sar=sar,
        is_vfr=timeline.grid.is_vfr or timeline.grid.source_fps < timeline.grid.fps,
        is_interlaced=look.is_interlaced,
        bit_depth=max((part.bits for part in av.VideoFormat(look.pix_fmt).components), default=8),
        profile=codec.profile,
        level=codec.level if codec.level > 0 else None,
        color_primaries=PRIMARIES.get(codec.color_primaries),
        color_transfer=TRANSFERS.get(codec.color_trc),
        color_space=SPACES.get(codec.colorspace),
        bitrate_bps=codec.bit_rate or round(size * 8 / timeline.duration_s),
        start_time_s=float((video.start_time or 0) * video.time_base),
        audio=tuple(_audio_tracks(media)),
    )


def _picture_stream(media: Any) -> Any:
    if not len(media.streams):
        raise damaged()
    moving = [stream for stream in media.streams.video if not _is_cover(stream)]
    if not moving:
        raise refuse("no_video", "There is no moving picture in this file, so there is nothing to watch.")
    video = moving[0]
    name = video.codec_context.codec.canonical_name if video.codec_context else None
    if name is None:
        raise refuse(
            "unsupported_codec", "The picture in this file is stored in a way that cannot be read here."
        )
    if name not in limits.VIDEO_CODECS:
        raise refuse(
            "unsupported_codec",
            f"The picture in this file is {name}, which is not accepted. Export it as H.264.",
        )
    return video


def _is_cover(stream: Any) -> bool:
    return bool(stream.disposition & av.stream.Disposition.attached_pic)


def _check_duration(duration_s: float) -> None:
    if duration_s <= 0:
        raise refuse("no_frames", "This file has no picture that could be shown. Export it again.")
    if duration_s > limits.MAX_DURATION_S:
        raise refuse(
            "duration_limit", f"This file says it is {human_time(duration_s)} long. The most is 20 hours."
        )


# -- time ---------------------------------------------------------------------------------------------------------


def _timeline(media: Any, video: Any, path: Path, container: Container) -> Timeline:
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
        raise _stops_at(max(0.0, (whole_until - shown[0]) * tick), promised)
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
        raise _stops_at(last_s, promised_end_s)
    return (end_s or promised_end_s), sorted(pictures)


def _can_seek(path: Path, container: Container) -> bool:
    if container.name not in ("mkv", "webm") or path.stat().st_size <= SEEKABLE_BYTES:
        return True
    with path.open("rb") as file:
        return CUES_ID in file.read(4096)


def _stops_at(reached_s: float, promised_s: float) -> SourceUnreadable:
    return truncated(f"This file stops at {human_time(reached_s)} of {human_time(promised_s)}.")


# -- picture and sound --------------------------------------------------------------------------------------------


def _look(media: Any, video: Any) -> Look:
    frame = _first_frame(media, video)
    _check_size(frame.width, frame.height)
    order = video.codec_context.field_order
    return Look(
        width=frame.width,
        height=frame.height,
        rotation=round(frame.rotation) % 360,
        is_interlaced=bool(frame.interlaced_frame) or order in (2, 3, 4, 5),
        pix_fmt=frame.format.name,
    )


def _check_size(width: int, height: int) -> None:
    if min(width, height) < limits.MIN_SIDE:
        raise refuse("picture_size", f"The picture is {width}×{height} pixels, too small to be shown.")
    if max(width, height) > limits.MAX_SIDE or width * height > limits.MAX_PIXELS:
        raise refuse("picture_size", f"The picture is {width}×{height} pixels, larger than can be encoded.")


def _first_frame(media: Any, video: Any) -> Any:
    _check_size(video.codec_context.width or limits.MIN_SIDE, video.codec_context.height or limits.MIN_SIDE)
    video.codec_context.thread_count = 1
    media.seek(0)
    for number, packet in enumerate(media.demux(video)):
        try:
            frames = video.codec_context.decode(packet)
            if not frames and packet.is_keyframe and packet.size:
                frames = video.codec_context.decode(
                    None
                )  # one picture is enough: do not wait for its neighbours
                video.codec_context.flush_buffers()
        except av.error.FFmpegError:
            frames = []
        if frames:
            return frames[0]
        if number > FIRST_FRAME_PACKETS:
            break
    raise refuse("unreadable_media", "No picture in this file can be decoded. Export it again.")


def _sar(video: Any) -> Fraction:
    sar = video.sample_aspect_ratio
    return sar if sar and Fraction(1, 16) < sar < 16 else Fraction(1)


def _shown_size(look: Look, sar: Fraction) -> tuple[int, int]:
    width, height = max(1, round(look.width * sar)), look.height
    return (height, width) if look.rotation in (90, 270) else (width, height)


def _audio_tracks(media: Any) -> Iterator[AudioTrack]:
    for index, stream in enumerate(media.streams.audio):
        codec = stream.codec_context
        if codec is None or codec.codec.canonical_name not in limits.AUDIO_CODECS:
            continue
        if not codec.sample_rate or not codec.channels:
            continue
        yield AudioTrack(
            index=index,
            codec=codec.codec.canonical_name,
            channels=codec.channels,
            sample_rate=codec.sample_rate,
            language=_language(stream),
            duration_s=float(stream.duration * stream.time_base) if stream.duration else None,
        )


def _language(stream: Any) -> str | None:
    tag = (stream.language or "").strip().lower()
    return tag if tag and tag != "und" and tag.isascii() and len(tag) <= 16 else None
