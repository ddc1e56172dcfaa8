"""One CMAF segment with its header, read by libav (another reader than the one under test), and the outermost boxes."""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import av
import av.error

from .avc import Sps
from .mpegts import CLOCK_HZ, Segment, Sound

ALLOWED = ("styp", "sidx", "prft", "emsg", "moof", "mdat")
COLOURS = ("color_primaries", "color_trc", "colorspace")


def read_fragment(init: bytes, data: bytes) -> Segment:
    segment = Segment(len(data))
    kinds = list(_boxes(data))
    if kinds.count("moof") != 1 or kinds[-2:] != ["moof", "mdat"] or set(kinds) - set(ALLOWED):
        segment.faults.append(f"boxes {kinds} are not one fragment")
        return segment
    if list(_boxes(init))[:2] != ["ftyp", "moov"]:
        segment.faults.append("its header is no ftyp and moov")
        return segment
    try:
        with av.open(io.BytesIO(init + data), format="mp4") as media:
            _read(segment, media, media.streams[0])
    except (av.error.FFmpegError, IndexError) as error:
        segment.faults.append(f"cannot be read: {error}")
    return segment


def _boxes(data: bytes) -> Iterator[str]:
    at = 0
    while at + 8 <= len(data):
        size, kind = struct.unpack_from(">I4s", data, at)
        if size < 8 or at + size > len(data):
            yield f"broken {kind!r}"
            return
        yield kind.decode("latin-1")
        at += size
    if at != len(data):
        yield "rest"


def _read(segment: Segment, media: Any, stream: Any) -> None:
    packets = [packet for packet in media.demux(stream) if packet.size]
    ticks = stream.time_base * CLOCK_HZ
    segment.pts = sorted(_round(packet.pts * ticks) for packet in packets)
    segment.dts = [_round(packet.dts * ticks) for packet in packets]
    if any(late <= early for early, late in zip(segment.dts, segment.dts[1:], strict=False)):
        segment.faults.append("decode times go backwards")
    context = stream.codec_context
    if stream.type == "audio":
        segment.packets = len(packets)
        segment.sounds = {Sound("mp4a.40.2", context.sample_rate, context.layout.nb_channels)}
        length = sum(packet.duration for packet in packets) * stream.time_base
        segment.held_s = float(length)
        return
    segment.begins_with_key = packets[0].is_keyframe
    segment.sps = {_described(context, next(iter(_frames(context, packets))))}


def _frames(context: Any, packets: list[Any]) -> Iterator[Any]:
    for packet in packets:
        yield from context.decode(packet)
    yield from context.decode(None)


def _described(context: Any, frame: Any) -> Sps:
    colours = tuple(int(getattr(frame, name, 2)) for name in COLOURS)
    return Sps(
        codec=codec_string(context),
        width=frame.width,
        height=frame.height,
        full_range=int(frame.color_range) == 2,
        colours=(colours[0], colours[1], colours[2]),
    )


def codec_string(context: Any) -> str:
    """RFC 6381 from the decoder configuration record."""
    box = bytes(context.extradata)
    if context.codec.id == av.Codec("h264", "r").id:
        return f"avc1.{box[1:4].hex().upper()}"
    if context.codec.id == av.Codec("hevc", "r").id:
        flags = f"{int.from_bytes(box[2:6], 'big'):032b}"[::-1]
        rest = "".join(f".{byte:X}" for byte in box[6:12].rstrip(b"\0"))
        return f"hvc1.{box[1] & 31}.{int(flags, 2):X}.{'LH'[box[1] >> 5 & 1]}{box[12]}{rest}"
    depth = 10 if box[2] & 0x40 else 8
    return f"av01.{box[1] >> 5}.{box[1] & 31:02d}{'MH'[box[2] >> 7]}.{depth:02d}"


def _round(value: Fraction) -> int:
    return round(value)
