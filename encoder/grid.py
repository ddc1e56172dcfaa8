"""Frame rates: is a list of timestamps a constant grid, and which one should the encode use?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise

STANDARD_RATES = tuple(
    sorted(
        [
            Fraction(rate)
            for rate in (5, 6, 8, 10, 12, 15, 18, 20, 24, 25, 30, 48, 50, 60, 90, 100, 120, 144, 240)
        ]
        + [Fraction(rate * 1000, 1001) for rate in (12, 15, 24, 30, 48, 60, 120, 240)]
    )
)
MAX_GRID_FPS = 60  # faster sources keep every second frame
MIN_GRID_FPS = 5  # slower ones repeat frames: a segment needs more than one picture
JITTER_S = 0.0012  # Matroska and AVI writers round to milliseconds
REORDER = 16  # H.264 and HEVC may hold back this many frames, so the end of a window has holes


@dataclass(frozen=True, slots=True)
class Grid:
    """`source_fps` is the constant rate of the source, or the nearest standard one when it has none."""

    source_fps: Fraction
    is_vfr: bool

    @property
    def fps(self) -> Fraction:
        """The rate of the encode's grid: at most 60, by halving; at least 5."""
        rate = self.source_fps
        while rate > MAX_GRID_FPS:
            rate /= 2
        return max(rate, Fraction(MIN_GRID_FPS))

    @property
    def is_source_grid(self) -> bool:
        """Every source frame is one frame of the grid."""
        return not self.is_vfr and self.fps == self.source_fps


def find_grid(windows: Sequence[Sequence[float]], tick_s: float, hints: Sequence[Fraction]) -> Grid:
    """The grid behind `windows`: runs of consecutive frame times in seconds, each in rising order.

    `hints` are rates that the container claims: believed only when the times agree with them.
    """
    windows = [window for window in windows if len(window) > 1]
    if not windows:
        return Grid(nearest_standard(hints[0]) if hints else Fraction(25), is_vfr=False)
    tolerance = max(1.5 * tick_s, JITTER_S)
    for rate in _candidates(windows, hints):
        if all(_fits(window, rate, tolerance) for window in windows):
            return Grid(rate, is_vfr=False)
    return Grid(nearest_standard(Fraction(1 / _usual_step(windows)).limit_denominator(1001)), is_vfr=True)


def nearest_standard(rate: Fraction) -> Fraction:
    return min(STANDARD_RATES, key=lambda standard: abs(standard - rate) / standard)


def _candidates(windows: Sequence[Sequence[float]], hints: Sequence[Fraction]) -> list[Fraction]:
    longest = max(windows, key=len)
    span = longest[-1] - longest[0]
    if span <= 0:
        return []
    mean = Fraction((len(longest) - 1) / span)
    near = sorted(STANDARD_RATES, key=lambda standard: abs(standard - mean))[:3]
    own = [rate for rate in (*hints, mean.limit_denominator(1001)) if abs(rate - mean) < mean / 20]
    return [*near, *own]


def _fits(window: Sequence[float], rate: Fraction, tolerance: float) -> bool:
    """All times lie on the grid, give or take the tolerance; the phase is taken from the whole window."""
    step = float(1 / rate)
    errors = [time - window[0] - index * step for index, time in enumerate(window)]
    return max(errors) - min(errors) <= 2 * tolerance and abs(errors[-1]) <= 2 * tolerance


def _usual_step(windows: Sequence[Sequence[float]]) -> float:
    """The lower quartile of the gaps: dropped frames make gaps longer, never shorter."""
    steps = sorted(
        later - earlier for window in windows for earlier, later in pairwise(window) if later > earlier
    )
    return max(steps[len(steps) // 4], 1 / 1000) if steps else 1 / 25
