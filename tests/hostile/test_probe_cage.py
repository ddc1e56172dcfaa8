"""Boxes that lie about their size and number: any answer is fine but a crash, a long wait or a lot of memory."""

from __future__ import annotations

import resource
import time
from pathlib import Path

import pytest

from encoder.errors import SourceUnreadable
from encoder.model import Source
from encoder.probe import probe
from tests.hostile.clips import Clips
from tests.hostile.corpus import beginning_only, box, box_of

pytestmark = pytest.mark.media
MOST_RSS_KB = 1 << 20
MOST_S = 30.0


def nested(depth: int) -> bytes:
    """Boxes within boxes."""
    content = b""
    for _ in range(depth):
        content = box(b"trak", content)
    return content


def with_number(film: bytes, table: bytes, at: int, number: int) -> bytes:
    """The film, one number in one of its tables replaced."""
    place = film.index(table) + at
    return film[:place] + number.to_bytes(4, "big") + film[place + 4 :]


def lying_files(clips: Clips) -> dict[str, bytes]:
    film, head = clips.faststart.read_bytes(), beginning_only(clips)
    media = box_of(film, b"mdat")
    return {
        "endless box": head + b"\xff\xff\xff\xffmoov" + bytes(100),
        "huge long box": head + b"\0\0\0\1mdat" + b"\xff" * 8 + bytes(100),
        "4000 nested boxes": head + box(b"moov", nested(4000)) + media,
        "deep description": head + box(b"moov", nested(300) * 20) + media,
        "20000 empty boxes": head + box(b"free") * 20_000 + box(b"moov") + media,
        "many samples": with_number(film, b"stsz", 12, 0xFFFFFFFF),
        "many times": with_number(film, b"stts", 8, 0xFFFFFFFF),
        "long sample": with_number(film, b"stts", 16, 0x7FFFFFFF),
        "offset past the end": with_number(film, b"stco", 12, 0xFFFFFFF0),
        "huge picture": with_number(film, b"avc1", 28, 0xFFFFFFFF),
    }


NAMES = (
    "endless box",
    "huge long box",
    "4000 nested boxes",
    "deep description",
    "20000 empty boxes",
    "many samples",
    "many times",
    "long sample",
    "offset past the end",
    "huge picture",
)


@pytest.mark.parametrize("name", NAMES)
def test_a_lying_file_costs_little(name: str, clips: Clips, tmp_path: Path) -> None:
    path = tmp_path / "film.mp4"
    path.write_bytes(lying_files(clips)[name])
    start = time.monotonic()
    answer = outcome(path)
    if isinstance(answer, Source):
        assert answer.duration_s < 60
        assert answer.width <= 16_384
    else:
        assert 1 <= len(answer) <= 300
        assert "/" not in answer
    assert time.monotonic() - start < MOST_S
    assert resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss < MOST_RSS_KB


def outcome(path: Path) -> Source | str:
    try:
        return probe(path)
    except SourceUnreadable as refusal:
        return refusal.public_message
