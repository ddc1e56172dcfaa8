"""Which rungs a film gets, and how large it is on each."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from encoder.ladder import LADDER, audio_bitrate, fitting_rungs, size_on
from tests.factories import make_source


@dataclass(frozen=True, slots=True)
class Case:
    name: str
    size: tuple[int, int]
    rungs: dict[str, tuple[int, int]]


CASES = (
    Case(
        "full HD",
        (1920, 1080),
        {"1080p": (1920, 1080), "720p": (1280, 720), "480p": (854, 480), "360p": (640, 360)},
    ),
    Case(
        "a phone held upright",
        (1080, 1920),
        {"1080p": (1080, 1920), "720p": (720, 1280), "480p": (480, 854), "360p": (360, 640)},
    ),
    Case(
        "a wide film counts as the height it was cut from",
        (1920, 800),
        {"1080p": (1920, 800), "720p": (1280, 534), "480p": (854, 356), "360p": (640, 266)},
    ),
    Case(
        "4K",
        (3840, 2160),
        {
            "2160p": (3840, 2160),
            "1440p": (2560, 1440),
            "1080p": (1920, 1080),
            "720p": (1280, 720),
            "480p": (854, 480),
            "360p": (640, 360),
        },
    ),
    Case("a thousand lines", (1778, 1000), {"720p": (1280, 720), "480p": (854, 480), "360p": (640, 360)}),
    Case("odd sides", (853, 481), {"480p": (852, 480), "360p": (638, 360)}),
    Case("four by three", (640, 480), {"480p": (640, 480), "360p": (480, 360)}),
    Case("square", (720, 720), {"720p": (720, 720), "480p": (480, 480), "360p": (360, 360)}),
    Case("tiny is never enlarged", (320, 180), {"360p": (320, 180)}),
    Case("tiny and odd is never enlarged either", (101, 75), {"360p": (100, 74)}),
    Case(
        "one step below a rung", (1918, 1078), {"720p": (1280, 720), "480p": (854, 480), "360p": (640, 360)}
    ),
)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_film_gets_the_rungs_at_or_below_it(case: Case) -> None:
    source = make_source(width=case.size[0], height=case.size[1])
    assert {rung.name: size_on(rung, source) for rung in fitting_rungs(source)} == case.rungs


@given(width=st.integers(2, 16_384), height=st.integers(2, 16_384))
def test_every_size_is_even_never_larger_than_the_film_and_of_its_shape(width: int, height: int) -> None:
    source = make_source(width=width, height=height)
    for rung in fitting_rungs(source):
        size = size_on(rung, source)
        assert size[0] % 2 == size[1] % 2 == 0
        assert 2 <= size[0] <= width and 2 <= size[1] <= height
        # Rounding moves each side by less than two pixels.
        assert abs(size[0] * height - size[1] * width) <= 2 * (width + height) or 2 in size


@given(width=st.integers(2, 16_384), height=st.integers(2, 16_384))
def test_every_film_has_the_lowest_rung_and_rungs_fall(width: int, height: int) -> None:
    rungs = fitting_rungs(make_source(width=width, height=height))
    assert rungs[-1] == LADDER[-1]
    assert [rung.lines for rung in rungs] == sorted((rung.lines for rung in rungs), reverse=True)


@pytest.mark.parametrize(
    ("name", "bitrate_bps"),
    [
        ("2160p", 192_000),
        ("1440p", 192_000),
        ("1080p", 128_000),
        ("720p", 128_000),
        ("480p", 96_000),
        ("360p", 96_000),
    ],
)
def test_sound_has_the_rate_of_the_highest_rung(name: str, bitrate_bps: int) -> None:
    rung = next(rung for rung in LADDER if rung.name == name)
    assert audio_bitrate(rung) == bitrate_bps
