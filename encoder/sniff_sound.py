"""Plain sound files, told from their first bytes. Pure: bytes in, yes or no out.

Formats with a magic number must also show the structure behind it. MP3 has none, so frames have to follow one another:
a header says how long its frame is, and where that ends the next header of the same kind must stand.
"""

from __future__ import annotations

from collections.abc import Iterator

ID3_HEADER = 10  # bytes
FRAMES_IN_A_ROW = 4  # by chance 11 bits of sync, twice the same kind, that often: one in many billions
STRAY_BYTES = 16 * 1024  # some writers leave padding between the tag and the first frame
LAYER_3 = 1
KBPS = {  # ISO/IEC 11172-3 and 13818-3, layer III, by bit rate index; 0 is free format, which nobody writes
    3: (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    2: (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    0: (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
RATES = {3: (44100, 48000, 32000), 2: (22050, 24000, 16000), 0: (11025, 12000, 8000)}
OGG_BEGINNINGS = (b"OpusHead", b"\x01vorbis", b"\x7fFLAC", b"\x80theora", b"fishead\0")
OGG_PAGE_HEADER = 27
STREAMINFO = (0x00, 0x80)  # FLAC's first block, the only one or one of several
STREAMINFO_BYTES = 34


def is_flac(head: bytes) -> bool:
    return (
        head.startswith(b"fLaC")
        and head[4:5] != b""
        and head[4] in STREAMINFO
        and int.from_bytes(head[5:8], "big") == STREAMINFO_BYTES
    )


def is_ogg(head: bytes) -> bool:
    """A first page of version 0 that begins a stream we know."""
    if not head.startswith(b"OggS\0") or len(head) < OGG_PAGE_HEADER:
        return False
    body = OGG_PAGE_HEADER + head[26]
    return head[body : body + 8].startswith(OGG_BEGINNINGS)


def is_wav(head: bytes) -> bool:
    """RIFF, or RF64 for more than 4 GiB, with a chunk behind it."""
    chunk = head[12:16]
    return head[:4] in (b"RIFF", b"RF64") and head[8:12] == b"WAVE" and len(chunk) == 4 and chunk.isascii()


def is_mp3(head: bytes) -> bool:
    """A tag and then frames, or frames at once. Where the tag is longer than `head` its end is looked at later."""
    if not head.startswith(b"ID3"):
        return frames_follow(head)
    length = id3_length(head)
    if length is None:
        return False
    rest = head[length:]
    return not rest or (is_mp3(rest) if rest.startswith(b"ID3") else has_frames(rest))


def id3_length(head: bytes) -> int | None:
    """Bytes of the ID3v2 tag at the beginning, 0 without one; None for what only begins like one."""
    if not head.startswith(b"ID3"):
        return 0
    if len(head) < ID3_HEADER or head[3] not in (2, 3, 4) or head[4] == 0xFF or max(head[6:10]) > 0x7F:
        return None
    size = head[6] << 21 | head[7] << 14 | head[8] << 7 | head[9]
    has_footer = head[3] == 4 and head[5] & 0x10
    return ID3_HEADER + size + (ID3_HEADER if has_footer else 0)


def has_frames(data: bytes) -> bool:
    """MP3 frames at the start of `data`, or shortly after it."""
    return any(frames_follow(data[at:]) for at in _syncs(data[:STRAY_BYTES]))


def frames_follow(data: bytes) -> bool:
    """Does `data` begin with a row of MP3 frames of one kind? Two are enough where `data` ends."""
    at, kind = 0, None
    for number in range(FRAMES_IN_A_ROW):
        header = data[at : at + 4]
        if number > 1 and len(header) < 4:
            return True
        length = _frame_bytes(header)
        if not length or (kind is not None and _kind(header) != kind):
            return False
        at, kind = at + length, _kind(header)
    return True


def _syncs(data: bytes) -> Iterator[int]:
    at = data.find(b"\xff")
    while at >= 0:
        yield at
        at = data.find(b"\xff", at + 1)


def _kind(header: bytes) -> tuple[int, int]:
    """Version and layer, sample rate: the same in all frames of one file."""
    return header[1] & 0xFE, header[2] & 0x0C


def _frame_bytes(header: bytes) -> int:
    """Length of the layer III frame that begins here; 0 when none does."""
    if len(header) < 4 or header[0] != 0xFF or header[1] & 0xE0 != 0xE0:
        return 0
    version, layer = header[1] >> 3 & 3, header[1] >> 1 & 3
    rate_index, hz_index = header[2] >> 4, header[2] >> 2 & 3
    if version == 1 or layer != LAYER_3 or rate_index in (0, 15) or hz_index == 3:
        return 0
    samples = 1152 if version == 3 else 576
    return samples // 8 * KBPS[version][rate_index] * 1000 // RATES[version][hz_index] + (header[2] >> 1 & 1)
