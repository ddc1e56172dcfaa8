"""Is the file whole? Walks the outermost boxes of a container and compares what they promise with what is there."""

from __future__ import annotations

import os
from typing import BinaryIO

from encoder.dolby import lacks_base_layer
from encoder.errors import SourceUnreadable
from encoder.sniff import (
    HEAD_BYTES,
    NOTHING_KEPT,
    Container,
    empty_file,
    head_boxes,
    read_ebml_id,
    read_vint,
    sniff,
    unsupported,
)
from encoder.sniff_sound import ID3_HEADER, has_frames, id3_length

MAX_BOXES = 200_000  # a two-hour fragmented film with one fragment a second has some 15,000
MAX_TRACK_BOXES = 1000  # siblings inside one box
TO_THE_DESCRIPTION = (b"trak", b"mdia", b"minf", b"stbl", b"stsd")
MAX_TAGS = 8  # in a row, before the first MP3 frame
OPEN_SIZES = (bytes(4), b"\xff" * 4)  # of a WAV whose writer could not go back and fill it in, or of RF64
WAV_SLACK = 16  # bytes; many writers count their own header, or a padding byte they leave out
SEGMENT_ID = 0x18538067  # Matroska's outermost element; everything but the EBML header lies inside


def truncated(sentence: str) -> SourceUnreadable:
    return SourceUnreadable(f"{sentence} Export it again. {NOTHING_KEPT}", code="truncated_media")


def human_bytes(count: int) -> str:
    """Decimal, as people read sizes: 212 MB, 6.2 GB."""
    size, units = float(count), ["bytes", "kB", "MB", "GB", "TB"]
    while size >= 999.5 and len(units) > 1:
        size /= 1000
        units.pop(0)
    digits = 1 if units[0] != "bytes" and size < 9.95 else 0
    return f"{size:.{digits}f}\u00a0{units[0]}"


def human_time(seconds: float) -> str:
    """9:58 or 1:04:37."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def cut_off(promised: int, present: int) -> SourceUnreadable:
    return truncated(
        f"This file is cut off: the last {human_bytes(promised - present)} of {human_bytes(promised)} are missing."
    )


def check_head(head: bytes, size_bytes: int) -> Container:
    """The type of a file of `size_bytes` that is still arriving; raises as early as its head allows."""
    container = sniff(head)
    if container.name in ("mp4", "mov"):
        for offset, size, _ in head_boxes(head):
            if offset + size > size_bytes:
                raise cut_off(offset + size, size_bytes)
    elif container.name in ("mkv", "webm"):
        _check_matroska(head, size_bytes)
    elif container.name == "avi":
        _check_riff(head, size_bytes)
    elif container.name == "wav" and head[4:8] not in OPEN_SIZES:
        _check_riff(head, size_bytes + WAV_SLACK)
    return container


def check_file(path: str | os.PathLike[str]) -> Container:
    """Type and wholeness of a finished file: reads its head and hops from box to box, never the media."""
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        head = file.read(HEAD_BYTES)
        if not size:
            raise empty_file()
        container = sniff(head)
        if container.name in ("mp4", "mov"):
            _check_boxes(file, size)
        elif container.name == "mp3":
            _check_mp3(file, size)
        else:
            check_head(head, size)
    return container


def _check_boxes(file: BinaryIO, size_bytes: int) -> None:
    offset, kinds = 0, set()
    for _ in range(MAX_BOXES):
        if offset + 8 > size_bytes:
            break
        size, kind = _box_at(file, offset, size_bytes)
        kinds.add(kind)
        if offset + size > size_bytes:
            _raise_cut_box(kind, kinds, offset + size, size_bytes)
        if kind == b"moov" and is_encrypted(file, offset + 8, offset + size):
            raise SourceUnreadable(
                f"This film is encrypted, so it cannot be shown. Export it without protection. {NOTHING_KEPT}",
                code="encrypted_media",
            )
        if kind == b"moov" and lacks_base_layer(file, offset + 8, offset + size):
            raise SourceUnreadable(
                "This film is Dolby Vision alone (profile 5): its colours can only be shown by devices made for it. "
                f"Export it as HDR10, HLG or SDR. {NOTHING_KEPT}",
                code="dolby_vision_only",
            )
        offset += size
    if b"moov" not in kinds:
        raise truncated("This file ends before its header.")
    if not kinds & {b"mdat", b"moof", b"imda"}:
        raise truncated("This file has a header and nothing after it: no picture, no sound.")


def _box_at(file: BinaryIO, offset: int, size_bytes: int) -> tuple[int, bytes]:
    file.seek(offset)
    header = file.read(16)
    size, kind = int.from_bytes(header[:4], "big"), header[4:8]
    if size == 1:
        size = int.from_bytes(header[8:16], "big")
    elif size == 0:
        size = size_bytes - offset
    if size < 8:
        raise unsupported("The inside of this file is damaged")
    return size, kind


def is_encrypted(file: BinaryIO, start: int, end: int, depth: int = 0) -> bool:
    """True when a track's sample description is an encrypted one: ffmpeg would show noise instead of failing."""
    offset = start
    for _ in range(MAX_TRACK_BOXES):
        if offset + 8 > end:
            break
        file.seek(offset)
        header = file.read(8)
        size, kind = int.from_bytes(header[:4], "big"), header[4:]
        if size < 8 or kind in (b"encv", b"enca"):
            return size >= 8
        inside = offset + (16 if kind == b"stsd" else 8)
        is_on_the_way = kind in TO_THE_DESCRIPTION and depth < len(TO_THE_DESCRIPTION)
        if is_on_the_way and is_encrypted(file, inside, min(end, offset + size), depth + 1):
            return True
        offset += size
    return False


def _raise_cut_box(kind: bytes, seen: set[bytes], promised: int, present: int) -> None:
    if kind == b"moov":
        raise truncated("This file ends in the middle of its header.")
    if kind in (b"mdat", b"moof") or b"moov" not in seen:
        raise cut_off(promised, present)
    # What hangs over is neither film nor index: players ignore it, and so do we.


def _check_matroska(head: bytes, size_bytes: int) -> None:
    length, offset = read_vint(head, 4)
    offset += max(length, 0)
    ident, offset = read_ebml_id(head, offset)
    if ident != SEGMENT_ID:
        if offset >= size_bytes:
            raise truncated("This file ends in the middle of its header.")
        return
    length, offset = read_vint(head, offset)
    if length >= 0 and offset + length > size_bytes:
        raise cut_off(offset + length, size_bytes)


def _check_mp3(file: BinaryIO, size_bytes: int) -> None:
    """A cover makes the tag longer than the head of the file: what follows it is looked at here."""
    offset = 0
    for _ in range(MAX_TAGS):
        file.seek(offset)
        length = id3_length(file.read(ID3_HEADER))
        if not length:
            break
        offset += length
    if offset >= size_bytes:
        raise truncated("This file ends in the middle of its header.")
    file.seek(offset)
    if not has_frames(file.read(HEAD_BYTES)):
        raise unsupported("This file begins like an MP3, but what follows is something else")


def _check_riff(head: bytes, size_bytes: int) -> None:
    promised = 8 + int.from_bytes(head[4:8], "little")
    if promised > size_bytes:
        raise cut_off(promised, size_bytes)
