"""What is whole on disk: which segments ffmpeg has closed, and what is really in one.

A segment is believed after its MPEG-TS packets or MP4 boxes were read: the number of pictures, the first timestamp, the
codec string of its own parameter sets. Reading 6 s of 1080p takes about 10 ms.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from .command import AAC_FRAME, CLOCK_HZ
from .errors import OutputInvalid
from .fmp4 import read_fragment, read_init
from .model import EncodePlan, RenditionPlan, Segment
from .names import CMAF

PACKET = 188
SYNC = 0x47
CLOCK_WRAP = 1 << 33
TS_DELAY = 126_000  # ffmpeg's MPEG-TS muxer shifts every stream by 1.4 s
WRAP_S = Fraction(CLOCK_WRAP, CLOCK_HZ)
TOLERANCE_S = Fraction(3, 2 * CLOCK_HZ)  # a timestamp may be rounded by one tick
FRAME_COUNT = "frame_count"  # error code of a segment with too few or too many pictures
VIDEO_PID = 0x100  # ffmpeg numbers elementary streams from here; ours has one per file
HEAD_PACKETS = 24  # parameter sets stand in the first 4 kB, behind what an encoder says of itself
ADTS_HEADER = 7  # bytes; a packet is never shorter
ADTS_RATES = (96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000, 7350)


@dataclass(frozen=True, slots=True)
class TsFacts:
    """`units`: pictures of a video segment, AAC packets of an audio one."""

    units: int
    first_pts: int
    codecs: str
    sample_rate: int = 0


def closed_segments(out: Path, rendition: str) -> list[tuple[int, Path]]:
    """Segments that ffmpeg's own playlist lists: (index, file), in order."""
    try:
        text = (out / f"{rendition}.m3u8").read_text()
    except FileNotFoundError:
        return []
    names = re.findall(rf"^(?:.*/)?({re.escape(rendition)}_(\d+)\.(?:ts|m4s))$", text, re.MULTILINE)
    return [(int(index), out / name) for name, index in names]


def init_beside(out: Path, plan: EncodePlan, rendition: str) -> Path | None:
    """The header ffmpeg wrote for the segments in `out`; None in MPEG-TS, where every segment carries its own."""
    return out / f"{rendition}_init.mp4" if plan.container == CMAF else None


def measure(
    path: Path, plan: EncodePlan, row: RenditionPlan, index: int, init: Path | None = None
) -> Segment:
    """Read one finished file and hold it against the plan. `init`: its header, in CMAF. Raises OutputInvalid."""
    data = path.read_bytes()
    head = init.read_bytes() if init else b""
    facts = _read_cmaf(data, head) if plan.container == CMAF else _read_mpegts(data)
    if row.is_video:
        _check_video(facts, plan, row, index)
    return Segment(
        rendition=row.name,
        index=index,
        duration_s=float(plan.duration_of(index) if row.is_video else facts.length_s),
        size_bytes=len(data),
        sha256=hashlib.sha256(data).hexdigest(),
        frames=facts.units,
        codecs=facts.codecs,
        init_sha256=hashlib.sha256(head).hexdigest() if head else "",
    )


@dataclass(frozen=True, slots=True)
class Facts:
    """What a segment holds, whatever its container. Times in seconds on the film's clock."""

    units: int
    start_s: Fraction
    length_s: Fraction
    codecs: str


def _read_mpegts(data: bytes) -> Facts:
    facts = read_ts(data)
    length_s = Fraction(facts.units * AAC_FRAME, facts.sample_rate) if facts.sample_rate else Fraction(0)
    return Facts(facts.units, Fraction(facts.first_pts - TS_DELAY, CLOCK_HZ), length_s, facts.codecs)


def _read_cmaf(data: bytes, head: bytes) -> Facts:
    init = read_init(head)
    facts = read_fragment(data, init)
    if not facts.starts_with_key:
        raise OutputInvalid("A segment does not begin with a key frame.", code="key_frame")
    scale = init.timescale
    return Facts(facts.units, Fraction(facts.first_pts, scale), Fraction(facts.length, scale), init.codecs)


