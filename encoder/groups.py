"""Which rungs one ffmpeg makes together, with one decode. Pure."""

from __future__ import annotations

from .device import Device, DeviceKind
from .model import EncodePlan

# Two or three rungs at a time keep a GPU's engines busy; one session is left for what a viewer waits for.
MOST_AT_ONCE = 3
HIGH_LINES = 1080


def qualities_at_once(parallel: int, *, is_auto: bool, device: Device) -> int:
    """How many rungs one ffmpeg makes. 0 is all: on the CPU they share one decode and wait for nobody."""
    if not is_auto:
        return max(1, parallel)
    if device.kind is DeviceKind.CPU:
        return 0
    if device.max_sessions is None:
        return MOST_AT_ONCE
    return max(1, min(MOST_AT_ONCE, device.max_sessions - 1))


def groups(plan: EncodePlan, at_once: int) -> tuple[tuple[str, ...], ...]:
    """The encoded rungs in groups of at most `at_once` (0: no limit), each made by one ffmpeg with one decode: the
    high ones together, then the low ones, so that none waits for a much slower neighbour. Highest first.
    """
    rows = plan.encoded
    if at_once <= 0 or at_once >= len(rows):
        return (tuple(row.name for row in rows),) if rows else ()
    high = [row.name for row in rows if min(row.width, row.height) >= HIGH_LINES]
    low = [row.name for row in rows if row.name not in high]
    return tuple(
        tuple(names[place : place + at_once])
        for names in (high, low)
        for place in range(0, len(names), at_once)
    )
