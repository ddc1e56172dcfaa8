"""Poster and storyboard: small jobs beside the encode, from the source and from the finished lowest rung."""

from __future__ import annotations

from typing import TYPE_CHECKING

from encoder.errors import EncodeFailed
from encoder.process import Process
from encoder.stills import (
    poster_commands,
    storyboard_command,
    storyboard_files,
    storyboard_layout,
    write_rung,
)

if TYPE_CHECKING:
    from ..runner import Bench

POSTER = "thumbnail.jpg"
STORYBOARD_INDEX = "storyboard.vtt"


def run_poster(bench: Bench) -> None:
    """One picture of the film. Later positions are tried first, since many films begin with black."""
    source = bench.coordinator.open_source(bench.claim)
    out = bench.work_dir / POSTER
    *earlier, last = poster_commands(bench.tools.ffmpeg, source, bench.claim.plan, out)
    for argv in earlier:
        try:
            _run(bench, argv)
        except EncodeFailed:
            continue  # no picture from there on: the film is shorter than it says, or a single frame
        if out.exists() and out.stat().st_size:
            break
    else:
        _run(bench, last)
    bench.coordinator.hand_in(bench.claim, POSTER, out)


def run_storyboard(bench: Bench) -> None:
    """Sheets of small pictures and a WebVTT that says where each stands."""
    plan = bench.claim.plan
    layout = storyboard_layout(plan)
    playlist = write_rung(
        plan, bench.coordinator.open_segments(bench.claim, plan.lowest.name), bench.work_dir
    )
    _run(bench, storyboard_command(bench.tools.ffmpeg, playlist, layout, bench.work_dir))
    for file in storyboard_files(layout, bench.work_dir):
        bench.coordinator.hand_in(bench.claim, file.name, file)
    index = bench.work_dir / STORYBOARD_INDEX
    index.write_text(layout.webvtt())
    bench.coordinator.hand_in(bench.claim, index.name, index)


def _run(bench: Bench, argv: list[str]) -> None:
    with Process(argv, bench.limits, bench.work_dir) as process:
        while not process.wait(0.2):
            bench.lease.check_drain()
