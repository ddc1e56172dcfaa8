"""One MPEG-TS segment taken apart (ISO/IEC 13818-1): its timestamps, its pictures or its sound, and its faults."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from .avc import SPS, Sps, nal_units, read_sps

PACKET = 188
CLOCK_HZ = 90_000
AAC_SAMPLES = 1024
RATES = (96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000, 7350)
H264, AAC = 0x1B, 0x0F


@dataclass(frozen=True, slots=True)
class Sound:
    """What every ADTS header says: `mp4a.40.N`, sample rate, channels."""

    codec: str
    rate: int
    channels: int


@dataclass(slots=True)
class Segment:
    """`pts` in display order; `counters` are the first and last continuity counter of each PID."""

    size: int
    pts: list[int] = field(default_factory=list)
    dts: list[int] = field(default_factory=list)
    first_units: list[int] = field(default_factory=list)
    sps: set[Sps] = field(default_factory=set)
    sounds: set[Sound] = field(default_factory=set)
    packets: int = 0
    counters: dict[int, tuple[int, int]] = field(default_factory=dict)
    restarts: set[int] = field(default_factory=set)
    faults: list[str] = field(default_factory=list)
    begins_with_key: bool | None = None  # said by a container that knows; None: `first_units` tell
    held_s: float | None = None  # of sound, said by a container that knows

    @property
    def is_video(self) -> bool:
        return bool(self.sps) or bool(self.first_units)

    @property
    def units(self) -> int:
        """Pictures, or packets of sound; of these a timestamp may stand for several."""
        return len(self.pts) if self.is_video else self.packets

    @property
    def samples_s(self) -> float:
        if self.held_s is not None:
            return self.held_s
        rate = next(iter(self.sounds)).rate if self.sounds else 0
        return self.packets * AAC_SAMPLES / rate if rate else 0.0


def read_segment(data: bytes) -> Segment:
    segment = Segment(len(data))
    if not data or len(data) % PACKET or any(data[at] != 0x47 for at in range(0, len(data), PACKET)):
        segment.faults.append("not whole MPEG-TS packets")
        return segment
    tables = _Tables()
    elementary: list[tuple[bytes, bytearray]] = []
    for pid, is_start, payload in _payloads(data, segment):
        if pid == tables.stream_pid:
            _collect(elementary, is_start, payload)
        else:
            tables.take(pid, payload)
    if tables.kind not in (H264, AAC):
        segment.faults.append("no program map with H.264 or AAC")
        return segment
    _read_stream(segment, tables.kind, elementary)
    return segment


@dataclass(slots=True)
class _Tables:
    map_pid: int = -1
    stream_pid: int = -1
    kind: int = -1

    def take(self, pid: int, payload: bytes) -> None:
        section = payload[1 + payload[0] :] if payload else b""
        if pid == 0 and len(section) >= 12:
            self.map_pid = (section[10] & 0x1F) << 8 | section[11]
        elif pid == self.map_pid and len(section) >= 17:
            at = 12 + ((section[10] & 0xF) << 8 | section[11])
            self.kind = section[at]
            self.stream_pid = (section[at + 1] & 0x1F) << 8 | section[at + 2]


def _payloads(data: bytes, segment: Segment) -> Iterator[tuple[int, bool, bytes]]:
    for at in range(0, len(data), PACKET):
        packet = data[at : at + PACKET]
        pid = (packet[1] & 0x1F) << 8 | packet[2]
        has_adaptation, has_payload = packet[3] & 0x20, packet[3] & 0x10
        body = packet[5 + packet[4] :] if has_adaptation else packet[4:]
        is_restart = bool(has_adaptation and packet[4] and packet[5] & 0x80)
        if has_payload and pid != 0x1FFF:
            _count(segment, pid, packet[3] & 0xF, is_restart)
            yield pid, bool(packet[1] & 0x40), body


def _count(segment: Segment, pid: int, counter: int, is_restart: bool) -> None:
    first, last = segment.counters.get(pid, (counter, -1))
    if last < 0 and is_restart:
        segment.restarts.add(pid)
    if last >= 0 and counter != (last + 1) % 16 and not is_restart:
        segment.faults.append(f"continuity counter of PID {pid:#x} jumps from {last} to {counter}")
    segment.counters[pid] = (first, counter)


def _collect(elementary: list[tuple[bytes, bytearray]], is_start: bool, payload: bytes) -> None:
    if is_start:
        head = payload[: 9 + payload[8]]
        elementary.append((head, bytearray(payload[len(head) :])))
    elif elementary:
        elementary[-1][1].extend(payload)


def _read_stream(segment: Segment, kind: int, elementary: list[tuple[bytes, bytearray]]) -> None:
    if not elementary:
        segment.faults.append("no elementary stream")
        return
    for head, _body in elementary:
        if not head[7] & 0x80:
            segment.faults.append("a unit without a timestamp")
            return
        segment.pts.append(_stamp(head[9:14]))
        segment.dts.append(_stamp(head[14:19]) if head[7] & 0x40 else segment.pts[-1])
    if kind == H264:
        _read_pictures(segment, [bytes(body) for _head, body in elementary])
    else:
        _read_sound(segment, b"".join(bytes(body) for _head, body in elementary))


def _stamp(field_: bytes) -> int:
    return (
        (field_[0] >> 1 & 7) << 30 | field_[1] << 22 | field_[2] >> 1 << 15 | field_[3] << 7 | field_[4] >> 1
    )


def _read_pictures(segment: Segment, pictures: list[bytes]) -> None:
    if any(late < early for early, late in zip(segment.dts, segment.dts[1:], strict=False)):
        segment.faults.append("decode times go backwards")
    if any(dts > pts for pts, dts in zip(segment.pts, segment.dts, strict=True)):
        segment.faults.append("a picture is due before it is decoded")
    segment.pts.sort()
    for number, picture in enumerate(pictures):
        units = [unit for unit in nal_units(picture) if unit]
        if number == 0:
            segment.first_units = [unit[0] & 0x1F for unit in units]
        segment.sps |= {read_sps(unit) for unit in units if unit[0] & 0x1F == SPS}


def _read_sound(segment: Segment, stream: bytes) -> None:
    at = 0
    while at + 7 <= len(stream):
        head = stream[at : at + 7]
        length = (head[3] & 3) << 11 | head[4] << 3 | head[5] >> 5
        if head[0] != 0xFF or head[1] & 0xF6 != 0xF0 or length < 7 or head[2] >> 2 & 0xF >= len(RATES):
            segment.faults.append(f"no ADTS header at byte {at}")
            return
        channels = (head[2] & 1) << 2 | head[3] >> 6
        segment.sounds.add(Sound(f"mp4a.40.{(head[2] >> 6) + 1}", RATES[head[2] >> 2 & 0xF], channels))
        segment.packets += 1
        at += length
    if at != len(stream):
        segment.faults.append("the last ADTS packet is cut off")
