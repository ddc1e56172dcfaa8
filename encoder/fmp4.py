"""What is really in a fragmented MP4: its header (init segment) and its media segments, read box by box.

ISO/IEC 14496-12 (boxes), 14496-15 (avcC, hvcC), the AV1 binding (av1C), 14496-1 (esds).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from .errors import OutputInvalid

VISUAL_ENTRY, SOUND_ENTRY = 78, 28  # bytes of a sample entry before the boxes inside it
NOT_SYNC = 0x10000  # sample_is_non_sync_sample
# Flags of trun and tfhd, each saying that a field is there.
DATA_OFFSET, FIRST_FLAGS, DURATIONS, SIZES, FLAGS, COMPOSITION = 0x1, 0x4, 0x100, 0x200, 0x400, 0x800
BASE_OFFSET, DESCRIPTION, DEFAULT_DURATION, DEFAULT_SIZE, DEFAULT_FLAGS = 0x1, 0x2, 0x8, 0x10, 0x20
#: (flag, bytes) of the fields of tfhd, in their order.
FRAGMENT_FIELDS = (
    (BASE_OFFSET, 8),
    (DESCRIPTION, 4),
    (DEFAULT_DURATION, 4),
    (DEFAULT_SIZE, 4),
    (DEFAULT_FLAGS, 4),
)


@dataclass(frozen=True, slots=True)
class InitFacts:
    """`codecs` by RFC 6381; `edit_ticks`: where on the track's own clock the film's zero lies."""

    codecs: str
    timescale: int
    edit_ticks: int
    is_video: bool
    sample_rate: int = 0
    channels: int = 0


@dataclass(frozen=True, slots=True)
class FragmentFacts:
    """`first_pts`: ticks of the film's clock at which the first sample is shown; `units`: pictures or packets."""

    units: int
    first_pts: int
    length: int
    starts_with_key: bool


def read_init(data: bytes) -> InitFacts:
    """Raises OutputInvalid when this is not the header of a film with one track."""
    try:
        track = next(_find(data, b"moov", b"trak"))
        timescale = _timescale(next(_find(track, b"mdia", b"mdhd")))
        entries = next(_find(track, b"mdia", b"minf", b"stbl", b"stsd"))
        kind, entry = next(_boxes(entries[8:]))
        edits = list(_find(track, b"edts", b"elst"))
        edit = _media_time(edits[0]) if edits else 0
        if kind == b"mp4a":
            channels, rate = struct.unpack(">16xH6xI", entry[:SOUND_ENTRY])[0:2]
            return InitFacts(_aac_codec(entry[SOUND_ENTRY:]), timescale, edit, False, rate >> 16, channels)
        return InitFacts(_picture_codec(kind, entry[VISUAL_ENTRY:]), timescale, edit, True)
    except (StopIteration, struct.error, IndexError) as error:
        raise OutputInvalid("The header of a rendition cannot be read.", code="bad_init") from error


def read_fragment(data: bytes, init: InitFacts) -> FragmentFacts:
    """Raises OutputInvalid when this is not one whole fragment."""
    try:
        kinds = [kind for kind, _body in _boxes(data)]
        if kinds.count(b"moof") != 1 or kinds[-2:] != [b"moof", b"mdat"]:
            raise OutputInvalid("A segment is not one whole fragment.", code="not_a_fragment")
        traf = next(_find(data, b"moof", b"traf"))
        decode_time = _decode_time(next(_find(traf, b"tfdt")))
        defaults = _defaults(next(_find(traf, b"tfhd")))
        runs = [_samples(run, *defaults) for run in _find(traf, b"trun")]
        samples = [sample for run in runs for sample in run]
        _duration, shift, flags = samples[0]
    except (StopIteration, struct.error, IndexError) as error:
        raise OutputInvalid("A segment is damaged.", code="not_a_fragment") from error
    return FragmentFacts(
        units=len(samples),
        first_pts=decode_time + shift - init.edit_ticks,
        length=sum(duration for duration, _shift, _flags in samples),
        starts_with_key=not flags & NOT_SYNC,
    )


