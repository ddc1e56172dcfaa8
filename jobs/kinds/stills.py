"""Poster and storyboard: small jobs beside the encode, from the source and from the finished lowest rung."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from encoder.errors import EncodeFailed
from encoder.poster import (
    PLACES,
    Picture,
    best,
    closer_command,
    distinct,
    is_closer_look_due,
    peek_command,
    pictures_in,
)
from encoder.stills import (
    storyboard_command,
    storyboard_files,
    storyboard_layout,
    write_rung,
)

from ..contract import OpenedSource
from ..pace import run_to_end
from ..source_state import SourceOnDisk
from .covers import make_sound_poster

if TYPE_CHECKING:
    from ..runner import Bench

POSTER = "thumbnail.jpg"
CANDIDATES = tuple(f"thumbnail_candidate_{number}.jpg" for number in range(1, len(PLACES) + 1))
STORYBOARD_INDEX = "storyboard.vtt"


def run_poster(bench: Bench) -> None:
    """The best picture of five places, and the best of each place for an owner who wants another one.
    Sound alone has a cover or a waveform, and nothing to choose from.
    """
    if not bench.claim.plan.video:
        bench.coordinator.hand_in(bench.claim, POSTER, make_sound_poster(bench))
        return
    source = bench.coordinator.open_source(bench.claim)
    candidates = distinct(_peeks(bench, source))
    if is_closer_look_due(candidates, bench.claim.plan.duration_s):
        argv = closer_command(bench.tools.ffmpeg, source.address, bench.claim.plan, _folder(bench, "closer"))
        candidates = distinct([*_look(bench, source, argv, "closer"), *candidates])
    chosen = best(candidates)
    if chosen is None:
        raise EncodeFailed("No picture of this film could be decoded for its poster.", code="no_poster")
    bench.coordinator.hand_in(bench.claim, POSTER, chosen.large)
    for name, picture in zip(CANDIDATES, _strongest(candidates), strict=False):
        bench.coordinator.hand_in(bench.claim, name, picture.small)


def _peeks(bench: Bench, source: OpenedSource) -> list[Picture]:
    """The best picture of every place that has one."""
    found = []
    for number, part in enumerate(PLACES):
        folder = _folder(bench, f"place{number}")
        argv = peek_command(bench.tools.ffmpeg, source.address, bench.claim.plan, part, folder)
        if picture := best(_look(bench, source, argv, folder.name)):
            found.append(picture)
    return found


def _strongest(candidates: list[Picture]) -> list[Picture]:
    """At most one for each name, in their order."""
    kept = sorted(candidates, key=lambda picture: picture.score, reverse=True)[: len(CANDIDATES)]
    return [picture for picture in candidates if picture in kept]


def _look(bench: Bench, source: OpenedSource, argv: list[str], folder: str) -> list[Picture]:
    """What one ffmpeg finds. A place without pictures is no failure: the film may be shorter than it says."""
    try:
        run_to_end(bench, argv, source)
    except EncodeFailed:
        pass  # what it wrote before that is looked at all the same
    return pictures_in(bench.work_dir / folder)


def _folder(bench: Bench, name: str) -> Path:
    folder = bench.work_dir / name
    folder.mkdir()
    return folder


def run_storyboard(bench: Bench) -> None:
    """Sheets of small pictures and a WebVTT that says where each stands."""
    plan = bench.claim.plan
    layout = storyboard_layout(plan)
    segments = bench.coordinator.open_segments(bench.claim, plan.lowest.name)
    playlist = write_rung(plan, [(each.path, each.init) for each in segments], bench.work_dir)
    argv = storyboard_command(bench.tools.ffmpeg, playlist, layout, bench.work_dir)
    run_to_end(bench, argv, SourceOnDisk(playlist))
    for file in storyboard_files(layout, bench.work_dir):
        bench.coordinator.hand_in(bench.claim, file.name, file)
    index = bench.work_dir / STORYBOARD_INDEX
    index.write_text(layout.webvtt())
    bench.coordinator.hand_in(bench.claim, index.name, index)
