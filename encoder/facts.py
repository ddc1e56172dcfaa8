"""Reads the facts of one media file with PyAV. Runs only inside the limited child that `probe` starts."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import av.error

from encoder import limits
from encoder.boxes import check_file
from encoder.errors import SourceUnreadable
from encoder.keyframes import read_keyframes
from encoder.model import AudioTrack, Source
from encoder.sniff import Container
from encoder.sound_facts import read_sound
from encoder.timeline import check_duration, read_timeline, refuse

FIRST_FRAME_PACKETS = 300
FULL_RANGE = 2  # AVCOL_RANGE_JPEG

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


def damaged() -> SourceUnreadable:
    return refuse("unreadable_media", "The inside of this file is damaged. Export it again.")


@dataclass(frozen=True, slots=True)
class Look:
    """What only a decoded picture tells."""

    width: int
    height: int
    rotation: int
    is_interlaced: bool
    pix_fmt: str
    full_range: bool


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
    if len(media.streams) and not _moving(media):
        return read_sound(media, path, container, tuple(_audio_tracks(media)))
    video = _picture_stream(media)
    size = path.stat().st_size
    timeline = read_timeline(media, video, path, container)
    check_duration(timeline.duration_s)
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
        full_range=look.full_range,
        bitrate_bps=codec.bit_rate or round(size * 8 / timeline.duration_s),
        start_time_s=float((video.start_time or 0) * video.time_base),
        picture_after_s=_after(media, video),
        audio=tuple(_audio_tracks(media)),
        keyframes=read_keyframes(video, path) if container.name in ("mp4", "mov") else None,
    )


def _after(media: Any, stream: Any) -> float:
    if media.start_time is None or stream.start_time is None:
        return 0.0
    after = float(stream.start_time * stream.time_base) - float(media.start_time / av.time_base)
    return max(0.0, round(after, 6))


def _picture_stream(media: Any) -> Any:
    if not len(media.streams):
        raise damaged()
    video = _moving(media)[0]
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


def _moving(media: Any) -> list[Any]:
    return [stream for stream in media.streams.video if not _is_cover(stream)]


def _is_cover(stream: Any) -> bool:
    return bool(stream.disposition & av.stream.Disposition.attached_pic)


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
        full_range=frame.color_range == FULL_RANGE or frame.format.name.startswith("yuvj"),
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
            duration_s=_track_length(media, stream),
            after_s=_after(media, stream),
        )


def _track_length(media: Any, stream: Any) -> float | None:
    """Matroska keeps the end of a track in a tag, or only that of the longest one."""
    if stream.duration:
        return float(stream.duration * stream.time_base)
    starts_s = float((stream.start_time or 0) * stream.time_base)
    tag = re.fullmatch(r"(\d+):(\d\d):(\d\d(?:\.\d+)?)", stream.metadata.get("DURATION", ""))
    if tag:
        return int(tag[1]) * 3600 + int(tag[2]) * 60 + float(tag[3]) - starts_s
    is_plain = all(other.type in ("video", "audio") for other in media.streams)
    return float(media.duration / av.time_base) - starts_s if is_plain and media.duration else None


def _language(stream: Any) -> str | None:
    tag = (stream.language or "").strip().lower()
    return tag if tag and tag != "und" and tag.isascii() and len(tag) <= 16 else None
