"""Numbers and times as people read them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from vlog_app import formats

NOW = datetime(2026, 11, 22, 14, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(None, "–"), (0, "0:00"), (9.9, "0:09"), (598, "9:58"), (3877, "1:04:37"), (36_000, "10:00:00")],
)
def test_durations_read_as_on_a_player(seconds: float | None, text: str) -> None:
    assert formats.duration(seconds) == text


@pytest.mark.parametrize(
    ("size", "text"),
    [(None, "–"), (0, "0 bytes"), (999, "999 bytes"), (1000, "1.0 kB"), (212_400_000, "212 MB"),
     (6_200_000_000, "6.2 GB"), (9_960_000_000, "10 GB"), (999_600_000, "1.0 GB"), (12_000_000_000_000, "12 TB")],
)  # fmt: skip
def test_sizes_are_decimal_with_a_hard_space(size: int | None, text: str) -> None:
    assert formats.byte_size(size) == text.replace(" ", "\u00a0")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, "–"),
        (0.2, "1 s"),
        (18, "18 s"),
        (59, "59 s"),
        (118, "about 2 min"),
        (3599, "1 h 00 min"),
        (3900, "1 h 05 min"),
    ],
)
def test_time_left_gets_rougher_the_longer_it_is(seconds: float | None, text: str) -> None:
    assert formats.time_left(seconds) == text.replace(" ", "\u00a0").replace("about\u00a0", "about ")


@pytest.mark.parametrize(
    ("age", "text"),
    [(timedelta(seconds=20), "just now"), (timedelta(minutes=12), "12 min ago"), (timedelta(hours=3), "3 h ago"),
     (timedelta(hours=26), "yesterday"), (timedelta(days=4), "4 days ago"), (timedelta(days=14), "8 Nov"),
     (timedelta(days=379), "8 Nov 2025")],
)  # fmt: skip
def test_recent_times_are_told_by_age_and_older_ones_by_date(age: timedelta, text: str) -> None:
    assert formats.ago(NOW - age, NOW).replace("\u00a0", " ") == text


@pytest.mark.parametrize(
    ("rate", "text"), [(2_500_000, "2.5 Mb/s"), (15_000_000, "15 Mb/s"), (160_000, "160 kb/s")]
)
def test_rates_are_bits(rate: int, text: str) -> None:
    assert formats.bit_rate(rate) == text.replace(" ", "\u00a0")