def _boxes(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """(type, body) of the boxes in `data`. Raises OutputInvalid where one does not fit."""
    at = 0
    while at < len(data):
        if at + 8 > len(data):
            raise OutputInvalid("A segment ends in the middle of a box.", code="not_a_fragment")
        size, kind = struct.unpack_from(">I4s", data, at)
        head = 8
        if size == 1:
            (size,) = struct.unpack_from(">Q", data, at + 8)
            head = 16
        if size < head or at + size > len(data):
            raise OutputInvalid("A segment ends in the middle of a box.", code="not_a_fragment")
        yield kind, data[at + head : at + size]
        at += size


def _find(data: bytes, *path: bytes) -> Iterator[bytes]:
    for kind, body in _boxes(data):
        if kind == path[0]:
            yield from _find(body, *path[1:]) if path[1:] else iter((body,))


def _timescale(mdhd: bytes) -> int:
    return int(struct.unpack_from(">I", mdhd, 20 if mdhd[0] else 12)[0])


def _media_time(elst: bytes) -> int:
    """Of the last edit; an empty one before it (media time -1) only delays."""
    is_long, count = elst[0], struct.unpack_from(">I", elst, 4)[0]
    size, form = (20, ">Qq") if is_long else (12, ">Ii")
    times = [struct.unpack_from(form, elst, 8 + n * size)[1] for n in range(count)]
    return next((int(time) for time in times if time >= 0), 0)


def _decode_time(tfdt: bytes) -> int:
    return int(struct.unpack_from(">Q" if tfdt[0] else ">I", tfdt, 4)[0])


def _defaults(tfhd: bytes) -> tuple[int, int]:
    """(duration, flags) of samples that do not say their own."""
    present = int.from_bytes(tfhd[1:4], "big")
    at, found = 8, {DEFAULT_DURATION: 0, DEFAULT_FLAGS: 0}
    for flag, size in FRAGMENT_FIELDS:
        if present & flag:
            found[flag] = int.from_bytes(tfhd[at : at + size], "big")
            at += size
    return found[DEFAULT_DURATION], found[DEFAULT_FLAGS]


def _samples(trun: bytes, duration: int, flags: int) -> list[tuple[int, int, int]]:
    """(duration, composition offset, flags) of each sample."""
    is_signed, present = trun[0], int.from_bytes(trun[1:4], "big")
    (count,) = struct.unpack_from(">I", trun, 4)
    at = 8 + 4 * bool(present & DATA_OFFSET)
    first_flags = flags
    if present & FIRST_FLAGS:
        (first_flags,) = struct.unpack_from(">I", trun, at)
        at += 4
    fields = [flag for flag in (DURATIONS, SIZES, FLAGS, COMPOSITION) if present & flag]
    form = ">" + "".join("i" if flag == COMPOSITION and is_signed else "I" for flag in fields)
    if not fields:
        return [(duration, 0, first_flags if n == 0 else flags) for n in range(count)]
    rows = list(struct.iter_unpack(form, trun[at : at + count * 4 * len(fields)]))
    if len(rows) != count:
        raise OutputInvalid("A segment is damaged.", code="not_a_fragment")
    found = []
    for number, row in enumerate(rows):
        said = dict(zip(fields, row, strict=True))
        own = first_flags if number == 0 else flags
        found.append((said.get(DURATIONS, duration), said.get(COMPOSITION, 0), said.get(FLAGS, own)))
    return found


def _picture_codec(kind: bytes, inside: bytes) -> str:
    boxes = dict(_boxes(inside))
    if kind == b"avc1" and b"avcC" in boxes:
        return f"avc1.{boxes[b'avcC'][1:4].hex().upper()}"
    if kind == b"hvc1" and b"hvcC" in boxes:
        return hevc_codec(boxes[b"hvcC"])
    if kind == b"av01" and b"av1C" in boxes:
        return av1_codec(boxes[b"av1C"])
    raise OutputInvalid("A rendition is in no codec that is known here.", code="bad_init")


def hevc_codec(box: bytes) -> str:
    """`hvc1.PROFILE.COMPATIBILITY.TIER+LEVEL.CONSTRAINTS`, ISO/IEC 14496-15 annex E.3."""
    space, tier, profile = box[1] >> 6, box[1] >> 5 & 1, box[1] & 0x1F
    # The compatibility flags are written with their bits in reverse.
    compatible = int(f"{int.from_bytes(box[2:6], 'big'):032b}"[::-1], 2)
    constraints = box[6:12].rstrip(b"\0")
    parts = [f"hvc1.{['', 'A', 'B', 'C'][space]}{profile}", f"{compatible:X}", f"{'LH'[tier]}{box[12]}"]
    return ".".join([*parts, *(f"{byte:X}" for byte in constraints)])


def av1_codec(box: bytes) -> str:
    """`av01.PROFILE.LEVEL+TIER.BITS`"""
    profile, level = box[1] >> 5, box[1] & 0x1F
    tier, high_depth, twelve = box[2] >> 7, box[2] >> 6 & 1, box[2] >> 5 & 1
    bits = 12 if twelve else 10 if high_depth else 8
    return f"av01.{profile}.{level:02d}{'MH'[tier]}.{bits:02d}"


def _aac_codec(inside: bytes) -> str:
    """`mp4a.40.N` from the audio object type in the elementary stream descriptor."""
    esds = dict(_boxes(inside))[b"esds"]
    at = esds.index(
        b"\x05", 4 + 20
    )  # DecoderSpecificInfo stands behind 20 bytes of other descriptors at least
    at += 1
    while esds[at] & 0x80:  # its length, seven bits a byte
        at += 1
    return f"mp4a.40.{esds[at + 1] >> 3}"
