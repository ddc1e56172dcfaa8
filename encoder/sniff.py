"""What a file really is, told from its first bytes alone, before anything else reads it."""

from __future__ import annotations

import codecs
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from encoder.errors import SourceUnreadable
from encoder.sniff_sound import is_flac, is_mp3, is_ogg, is_wav

HEAD_BYTES = 64 * 1024  # enough to tell every accepted type; uploads are judged as soon as this much is here
MAX_EBML_CHILDREN = 64  # a real EBML header has seven or eight
TS_PACKETS = 5  # sync bytes in a row before something counts as a transport stream


@dataclass(frozen=True, slots=True)
class Container:
    """An accepted type. `demuxers` is the only set of ffmpeg formats that may open the file."""

    name: str
    extension: str
    demuxers: str


MP4 = Container("mp4", "mp4", "mov,mp4,m4a,3gp,3g2,mj2")
MOV = Container("mov", "mov", "mov,mp4,m4a,3gp,3g2,mj2")
MKV = Container("mkv", "mkv", "matroska,webm")
WEBM = Container("webm", "webm", "matroska,webm")
AVI = Container("avi", "avi", "avi")
TS = Container("ts", "ts", "mpegts")
MP3 = Container("mp3", "mp3", "mp3")
FLAC = Container("flac", "flac", "flac")
OGG = Container("ogg", "ogg", "ogg")
WAV = Container("wav", "wav", "wav")
BY_NAME = {kind.name: kind for kind in (MP4, MOV, MKV, WEBM, AVI, TS, MP3, FLAC, OGG, WAV)}

WANTED = "Choose an MP4, MOV, MKV, WebM or AVI film, or an MP3, M4A, FLAC, Ogg or WAV recording."
NOTHING_KEPT = "Nothing was kept."

