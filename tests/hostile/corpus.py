"""Files that are no film, or not a whole one, all called `.mp4`: what they hold and how they must be refused."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO

from tests.hostile.clips import Clips


@dataclass(frozen=True)
class Case:
    name: str
    make: Callable[[Clips], bytes]
    status: int
    code: str
    words: str  # part of the sentence a person reads


def plain(content: bytes) -> Callable[[Clips], bytes]:
    return lambda _clips: content


def png() -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return len(data).to_bytes(4, "big") + kind + data + zlib.crc32(kind + data).to_bytes(4, "big")

    header = (1).to_bytes(4, "big") * 2 + bytes([8, 2, 0, 0, 0])
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(4))) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def archive() -> bytes:
    buffer = BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        file.writestr("film.mp4", "no film")
    return buffer.getvalue()


def box(kind: bytes, content: bytes = b"") -> bytes:
    return (8 + len(content)).to_bytes(4, "big") + kind + content


def box_of(film: bytes, wanted: bytes) -> bytes:
    offset = 0
    while offset < len(film):
        size = int.from_bytes(film[offset : offset + 4], "big")
        if film[offset + 4 : offset + 8] == wanted:
            return film[offset : offset + size]
        offset += size
    raise LookupError(wanted)


def before_header(clips: Clips) -> bytes:
    """Cut in the media: the header that should follow is missing."""
    film = clips.mp4.read_bytes()
    return film[: len(film) // 2]


def in_header(clips: Clips) -> bytes:
    return clips.mp4.read_bytes()[:-100]


def in_media(clips: Clips) -> bytes:
    film = clips.faststart.read_bytes()
    return film[: len(film) * 3 // 4]


def in_media_of_open_box(clips: Clips) -> bytes:
    """Cut in the media, and the media's box says "until the end": only the table of frames knows."""
    film = bytearray(clips.faststart.read_bytes())
    at = bytes(film).index(b"mdat") - 4
    film[at : at + 4] = bytes(4)
    return bytes(film[: len(film) * 3 // 4])


def header_only(clips: Clips) -> bytes:
    film = clips.faststart.read_bytes()
    return box_of(film, b"ftyp") + box_of(film, b"moov")


def beginning_only(clips: Clips) -> bytes:
    return box_of(clips.faststart.read_bytes(), b"ftyp")


def cut_mkv(clips: Clips) -> bytes:
    film = clips.remux("film.mkv").read_bytes()
    return film[: len(film) // 2]


def cut_avi(clips: Clips) -> bytes:
    film = clips.remux("film.avi").read_bytes()
    return film[: len(film) // 2]


def playlist_after_beginning(clips: Clips) -> bytes:
    return beginning_only(clips)[:28] + b"#EXTM3U\n#EXTINF:6,\nfile:///etc/passwd\n"


def playlist_in_a_box(clips: Clips) -> bytes:
    """Boxes all right, and a playlist where the film should be."""
    return beginning_only(clips) + box(b"mdat", b"#EXTM3U\nfile:///etc/passwd\n" * 10)


def noise_in_header(clips: Clips) -> bytes:
    return beginning_only(clips) + box(b"moov", bytes(range(256)) * 8) + box(b"mdat", bytes(2000))


def words_only(clips: Clips) -> bytes:
    """Captions without anything to caption."""
    words = clips.mp4.with_name("words.srt")
    words.write_text("1\n00:00:00,000 --> 00:00:01,000\nWords\n")
    return clips.make("words.mkv", "-i", str(words)).read_bytes()


def rare_sound(clips: Clips) -> bytes:
    return clips.make("rare.mka", "-i", str(clips.mp4), "-vn", "-c:a", "wavpack").read_bytes()


def mp3(clips: Clips) -> bytes:
    return clips.make("sound.mp3", "-i", str(clips.mp4), "-vn", "-c:a", "libmp3lame").read_bytes()


def id3(size: int) -> bytes:
    """The header of a tag of `size` bytes."""
    return b"ID3\x04\0\0" + bytes(size >> shift & 0x7F for shift in (21, 14, 7, 0))


def playlist_behind_a_tag(clips: Clips) -> bytes:
    """The tag is longer than what is looked at first."""
    return id3(100_000) + bytes(100_000) + PLAYLIST * 10


def playlist_behind_a_frame(clips: Clips) -> bytes:
    film = mp3(clips)
    at = film.index(b"\xff\xfb")
    return film[at : at + 400] + PLAYLIST * 10


def cut_flac(clips: Clips) -> bytes:
    song = clips.make("sound.flac", "-i", str(clips.mp4), "-vn", "-c:a", "flac").read_bytes()
    return song[: len(song) // 4]


def encrypted(clips: Clips) -> bytes:
    key = (
        "-encryption_key",
        "76a6c65c5ea762046bd749a2e632ccbb",
        "-encryption_kid",
        "a7e61c373e219033c21091fa607bf3b8",
    )
    return clips.remux("locked.mp4", "-encryption_scheme", "cenc-aes-ctr", *key).read_bytes()


def rare_codec(clips: Clips) -> bytes:
    return clips.make("rare.avi", "-i", str(clips.mp4), "-c:v", "magicyuv", "-an").read_bytes()


PLAYLIST = b"#EXTM3U\n#EXT-X-TARGETDURATION:6\n#EXTINF:6,\nfile:///etc/passwd\n#EXT-X-ENDLIST\n"
CASES = (
    Case("empty", plain(b""), 400, "empty_file", "empty"),
    Case("one byte", plain(b"x"), 415, "unsupported_media", "not a video"),
    Case("one zero byte", plain(b"\0"), 415, "unsupported_media", "not a video"),
    Case("text", plain(b"Minutes of the meeting\n" * 8000), 415, "unsupported_media", "a text file"),
    Case(
        "web page",
        plain(b"<!doctype html>\n<script>alert(1)</script>"),
        415,
        "unsupported_media",
        "a web page",
    ),
    Case(
        "comments before page", plain(b"<!---->" * 3000 + b"<html>"), 415, "unsupported_media", "not a video"
    ),
    Case("png", plain(png()), 415, "unsupported_media", "a PNG picture"),
    Case(
        "jpeg",
        plain(b"\xff\xd8\xff\xe0\x00\x10JFIF\0" + bytes(500)),
        415,
        "unsupported_media",
        "a JPEG picture",
    ),
    Case(
        "heic",
        plain(box(b"ftyp", b"heic\0\0\0\0mif1heic") + bytes(99)),
        415,
        "unsupported_media",
        "a picture",
    ),
    Case("playlist", plain(PLAYLIST), 415, "unsupported_media", "a playlist"),
    Case("long playlist", plain(PLAYLIST * 3000), 415, "unsupported_media", "a playlist"),
    Case("playlist with mark", plain(b"\xef\xbb\xbf" + PLAYLIST), 415, "unsupported_media", "a playlist"),
    Case(
        "playlist utf-16", plain(PLAYLIST.decode().encode("utf-16")), 415, "unsupported_media", "a playlist"
    ),
    Case("playlist after ftyp", playlist_after_beginning, 415, "unsupported_media", "something else"),
    Case("playlist as mdat", playlist_in_a_box, 422, "truncated_media", "before its header"),
    Case(
        "ffconcat",
        plain(b"ffconcat version 1.0\nfile ../1.mp4\n"),
        415,
        "unsupported_media",
        "a list of other files",
    ),
    Case("concat", plain(b"file '/etc/passwd'\n"), 415, "unsupported_media", "a list of other files"),
    Case(
        "dash",
        plain(b'<?xml version="1.0"?>\n<!-- x -->\n<MPD></MPD>'),
        415,
        "unsupported_media",
        "a streaming manifest",
    ),
    Case(
        "sdp", plain(b"v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\n"), 415, "unsupported_media", "a stream description"
    ),
    Case(
        "addresses", plain(b"http://127.0.0.1:18999/a.ts\n"), 415, "unsupported_media", "a list of addresses"
    ),
    Case("zip", plain(archive()), 415, "unsupported_media", "a ZIP archive"),
    Case("pdf", plain(b"%PDF-1.7\n" + bytes(300)), 415, "unsupported_media", "a PDF document"),
    Case("program", plain(b"\x7fELF\2\1\1" + bytes(300)), 415, "unsupported_media", "a program"),
    Case("zeros", plain(bytes(100_000)), 415, "unsupported_media", "not a video"),
    Case("cut wav", plain(b"RIFF\x64\0\0\0WAVEfmt "), 422, "truncated_media", "cut off"),
    Case("wav without chunks", plain(b"RIFF\xff\xff\xff\xffWAVE"), 415, "unsupported_media", "not a video"),
    Case("empty wav", plain(b"RIFF\xff\xff\xff\xffWAVEfmt " + bytes(90)), 422, "unreadable_media", "damaged"),
    Case("text called ID3", plain(b"ID3 tags explained\n" * 300), 415, "unsupported_media", "an MP3"),
    Case("tag alone", plain(id3(500) + bytes(500)), 422, "truncated_media", "in the middle of its header"),
    Case("tag before zeros", plain(id3(500) + bytes(9000)), 415, "unsupported_media", "an MP3"),
    Case(
        "tag before text", plain(id3(500) + bytes(500) + b"Words\n" * 900), 415, "unsupported_media", "an MP3"
    ),
    Case("playlist behind a tag", playlist_behind_a_tag, 415, "unsupported_media", "an MP3"),
    Case("playlist behind a frame", playlist_behind_a_frame, 415, "unsupported_media", "not a video"),
    Case("ogg of something", plain(b"OggS\0" + bytes(21) + b"\1\7mystery"), 415, "unsupported_media", "Ogg"),
    Case("flac in name", plain(b"fLaC" + b"words " * 99), 415, "unsupported_media", "FLAC"),
    Case("cut flac", cut_flac, 422, "truncated_media", "This file stops at 0:0"),
    Case(
        "other ebml", plain(b"\x1a\x45\xdf\xa3\x84\x42\x82\x81x"), 415, "unsupported_media", "something else"
    ),
    Case("cut before header", before_header, 422, "truncated_media", "cut off"),
    Case("cut in header", in_header, 422, "truncated_media", "in the middle of its header"),
    Case("cut in media", in_media, 422, "truncated_media", "cut off"),
    Case("cut in open media", in_media_of_open_box, 422, "truncated_media", "This file stops at 0:0"),
    Case("header only", header_only, 422, "truncated_media", "nothing after it"),
    Case("beginning only", beginning_only, 422, "truncated_media", "before its header"),
    Case("cut mkv", cut_mkv, 422, "truncated_media", "cut off"),
    Case("cut avi", cut_avi, 422, "truncated_media", "cut off"),
    Case("noise as header", noise_in_header, 422, "unreadable_media", "damaged"),
    Case("words only", words_only, 422, "no_media", "neither a moving picture nor sound"),
    Case("rare sound", rare_sound, 422, "unsupported_codec", "wavpack"),
    Case("encrypted", encrypted, 422, "encrypted_media", "encrypted"),
    Case("rare codec", rare_codec, 422, "unsupported_codec", "magicyuv"),
)
