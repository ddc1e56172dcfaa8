"""An ffmpeg and what it depends on: bytes of the source that come slowly, and a line that takes segments slowly."""

from __future__ import annotations

from typing import TYPE_CHECKING

from encoder.process import Process

from .contract import Drained, OpenedSource

if TYPE_CHECKING:
    from .runner import Bench

LOOK_S = 0.2
LEAVE_S = 5.0  # a worker that is asked to leave does not wait for a slow line any longer than this


def keep_pace(bench: Bench, process: Process, source: OpenedSource) -> None:
    """One look at a running ffmpeg: it is stopped while the line cannot take more, and no clock counts what it waits.

    Raises Drained, and what `OpenedSource.check` and `Coordinator.is_behind` raise.
    """
    source.check()
    is_behind = bench.coordinator.is_behind(bench.claim)
    if is_behind:
        process.pause()
    else:
        process.resume()
    waited_s = source.waited_s
    if waited_s:
        process.excuse()
    if bench.lease.is_draining and (is_behind or waited_s > LEAVE_S):
        raise Drained


def run_to_end(bench: Bench, argv: list[str], source: OpenedSource) -> int:
    """An ffmpeg that hands nothing in while it runs; returns how often it complained about the source."""
    with Process(argv, bench.limits, bench.work_dir) as process:
        while not process.wait(LOOK_S):
            bench.lease.check_drain()
            keep_pace(bench, process, source)
        source.check()
        return process.damage
