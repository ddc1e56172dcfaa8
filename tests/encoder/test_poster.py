"""What makes a picture a good poster, on pictures made by hand."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from encoder.poster import (
    LOOK_HEIGHT,
    LOOK_WIDTH,
    PLACES,
    POOR,
    Picture,
    best,
    distinct,
    is_closer_look_due,
    pictures_in,
    score,
)

PIXELS = LOOK_WIDTH * LOOK_HEIGHT


def checks(dark: int, light: int, tile: int = 4) -> bytes:
    """A chessboard: as sharp as a picture can be."""
    return bytes(
        light if (n % LOOK_WIDTH // tile + n // LOOK_WIDTH // tile) % 2 else dark for n in range(PIXELS)
    )


def fog(dark: int, light: int) -> bytes:
    """A soft passage from dark to light: contrast without a single edge."""
    return bytes(dark + (light - dark) * (n % LOOK_WIDTH) // LOOK_WIDTH for n in range(PIXELS))


GOOD = checks(60, 180)
BAD = {
    "black": bytes(PIXELS),
    "nearly black": bytes(random.Random(1).randint(0, 12) for _ in range(PIXELS)),
    "white": bytes([255]) * PIXELS,
    "a flash": checks(228, 255),
    "plain": bytes([128]) * PIXELS,
    "a title on black": bytes(255 if 1000 < n < 1040 else 0 for n in range(PIXELS)),
}


@pytest.mark.parametrize("look", BAD.values(), ids=BAD.keys())
def test_what_shows_nothing_is_poor(look: bytes) -> None:
    assert score(look) < POOR


def page() -> bytes:
    """A document on the screen: lines of grey on white."""
    lines = random.Random(2)
    return bytes(
        lines.randint(90, 230) if n // LOOK_WIDTH % 3 == 1 and 4 < n % LOOK_WIDTH < 50 else 255
        for n in range(PIXELS)
    )


def test_a_lively_picture_is_not_poor() -> None:
    assert score(GOOD) > 0.5


@pytest.mark.parametrize("look", [page(), checks(0, 255), checks(0, 70)], ids=["page", "line art", "night"])
def test_an_unusual_picture_is_still_a_picture(look: bytes) -> None:
    assert POOR < score(look) < score(GOOD)


@pytest.mark.parametrize(
    ("better", "worse"),
    [
        pytest.param(GOOD, fog(60, 180), id="sharp over blurred"),
        pytest.param(GOOD, checks(5, 60), id="well exposed over dark"),
        pytest.param(GOOD, checks(180, 250), id="well exposed over pale"),
        pytest.param(GOOD, checks(110, 120), id="lively over flat"),
        pytest.param(checks(5, 60), bytes(PIXELS), id="dark over black"),
    ],
)
def test_the_better_of_two_pictures(better: bytes, worse: bytes) -> None:
    assert score(better) > score(worse)


@given(st.binary(min_size=PIXELS, max_size=PIXELS))
def test_every_picture_has_a_score_from_0_to_1(look: bytes) -> None:
    assert 0 <= score(look) <= 1


def picture(name: str, look: bytes) -> Picture:
    return Picture(Path(name), Path(name), look, score(look))


def test_the_best_picture_is_chosen_and_equal_ones_are_one() -> None:
    one, two, again = picture("1", BAD["black"]), picture("2", GOOD), picture("3", GOOD)
    assert best([one, two]) == two
    assert best([]) is None
    assert distinct([one, two, again]) == [one, two]


@pytest.mark.parametrize(
    ("looks", "duration_s", "due"),
    [
        pytest.param([], 60, True, id="nothing decoded"),
        pytest.param([BAD["black"]] * 5, 600, True, id="all black"),
        pytest.param([GOOD], 600, False, id="one key frame in a long film, and it is good"),
        pytest.param([GOOD], 5, True, id="one key frame in a short film: decoding all is cheap"),
        pytest.param([GOOD] * len(PLACES), 5, False, id="a candidate from every place"),
    ],
)
def test_all_is_decoded_only_when_key_frames_do_not_do(
    looks: list[bytes], duration_s: float, due: bool
) -> None:
    candidates = [picture(str(number), look) for number, look in enumerate(looks)]
    assert is_closer_look_due(candidates, duration_s) is due


def test_a_picture_that_was_not_written_to_its_end_is_left_out(tmp_path: Path) -> None:
    for number, size in ((1, PIXELS), (2, 100)):
        (tmp_path / f"look_{number}.pgm").write_bytes(b"P5\n64 36\n255\n" + bytes(size))
        for kind in ("large", "small"):
            (tmp_path / f"{kind}_{number}.jpg").write_bytes(b"\xff\xd8")
    (tmp_path / "large_3.jpg").write_bytes(b"\xff\xd8")
    assert [found.large.name for found in pictures_in(tmp_path)] == ["large_1.jpg"]
