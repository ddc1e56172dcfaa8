"""The poster of a film without picture: a small job like the poster of any other."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from encoder.cover import cover_command, waveform_command
from encoder.errors import EncodeFailed
from encoder.process import Process

if TYPE_CHECKING:
    from ..runner import Bench


def make_sound_poster(bench: Bench) -> Path:
    """The cover when there is one that can be decoded, else the waveform. Raises EncodeFailed."""
    source = bench.coordinator.open_source(bench.claim)
    ffmpeg, track = bench.tools.ffmpeg, bench.claim.plan.audio[0].source_track
    cover, waveform = bench.work_dir / "cover.jpg", bench.work_dir / "waveform.jpg"
    try:
        _draw(bench, cover_command(ffmpeg, source, cover))
    except EncodeFailed:
        pass  # most often there is none
    if _is_there(cover):
        return cover
    _draw(bench, waveform_command(ffmpeg, source, track, waveform))
    if not _is_there(waveform):
        raise EncodeFailed("No poster could be drawn of this sound.", code="no_poster")
    return waveform


def _draw(bench: Bench, argv: list[str]) -> None:
    with Process(argv, bench.limits, bench.work_dir) as process:
        while not process.wait(0.2):
            bench.lease.check_drain()


def _is_there(file: Path) -> bool:
    return file.is_file() and file.stat().st_size > 0
