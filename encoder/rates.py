"""How much an encoder may save up and spend, so that a rung stays under its rate over the joins of runs too. Pure."""

from __future__ import annotations

from fractions import Fraction

BUFFER_S = 2  # seconds at a rung's rate that may be saved up and spent at once, over the joins of runs too
# A run cannot know what the one before it has left in the buffer, and takes this for granted: together they never spend
# more than the whole. On its way it saves as much again, so that joins do not add up; the lead is the shortest run.
# One number for all runs: it stands in the headers of CMAF, which must not differ.
FOUND_S = Fraction(BUFFER_S, 4)
RUN_BUFFER_S = BUFFER_S - FOUND_S
SPARED = FOUND_S / 12


def capped_run(most_bps: int) -> list[str]:
    """For an encoder that begins with `found` in its buffer."""
    return ["-maxrate", str(int(most_bps * (1 - SPARED))), "-bufsize", str(int(RUN_BUFFER_S * most_bps))]


def found(most_bps: int) -> list[str]:
    """A full buffer would let every run overshoot the cap at its start."""
    return ["-rc_init_occupancy", str(int(FOUND_S * most_bps))]
