"""What it costs to cut a film into chunks, and what a crash costs.

    python -m benchmarks.encode.chunks [--seconds 120] [--height 720] [--preset veryfast] [--codec h264] [--rounds 1]

whole     one job for all that comes after the lead
chunks    jobs of 60 s: CPU and bytes on top of that
crashes   chunks, and every job dies once in its middle: CPU on top of the chunks
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import threading
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path

from benchmarks.ladder import WORKER, _cpu_so_far
from benchmarks.options import encode_options, output_of
from benchmarks.sources import camera_like
from encoder.model import EncodePlan, Segment
from encoder.plan import make_plan
from encoder.probe import probe
from jobs.contract import Claim, LeaseLost
from jobs.layout import ENCODE, Rank
from jobs.runner import Tools, run_claim
from jobs.testing import MemoryCoordinator
from jobs.worker import SLOTS
from vlog_app.ffmpeg import find_ffmpeg

CHUNK_S = 60.0


@dataclass(slots=True)
class Crashing(MemoryCoordinator):
    """Every bulk job loses its lease once, when half of its segments are in."""

    crashed: set[int] = field(default_factory=set)

    def checkpoint(
        self, claim: Claim, segment: Segment, file: Path, init: Path | None = None, *, waits: bool = False
    ) -> bool:
        job = next(job for job in self.jobs if job.id == claim.job_id)
        half = claim.chunk.count * len(claim.renditions) // 2
        if job.draft.rank == Rank.BULK and job.handed_in >= half and job.id not in self.crashed:
            self.crashed.add(job.id)
            self._lose(job)
            raise LeaseLost("as if the worker had died")
        return MemoryCoordinator.checkpoint(self, claim, segment, file, init, waits=waits)


@dataclass(frozen=True, slots=True)
class Round:
    """CPU seconds and bytes of the pictures."""

    whole_s: float
    chunks_s: float
    crashes_s: float
    whole_bytes: int
    chunks_bytes: int

    @property
    def chunk_cpu(self) -> float:
        return self.chunks_s / self.whole_s - 1

    @property
    def chunk_bytes(self) -> float:
        return self.chunks_bytes / self.whole_bytes - 1

    @property
    def crash_cpu(self) -> float:
        return self.crashes_s / self.chunks_s - 1


def main() -> None:
    parser = encode_options(__doc__, seconds=120)
    parser.set_defaults(height=720)
    options = parser.parse_args()
    ffmpeg = find_ffmpeg().path
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        source = options.source or camera_like(ffmpeg, folder, options.seconds, options.height)
        plan = make_plan(probe(source), preset=options.preset, output=output_of(options))
        rounds = [measure(ffmpeg, source, plan, folder) for _ in range(options.rounds)]
    report(plan, options, rounds)


def measure(ffmpeg: str, source: Path, plan: EncodePlan, folder: Path) -> Round:
    def run(make: Callable[..., MemoryCoordinator], chunk_s: float) -> tuple[float, int]:
        media = Path(tempfile.mkdtemp(dir=folder))
        coordinator = make(plan, source, media, chunk_s=chunk_s, backoff_s=0.0)
        spent = pictures(ffmpeg, coordinator)
        rungs = {row.name for row in plan.video}
        sizes = (each.size_bytes for (rung, _index), each in coordinator.segments.items() if rung in rungs)
        return spent, sum(sizes)

    whole_s, whole_bytes = run(MemoryCoordinator, 0)
    chunks_s, chunks_bytes = run(MemoryCoordinator, CHUNK_S)
    crashes_s, crashes_bytes = run(Crashing, CHUNK_S)
    assert crashes_bytes > 0.9 * chunks_bytes
    return Round(whole_s, chunks_s, crashes_s, whole_bytes, chunks_bytes)


def pictures(ffmpeg: str, coordinator: MemoryCoordinator) -> float:
    """CPU seconds of all jobs that encode pictures."""
    before = _cpu_so_far()
    for slot in SLOTS:
        while ENCODE in slot.kinds and (claim := coordinator.claim(WORKER, slot)):
            run_claim(claim, coordinator, Tools(ffmpeg, coordinator.folder / "work"), threading.Event())
    return _cpu_so_far() - before


def report(plan: EncodePlan, options: argparse.Namespace, rounds: list[Round]) -> None:
    top = plan.video[0]
    print(f"{top.width}x{top.height}, {plan.duration_s:.0f} s, {options.codec} {options.preset}")
    for words, part in (
        ("chunks of 60 s, CPU", [each.chunk_cpu for each in rounds]),
        ("chunks of 60 s, bytes", [each.chunk_bytes for each in rounds]),
        ("one crash in every chunk, CPU", [each.crash_cpu for each in rounds]),
    ):
        print(f"{words:>30}: {100 * statistics.median(part):+6.2f} %")
    print(json.dumps({"codec": options.codec, "rounds": [asdict(each) for each in rounds]}))


if __name__ == "__main__":
    main()
