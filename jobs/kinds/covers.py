"""The poster of a film without picture: a small job like the poster of any other."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from encoder.cover import cover_command, waveform_command
from encoder.errors import EncodeFailed

from ..pace import run_to_end

if TYPE_CHECKING:
    from ..runner import Bench


def make_sound_poster(bench: Bench) -> Path:
    """The cover when there is one that can be decoded, else the waveform. Raises EncodeFailed."""
    source = bench.coordinator.open_source(bench.claim)
    ffmpeg, track = bench.tools.ffmpeg, bench.claim.plan.audio[0].source_track
    cover, waveform = bench.work_dir / "cover.jpg", bench.work_dir / "waveform.jpg"
    try:
        run_to_end(bench, cover_command(ffmpeg, source.address, cover), source)
    except EncodeFailed:
        pass  # most often there is none
    if _is_there(cover):
        return cover
    run_to_end(bench, waveform_command(ffmpeg, source.address, track, waveform), source)
    if not _is_there(waveform):
        raise EncodeFailed("No poster could be drawn of this sound.", code="no_poster")
    return waveform


def _is_there(file: Path) -> bool:
    return file.is_file() and file.stat().st_size > 0
