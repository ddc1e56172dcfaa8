"""Dolby Vision is taken on when an ordinary picture is in it, and refused with a reason when there is none."""

from __future__ import annotations

from pathlib import Path

import pytest

from encoder.boxes import check_file
from encoder.errors import SourceUnreadable


def box(kind: bytes, *parts: bytes) -> bytes:
    body = b"".join(parts)
    return (8 + len(body)).to_bytes(4, "big") + kind + body


def film(folder: Path, configuration: bytes) -> Path:
    """The boxes of a film with one HEVC track, and nothing in them that is not looked at."""
    entry = box(b"hvc1", bytes(78), box(b"hvcC", bytes(20)), configuration)
    description = box(b"stsd", bytes(4), (1).to_bytes(4, "big"), entry)
    track = box(b"trak", box(b"tkhd", bytes(20)), box(b"mdia", box(b"minf", box(b"stbl", description))))
    path = folder / "film.mp4"
    path.write_bytes(box(b"ftyp", b"isom", bytes(4), b"isom") + box(b"moov", track) + box(b"mdat", bytes(64)))
    return path


def configuration(profile: int, compatibility: int, name: bytes = b"dvcC") -> bytes:
    return box(name, bytes([1, 0, profile << 1, 0x0D, compatibility << 4]), bytes(19))


def test_dolby_vision_alone_is_refused_with_a_way_out(tmp_path: Path) -> None:
    with pytest.raises(SourceUnreadable) as refusal:
        check_file(film(tmp_path, configuration(5, 0)))
    assert refusal.value.code == "dolby_vision_only"
    assert "Export it as HDR10, HLG or SDR." in refusal.value.public_message


@pytest.mark.parametrize(
    ("profile", "compatibility", "name"),
    [(8, 1, b"dvvC"), (8, 2, b"dvvC"), (8, 4, b"dvvC"), (7, 6, b"dvcC"), (9, 2, b"dvvC")],
)
def test_what_has_hdr10_hlg_or_sdr_in_it_is_taken_on(
    tmp_path: Path, profile: int, compatibility: int, name: bytes
) -> None:
    assert check_file(film(tmp_path, configuration(profile, compatibility, name))).name == "mp4"


@pytest.mark.parametrize("configuration", [b"", box(b"colr", b"nclx", bytes(7)), b"dvcC"])
def test_other_films_are_none_of_its_business(tmp_path: Path, configuration: bytes) -> None:
    assert check_file(film(tmp_path, configuration)).name == "mp4"