# Top-level boxes of ISO BMFF and QuickTime files. Anything else right after `ftyp` is not a film.
BOXES = frozenset(
    b"ftyp moov mdat free skip wide uuid moof sidx ssix styp pnot meta udta mfra pdin prft emsg junk "
    b"PICT bloc evti imda".split()
)
START_BOXES = frozenset((b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot", b"styp", b"moof"))
PICTURE_BRANDS = frozenset(b"heic heix heim heis hevc hevx mif1 msf1 mif2 avif avis".split()) | {
    b"jxl ",
    b"crx ",
}

BLANKS = "\ufeff \t\r\n"

BINARY_SIGNS: tuple[tuple[bytes, str], ...] = (
    (b"\xff\xd8\xff", "This is a JPEG picture"),
    (b"\x89PNG\r\n\x1a\n", "This is a PNG picture"),
    (b"GIF87a", "This is a GIF picture"),
    (b"GIF89a", "This is a GIF picture"),
    (b"BM", "This is a bitmap picture"),
    (b"II*\0", "This is a TIFF picture"),
    (b"MM\0*", "This is a TIFF picture"),
    (b"\0\0\0\x0cJXL ", "This is a JPEG XL picture"),
    (b"\0\0\0\x0cjP  ", "This is a JPEG 2000 picture"),
    (b"%PDF-", "This is a PDF document"),
    (b"PK\x03\x04", "This is a ZIP archive or an office document"),
    (b"PK\x05\x06", "This is an empty ZIP archive"),
    (b"Rar!\x1a\x07", "This is a RAR archive"),
    (b"7z\xbc\xaf\x27\x1c", "This is a 7-Zip archive"),
    (b"\x1f\x8b", "This is a gzip archive"),
    (b"\xfd7zXZ\0", "This is an xz archive"),
    (b"\x7fELF", "This is a program"),
    (b"MZ", "This is a Windows program"),
    (b"SQLite format 3\0", "This is a database"),
    (b"ID3", "This file begins like an MP3, but what follows is something else"),
    (b"OggS", "This Ogg file holds neither Opus, Vorbis, FLAC nor Theora"),
    (b"fLaC", "This file begins like a FLAC recording, but what follows is something else"),
    (b"FLV\x01", "This is a Flash video, which is not accepted"),
    (b"0&\xb2u\x8ef\xcf\x11", "This is a Windows Media file, which is not accepted"),
)
TEXT_SIGNS: tuple[tuple[str, str], ...] = (
    (r"#extm3u", "This is a playlist, a list of addresses and not a video"),
    (r"\[playlist\]", "This is a playlist, a list of addresses and not a video"),
    (r"ffconcat\s", "This is a list of other files and not a video"),
    (r"file\s+\S", "This is a list of other files and not a video"),
    (r"<(!doctype\s+)?mpd\b", "This is a streaming manifest and not a video"),
    (r"<(!doctype html|html|head|body|script)\b", "This is a web page and not a video"),
    (r"<svg\b", "This is an SVG picture and not a video"),
    (r"v=0\r?\n", "This is a stream description and not a video"),
    (r"(https?|rtmp|rtsp|file|ftp)://", "This is a list of addresses and not a video"),
    (r"webvtt", "This is a caption file and not a video"),
)


def unsupported(what: str) -> SourceUnreadable:
    return SourceUnreadable(f"{what}. {WANTED} {NOTHING_KEPT}", code="unsupported_media")


def empty_file() -> SourceUnreadable:
    return SourceUnreadable(f"This file is empty. {NOTHING_KEPT} Export it again.", code="empty_file")


def sniff(head: bytes) -> Container:
    """The type of the file that begins with `head` (its first 64 kB, or all of it when shorter).

    Raises SourceUnreadable with a sentence that says what the file is instead.
    """
    if not head:
        raise empty_file()
    for recognise in RECOGNISERS:
        found = recognise(head)
        if found is not None:
            return found
    raise unsupported(_name_the_stranger(head))


def _name_the_stranger(head: bytes) -> str:
    for sign, sentence in BINARY_SIGNS:
        if head.startswith(sign):
            return sentence
    text = _as_text(head)
    if text is None:
        return "This file is not a video that can be read here"
    start = _skip_preamble(text)
    for pattern, sentence in TEXT_SIGNS:
        if re.match(pattern, start):
            return sentence
    if text.lstrip(BLANKS).lower().startswith("<?xml"):
        return "This is an XML document and not a video"
    return "This is a text file and not a video"


def _as_text(head: bytes) -> str | None:
    """The first 4,096 bytes as text, or None. A character cut at their end does not count against them."""
    encoding = "utf-16" if head[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8"
    try:
        text = codecs.getincrementaldecoder(encoding)().decode(head[:4096])
    except UnicodeDecodeError:
        return None
    if not text or any(ord(sign) < 32 and sign not in "\t\r\n\f\x1b" for sign in text):
        return None
    return text


def _skip_preamble(text: str) -> str:
    """Text after byte order mark, blank lines, XML declaration and comments, in lower case."""
    text = text.lstrip(BLANKS).lower()
    for opening, closing in (("<?xml", "?>"), ("<!--", "-->")):
        while text.startswith(opening) and closing in text:
            text = text[text.index(closing) + len(closing) :].lstrip(BLANKS)
    return text


def _iso_media(head: bytes) -> Container | None:
    if head[4:8] not in START_BOXES or len(head) < 8:
        return None
    by_brand = _by_brand(head) if head[4:8] == b"ftyp" else None
    boxes = list(head_boxes(head))
    strange = next((kind for _, _, kind in boxes if kind not in BOXES), None)
    if strange is not None:
        raise unsupported("This file begins like a video, but what follows is something else")
    if by_brand is not None:
        return by_brand
    return MP4 if boxes[0][2] in (b"styp", b"moof") else MOV


def _by_brand(head: bytes) -> Container:
    size = int.from_bytes(head[:4], "big")
    if size < 16 and size != 0:
        raise unsupported("This file begins like a video, but its first lines are damaged")
    major = head[8:12]
    if major in PICTURE_BRANDS:
        raise unsupported("This is a picture (HEIC or AVIF)")
    return MOV if major == b"qt  " else MP4


def head_boxes(head: bytes) -> Iterator[tuple[int, int, bytes]]:
    """(offset, size, type) of the top-level boxes whose headers lie in `head`; size 0 means to the end."""
    offset = 0
    while offset + 8 <= len(head):
        size, kind = int.from_bytes(head[offset : offset + 4], "big"), head[offset + 4 : offset + 8]
        if size == 1:
            if offset + 16 > len(head):
                return
            size = int.from_bytes(head[offset + 8 : offset + 16], "big")
        yield offset, size, kind
        if size < 8:  # 0 runs to the end of the file; 2..7 cannot be
            return
        offset += size


def _matroska(head: bytes) -> Container | None:
    if not head.startswith(b"\x1a\x45\xdf\xa3"):
        return None
    doctype = _ebml_doctype(head)
    if doctype == b"webm":
        return WEBM
    if doctype == b"matroska":
        return MKV
    raise unsupported("This file begins like a Matroska video, but it says it is something else")


def _ebml_doctype(head: bytes) -> bytes:
    length, offset = read_vint(head, 4)
    end = min(len(head), offset + max(length, 0))
    for _ in range(MAX_EBML_CHILDREN):
        if offset + 2 > end:
            break
        ident, offset = read_ebml_id(head, offset)
        length, offset = read_vint(head, offset)
        if ident == 0x4282:
            return head[offset : offset + length].rstrip(b"\0")
        offset += max(length, 0)
    return b""


def read_ebml_id(data: bytes, offset: int) -> tuple[int, int]:
    """The element id at `offset` and where its size begins."""
    if offset >= len(data) or data[offset] == 0:
        return 0, len(data)
    width = 9 - data[offset].bit_length()
    return int.from_bytes(data[offset : offset + width], "big"), offset + width


def read_vint(data: bytes, offset: int) -> tuple[int, int]:
    """The EBML size at `offset` (-1: unknown) and where the content begins."""
    if offset >= len(data) or data[offset] == 0:
        return -1, len(data)
    width = 9 - data[offset].bit_length()
    bits = 7 * width
    value = int.from_bytes(data[offset : offset + width], "big") & ((1 << bits) - 1)
    return (-1 if value == (1 << bits) - 1 else value), offset + width


def _avi(head: bytes) -> Container | None:
    if head[:4] != b"RIFF":
        return None
    form = head[8:12]
    if form == b"AVI ":
        return AVI
    if form == b"WEBP":
        raise unsupported("This is a WebP picture")
    return None


def _transport_stream(head: bytes) -> Container | None:
    for packet, first in ((188, 0), (192, 4)):
        places = range(first, min(len(head), first + packet * TS_PACKETS), packet)
        if len(places) == TS_PACKETS and all(head[place] == 0x47 for place in places):
            return TS
    return None


def _recording(head: bytes) -> Container | None:
    """Sound alone."""
    for is_kind, kind in ((is_flac, FLAC), (is_ogg, OGG), (is_wav, WAV), (is_mp3, MP3)):
        if is_kind(head):
            return kind
    return None


RECOGNISERS: tuple[Callable[[bytes], Container | None], ...] = (
    _iso_media,
    _matroska,
    _avi,
    _transport_stream,
    _recording,
)
