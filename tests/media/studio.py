"""One film through the real pipeline with a coordinator in memory: source in, segments out."""

from __future__ import annotations

import subprocess
import threading
from dataclasses import dataclass
from pathlib import Path

from encoder.model import Chunk, EncodePlan
from encoder.names import segment_name
from encoder.plan import Output, make_plan
from encoder.probe import probe
from jobs.contract import Claim, Slot, WorkerInfo
from jobs.layout import STORYBOARD, JobDraft, Rank
from jobs.runner import KINDS, Tools, run_claim
from jobs.states import JobState
from jobs.testing import MemoryCoordinator, MemoryJob

ATLAS = WorkerInfo("w-atlas", "atlas")
EVERY = Slot("every", tuple(KINDS))


@dataclass(frozen=True, slots=True)
class Studio:
    """`make` is a whole film: planned, encoded, in `folder`."""

    ffmpeg: str
    root: Path

    @property
    def folder(self) -> Path:
        return self.root / "media"

    @property
    def work(self) -> Path:
        return self.root / "work"

    def shoot(self, name: str, *arguments: str) -> Path:
        path = self.root / name
        argv = [self.ffmpeg, "-nostdin", "-v", "error", *arguments, str(path)]
        subprocess.run(argv, check=True, timeout=120)
        return path

    def open(
        self, source: Path, *, segment_s: float = 2, chunk_s: float = 4, output: Output | None = None
    ) -> MemoryCoordinator:
        self.folder.mkdir(exist_ok=True)
        plan = make_plan(probe(source), segment_s=segment_s, preset="ultrafast", output=output)
        return MemoryCoordinator(plan, source, self.folder, chunk_s=chunk_s)

    def make(
        self, source: Path, *, segment_s: float = 2, chunk_s: float = 4, output: Output | None = None
    ) -> MemoryCoordinator:
        coordinator = self.open(source, segment_s=segment_s, chunk_s=chunk_s, output=output)
        self.finish(coordinator)
        assert {job.state for job in coordinator.jobs} == {JobState.DONE}, [
            j.failure for j in coordinator.jobs
        ]
        return coordinator

    def finish(self, coordinator: MemoryCoordinator) -> None:
        while claim := coordinator.claim(ATLAS, EVERY):
            self.carry_out(claim, coordinator)

    def carry_out(
        self, claim: Claim, coordinator: MemoryCoordinator, drain: threading.Event | None = None
    ) -> None:
        tools = Tools(ffmpeg=self.ffmpeg, work_root=self.work)
        run_claim(claim, coordinator, tools, drain or threading.Event())
        assert list(self.work.iterdir()) == [], "scratch was left behind"

    def files(self, plan: EncodePlan, name: str) -> list[Path]:
        names = [segment_name(plan.container, name, index) for index in range(plan.segment_count)]
        return [self.folder / each for each in names]


def add_storyboard(coordinator: MemoryCoordinator) -> None:
    """The queue adds it once the lowest rung is whole; memory does not."""
    whole = Chunk(0, coordinator.plan.segment_count)
    draft = JobDraft(STORYBOARD, Rank.STORYBOARD, whole, ())
    coordinator.jobs.append(MemoryJob(1000, draft, whole))