def _check_video(facts: Facts, plan: EncodePlan, row: RenditionPlan, index: int) -> None:
    expected = plan.frames_in(index)
    if facts.units != expected:
        raise OutputInvalid(
            f"Segment {index} of {row.name} came out with {facts.units} frames instead of {expected}.",
            code=FRAME_COUNT,
        )
    # MPEG-TS begins its clock anew after 26 hours.
    late_s = (facts.start_s - plan.start_of(index) + WRAP_S / 2) % WRAP_S - WRAP_S / 2
    if abs(late_s) > TOLERANCE_S:
        raise OutputInvalid(
            f"Segment {index} of {row.name} starts at the wrong time.",
            code="timestamp",
            detail=f"{float(late_s):+.6f} s from where it should",
        )


def read_ts(data: bytes) -> TsFacts:
    """Raises OutputInvalid when this is not whole MPEG-TS with one H.264 or AAC stream."""
    if not data or len(data) % PACKET or set(data[::PACKET]) != {SYNC}:
        raise OutputInvalid("A segment is not whole MPEG-TS.", code="not_mpegts")
    starts = _unit_starts(data)
    if not starts:
        raise OutputInvalid("A segment holds no stream.", code="empty_segment")
    first = _payload(data, starts[0])
    pts = _pts(first)
    if first[3] >> 4 == 0xE:  # stream_id 0xE0..0xEF: video
        return TsFacts(len(starts), pts, _avc_codec(data, starts[0]))
    packets, rate = _count_adts(_elementary(data))
    return TsFacts(packets, pts, "mp4a.40.2", rate)


def _unit_starts(data: bytes) -> list[int]:
    """Offsets of packets that begin a PES packet of our stream."""
    flags = data[1::PACKET]
    low = data[2::PACKET]
    want = 0x40 | VIDEO_PID >> 8
    return [
        match.start() * PACKET
        for match in re.finditer(re.escape(bytes([want])), flags)
        if low[match.start()] == VIDEO_PID & 0xFF
    ]


def _payload(data: bytes, offset: int) -> bytes:
    packet = data[offset : offset + PACKET]
    has_adaptation = packet[3] & 0x20
    return packet[5 + packet[4] :] if has_adaptation else packet[4:]


def _pts(pes: bytes) -> int:
    if len(pes) < 14 or pes[:3] != b"\0\0\1" or not pes[7] & 0x80:
        raise OutputInvalid("A segment has no timestamp.", code="timestamp")
    p = pes[9:14]
    return (p[0] >> 1 & 7) << 30 | p[1] << 22 | (p[2] >> 1) << 15 | p[3] << 7 | p[4] >> 1


def _avc_codec(data: bytes, offset: int) -> str:
    """`avc1.PPCCLL` from the sequence parameter set that every segment carries in its first picture."""
    last = min(len(data), offset + HEAD_PACKETS * PACKET)
    head = b"".join(_payload(data, at) for at in range(offset, last, PACKET))
    match = re.search(rb"\x00\x00\x01[\x07\x27\x47\x67](...)", head, re.DOTALL)
    if match is None:
        raise OutputInvalid("A segment has no parameter sets.", code="no_parameter_sets")
    return f"avc1.{match.group(1).hex().upper()}"


def _elementary(data: bytes) -> bytes:
    """The payload of our stream without PES headers."""
    parts = []
    for offset in range(0, len(data), PACKET):
        if (data[offset + 1] & 0x1F, data[offset + 2]) != (VIDEO_PID >> 8, VIDEO_PID & 0xFF):
            continue
        if not data[offset + 3] & 0x10:
            continue
        payload = _payload(data, offset)
        is_start = data[offset + 1] & 0x40
        parts.append(payload[9 + (payload[8:9] or b"\0")[0] :] if is_start else payload)
    return b"".join(parts)


def _count_adts(stream: bytes) -> tuple[int, int]:
    """Number of AAC packets, and the sample rate."""
    count, at, rate = 0, 0, 0
    while at + ADTS_HEADER <= len(stream):
        length = (stream[at + 3] & 3) << 11 | stream[at + 4] << 3 | stream[at + 5] >> 5
        which = stream[at + 2] >> 2 & 0xF
        is_packet = stream[at] == 0xFF and stream[at + 1] & 0xF0 == 0xF0
        if not is_packet or length < ADTS_HEADER or which >= len(ADTS_RATES):
            raise OutputInvalid("An audio segment is damaged.", code="adts")
        rate = ADTS_RATES[which]
        at += length
        count += 1
    if at != len(stream) or not count:
        raise OutputInvalid("An audio segment is damaged.", code="adts")
    return count, rate
