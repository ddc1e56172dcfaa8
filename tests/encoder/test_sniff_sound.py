"""Sound files by their first bytes: what is taken, and what only looks like it."""

from __future__ import annotations

import pytest

from encoder.errors import SourceUnreadable
from encoder.sniff import FLAC, MP3, OGG, WAV, Container, sniff
from encoder.sniff_sound import id3_length

FRAME = b"\xff\xfb\x90\x00" + bytes(413)  # MPEG-1, layer III, 128 kb/s, 44.1 kHz: 417 bytes
TAG = b"ID3\x03\0\0\0\0\x02\x00"  # 256 bytes follow
LONG_TAG = b"ID3\x03\0\0\0\x06\0\0"  # 98,304 bytes follow


def ogg(body: bytes) -> bytes:
    return b"OggS\0\x02" + bytes(20) + b"\x01" + bytes([len(body)]) + body


@pytest.mark.parametrize(
    ("head", "kind"),
    [
        (FRAME * 9, MP3),
        (FRAME * 2, MP3),
        (TAG + bytes(256) + FRAME * 9, MP3),
        (TAG + bytes(256) + bytes(600) + FRAME * 9, MP3),
        (TAG + bytes(256) + TAG + bytes(256) + FRAME * 9, MP3),
        (LONG_TAG + bytes(60_000), MP3),
        (b"fLaC\0\0\0\x22" + bytes(34), FLAC),
        (b"fLaC\x80\0\0\x22" + bytes(34), FLAC),
        (ogg(b"OpusHead\x01\x02"), OGG),
        (ogg(b"\x01vorbis\0\0"), OGG),
        (b"RIFF\x24\0\0\0WAVEfmt \x10\0\0\0", WAV),
        (b"RF64\xff\xff\xff\xffWAVEds64", WAV),
    ],
)
def test_it_is_known(head: bytes, kind: Container) -> None:
    assert sniff(head) is kind


@pytest.mark.parametrize(
    "head",
    [
        FRAME,  # one frame may be chance
        FRAME + b"words" * 200,
        FRAME + b"\xff\xfb\x94\x00" + bytes(413) + FRAME * 3,  # the rate changes from 44.1 to 48 kHz
        b"\xff\xf1\x50\x80" * 500,  # ADTS: raw AAC
        b"\xff\xfd\x90\x00" + bytes(413) + FRAME,  # layer II
        b"\xff\xfe" + "a text in UTF-16".encode("utf-16-le") * 100,
        b"ID3 is how tags are called\n" * 99,
        TAG + bytes(256) + b"#EXTM3U\nfile:///etc/passwd\n" * 400,
        b"ID3\x03\0\0\xff\xff\xff\xff" + FRAME * 9,  # sizes have seven bits a byte
        b"fLaC\x01\0\0\x22" + bytes(34),
        ogg(b"Speex   "),
        b"OggS\x01" + ogg(b"OpusHead")[5:],
        b"RIFF\x24\0\0\0WAVE",
        b"RIFF\x24\0\0\0WAVE\xff\xff\xff\xff",
        b".snd\0\0\0\x18",
        b"#!AMR\n",
    ],
)
def test_what_only_looks_like_sound_is_refused(head: bytes) -> None:
    with pytest.raises(SourceUnreadable) as refusal:
        sniff(head)
    assert refusal.value.code == "unsupported_media"
    assert "MP3, M4A, FLAC, Ogg or WAV" in refusal.value.public_message


def test_a_tag_tells_its_length_with_its_footer() -> None:
    assert id3_length(TAG) == 266
    assert id3_length(b"ID3\x04\0\x10\0\0\x02\x00") == 276
    assert id3_length(FRAME) == 0
