"""Every kind of source, the whole way: probe, plan, the real pipeline, playlists, and back through a decoder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import av
import pytest

from encoder.errors import SourceUnreadable
from encoder.ladder import Rung
from encoder.model import Source
from encoder.probe import probe
from tests.conformance import check
from tests.conformance.sync import apart, beeps, flashes
from tests.films import join
from tests.media.published import Published, publish
from tests.media.scene import Kitchen
from tests.media.sources import FILMS, Expected, Film

pytestmark = pytest.mark.media

LADDER = (Rung("90p", 90, 400_000), Rung("48p", 48, 200_000))
RED_CR = 190  # of a corner that is red; grey has 128
SYNC_S = 0.020


def row(film: Film) -> object:
    return pytest.param(film, id=film.name, marks=[] if film.is_quick else [pytest.mark.slow])


@pytest.mark.parametrize("film", [row(film) for film in FILMS])
def test_source_becomes_the_film_it_is(
    film: Film, kitchen: Kitchen, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path, expected = film.make(kitchen), film.expected
    if expected.code:
        assert_refused(path, expected.code)
        return
    published = publish(kitchen.ffmpeg, path, folder, ladder=LADDER)
    assert [(job.draft.kind, job.failure) for job in published.failed] == []
    said = {getattr(record, "action", "") for record in caplog.records}
    assert ("source_damaged" in said) is expected.is_damaged
    assert_facts(published.source, expected)
    assert_length(published, expected)
    copied = [rendition.name for rendition in published.plan.copied]
    assert [str(finding) for finding in check(folder, copied=copied)] == []
    for rendition in published.plan.video:
        assert_picture(join(published.segments(rendition.name), folder / "picture.ts"), expected)
    assert_sound(published, expected)


def test_the_matrix_is_wide_and_its_names_are_unique() -> None:
    assert len(FILMS) >= 40
    assert len({film.name for film in FILMS}) == len(FILMS)


def assert_refused(path: Path, code: str) -> None:
    with pytest.raises(SourceUnreadable) as refusal:
        probe(path)
    assert refusal.value.code == code
    assert refusal.value.public_message.endswith(".")


def assert_facts(source: Source, expected: Expected) -> None:
    assert (source.width, source.height) == expected.size
    assert (source.fps, source.is_vfr) == (expected.fps, expected.is_vfr or expected.fps < 10)
    assert source.is_interlaced is expected.is_interlaced
    assert (source.audio[0].channels if source.audio else 0) == expected.channels
    if expected.languages:
        assert tuple(track.language for track in source.audio) == expected.languages
    if expected.hdr:
        assert (source.color_transfer, source.color_primaries) == (expected.hdr, "bt2020")


def assert_length(published: Published, expected: Expected) -> None:
    """The plan within one frame of the truth; `check` held the segments against their playlists already."""
    plan = published.plan
    assert plan.duration_s == pytest.approx(expected.seconds, abs=float(1 / plan.fps) + 0.001)
    pictures = sum(
        published.coordinator.segments[plan.lowest.name, n].frames for n in range(plan.segment_count)
    )
    assert pictures == plan.total_frames


def assert_picture(film: Path, expected: Expected) -> None:
    with av.open(str(film), format="mpegts") as media:
        frame = next(media.decode(media.streams.video[0]))
    luma, _cb, cr = frame.planes
    red = {name for name, (x, y) in CORNERS.items() if at(cr, x, y) > RED_CR}
    if expected.red:
        assert red == {expected.red}
        low, high = expected.red_luma
        assert low <= at(luma, *CORNERS[expected.red]) <= high
        low, high = expected.white
        assert low <= at(luma, *CORNERS[ACROSS[expected.red]]) <= high


CORNERS = {
    "top left": (0.1, 0.1),
    "top right": (0.9, 0.1),
    "bottom left": (0.1, 0.9),
    "bottom right": (0.9, 0.9),
}
ACROSS = {
    "top left": "bottom right",
    "top right": "bottom left",
    "bottom left": "top right",
    "bottom right": "top left",
}


def at(plane: Any, x: float, y: float) -> int:
    return int(bytes(plane)[int(y * plane.height) * plane.line_size + int(x * plane.width)])


def assert_sound(published: Published, expected: Expected) -> None:
    plan, folder = published.plan, published.folder
    assert bool(plan.audio) is bool(expected.channels)
    if not plan.audio or not expected.flashes:
        return
    picture = flashes(join(published.segments(plan.lowest.name), folder / "picture.ts"))
    sound = beeps(join(published.segments(plan.audio[0].name), folder / "sound.ts"))
    assert len(picture) >= 2
    frame_s = float(1 / plan.fps) if expected.is_vfr else 0.0
    assert max(map(abs, apart(picture, sound))) < SYNC_S + frame_s
