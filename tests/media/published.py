"""A source taken the whole way in memory: probe, plan, every essential job, playlists by the code that publishes."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from pathlib import Path

from encoder.ladder import LADDER, Rung
from encoder.model import EncodePlan, Source
from encoder.names import CMAF, playlist_name, segment_name
from encoder.plan import Output, make_plan
from encoder.probe import probe
from jobs.contract import WorkerInfo
from jobs.layout import ESSENTIAL
from jobs.runner import Tools, run_claim
from jobs.states import JobState
from jobs.testing import MemoryCoordinator, MemoryJob
from jobs.worker import SLOTS
from vlog_app.models import Encode, Rendition
from vlog_app.services.manifest import manifest_text
from vlog_app.services.playlists import Availability, Row, master_text, media_text

#: Small, so that a film of the matrix costs a second: two rungs show that they fit each other.
TINY = (Rung("120p", 120, 300_000), Rung("60p", 60, 150_000))
WORKER = WorkerInfo("test", "test")


@dataclass(frozen=True, slots=True)
class Published:
    source: Source
    plan: EncodePlan
    coordinator: MemoryCoordinator

    @property
    def folder(self) -> Path:
        return self.coordinator.folder

    @property
    def failed(self) -> list[MemoryJob]:
        return [job for job in self.coordinator.jobs if job.state is not JobState.DONE and is_essential(job)]

    def segments(self, rendition: str) -> list[Path]:
        names = [segment_name(self.plan.container, rendition, n) for n in range(self.plan.segment_count)]
        return [self.folder / name for name in names if (self.folder / name).exists()]


def is_essential(job: MemoryJob) -> bool:
    return job.draft.kind in ESSENTIAL


def publish(
    ffmpeg: str,
    film: Path,
    folder: Path,
    *,
    ladder: tuple[Rung, ...] = TINY,
    segment_s: float = 1.0,
    chunk_s: float = 2.0,
    output: Output | None = None,
) -> Published:
    """Playlists are written when every essential job is done; `failed` says when not."""
    source = probe(film)
    plan = make_plan(source, segment_s=segment_s, ladder=ladder, preset="ultrafast", output=output)
    return encode(ffmpeg, film, folder, source, plan, chunk_s=chunk_s)


def encode(
    ffmpeg: str, film: Path, folder: Path, source: Source, plan: EncodePlan, *, chunk_s: float = 2.0
) -> Published:
    folder.mkdir(parents=True, exist_ok=True)
    coordinator = MemoryCoordinator(plan, film, folder, chunk_s=chunk_s, max_attempts=1)
    tools = Tools(ffmpeg, folder / "work", stall_s=60)
    for slot in SLOTS:
        while claim := coordinator.claim(WORKER, slot):
            run_claim(claim, coordinator, tools, threading.Event())
    published = Published(source, plan, coordinator)
    if not published.failed:
        write_playlists(published)
    return published


def write_playlists(published: Published) -> None:
    made = availability_of(published)
    for row in made.rows:
        text = media_text(made, row, timeline="full", suffix=False)
        (published.folder / playlist_name(made.plan.container, row.rendition.name)).write_text(text)
    if made.plan.container == CMAF:
        (published.folder / "manifest.mpd").write_text(manifest_text(made, suffix=False))
    (published.folder / "master.m3u8").write_text(master_text(made, timeline="full", suffix=False))


def availability_of(published: Published) -> Availability:
    """What publishing reads from the database, made of what was handed in."""
    plan, segments = published.plan, published.coordinator.segments
    rows = []
    for position, planned in enumerate(plan.renditions):
        mine = {index: segment for (name, index), segment in segments.items() if name == planned.name}
        rendition = Rendition(
            name=planned.name,
            kind=planned.kind,
            position=position,
            width=planned.width,
            height=planned.height,
            max_bitrate_bps=planned.max_bitrate_bps,
            planned_segments=plan.segment_count,
            codecs=mine[0].codecs,
            inits=published.coordinator.inits.get(planned.name, []),
        )
        durations = {index: segment.duration_s for index, segment in mine.items()}
        sizes = {index: segment.size_bytes for index, segment in mine.items()}
        inits = {n: rendition.inits.index(each.init_sha256) for n, each in mine.items() if rendition.inits}
        rows.append(Row(rendition, durations, sizes, inits))
    return Availability(
        Encode(generation=1, state="done", plan=plan.to_json()), plan, tuple(rows), is_whole=True
    )


__all__ = ["LADDER", "TINY", "Published", "availability_of", "encode", "publish"]
