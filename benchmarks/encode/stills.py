"""CPU of poster, storyboard and the check before publishing, on top of the encode.

    python -m benchmarks.encode.stills [--seconds 60] [--height 1080] [--preset veryfast] [--rounds 1]

`poster, 10 min`: the same film ten minutes long, where seeking has to do it. The limit is 3 % for poster and
storyboard together.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import tempfile
import threading
import time
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

from benchmarks.ladder import WORKER
from benchmarks.options import encode_options
from benchmarks.sources import camera_like
from encoder.model import Chunk, EncodePlan
from encoder.plan import make_plan
from encoder.probe import probe
from encoder.verify import Sample, sampled_segments, sound_start_s, verify
from jobs.contract import Slot
from jobs.layout import POSTER, STORYBOARD, JobDraft, Rank
from jobs.runner import KINDS, Tools, run_claim
from jobs.states import JobState
from jobs.testing import MemoryCoordinator, MemoryJob
from vlog_app.ffmpeg import find_ffmpeg

LONG_S = 600
STILLS = (POSTER, STORYBOARD)


@dataclass(frozen=True, slots=True)
class Round:
    """CPU seconds. `wall_s`: how long the same took by the clock."""

    encode_s: float
    poster_s: float
    storyboard_s: float
    verify_s: float
    long_poster_s: float
    long_poster_wall_s: float

    @property
    def ratio(self) -> float:
        return (self.poster_s + self.storyboard_s) / self.encode_s


def main() -> None:
    options = _options()
    ffmpeg = find_ffmpeg().path
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        source = options.source or camera_like(ffmpeg, folder, options.seconds, options.height)
        plan = make_plan(probe(source), preset=options.preset)
        rounds = [measure(ffmpeg, source, plan, folder) for _ in range(options.rounds)]
    report(plan, options.preset, rounds)


def measure(ffmpeg: str, source: Path, plan: EncodePlan, folder: Path) -> Round:
    room = Path(tempfile.mkdtemp(dir=folder))
    coordinator = MemoryCoordinator(plan, source, room)
    spent = _run(ffmpeg, coordinator, tuple(kind for kind in KINDS if kind not in STILLS))
    whole = Chunk(0, plan.segment_count)
    draft = JobDraft(STORYBOARD, Rank.STORYBOARD, whole, ())
    coordinator.jobs.append(MemoryJob(10_000, draft, whole))
    spent |= _run(ffmpeg, coordinator, STILLS)
    before = _cpu_so_far()
    assert verify(_samples(coordinator), plan) == []
    verify_s = _cpu_so_far() - before
    long_s, long_wall_s = _poster_of_long(ffmpeg, source, plan, room)
    stills_s = sum(spent[kind] for kind in STILLS)
    return Round(
        sum(spent.values()) - stills_s, spent[POSTER], spent[STORYBOARD], verify_s, long_s, long_wall_s
    )


def _run(ffmpeg: str, coordinator: MemoryCoordinator, kinds: tuple[str, ...]) -> dict[str, float]:
    """Carry out every job of these kinds; returns CPU seconds by kind."""
    tools = Tools(ffmpeg, coordinator.folder / "work")
    spent: dict[str, float] = defaultdict(float)
    while claim := coordinator.claim(WORKER, Slot("measured", kinds)):
        before = _cpu_so_far()
        run_claim(claim, coordinator, tools, threading.Event())
        spent[claim.kind] += _cpu_so_far() - before
    undone = [
        job.failure for job in coordinator.jobs if job.draft.kind in kinds and job.state != JobState.DONE
    ]
    assert not undone, undone
    return dict(spent)


def _samples(coordinator: MemoryCoordinator) -> list[Sample]:
    plan, found = coordinator.plan, []
    for row in plan.renditions:
        for index in sampled_segments(plan):
            start_s = float(plan.start_of(index))
            if not row.is_video:
                before = (coordinator.segments[row.name, n].duration_s for n in range(index))
                start_s = sound_start_s(row, before)
            path = coordinator.folder / f"{row.name}_{index:04d}.ts"
            checksum = coordinator.segments[row.name, index].sha256
            found.append(Sample(row.name, index, str(path), start_s, checksum))
    return found


def _poster_of_long(ffmpeg: str, source: Path, plan: EncodePlan, folder: Path) -> tuple[float, float]:
    """CPU and clock seconds of the poster when the same film is ten minutes long."""
    long = folder / "long.mp4"
    again = str(max(0, round(LONG_S / plan.duration_s) - 1))
    argv = [
        ffmpeg,
        "-nostdin",
        "-v",
        "error",
        "-stream_loop",
        again,
        "-i",
        str(source),
        "-c",
        "copy",
        str(long),
    ]
    subprocess.run(argv, check=True)
    coordinator = MemoryCoordinator(make_plan(probe(long)), long, folder)
    began = time.monotonic()
    spent = _run(ffmpeg, coordinator, (POSTER,))
    return spent[POSTER], time.monotonic() - began


def _cpu_so_far() -> float:
    usages = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def report(plan: EncodePlan, preset: str, rounds: list[Round]) -> None:
    top = plan.video[0]
    print(f"{top.width}x{top.height}, {plan.duration_s:.0f} s, preset {preset}, {len(rounds)} rounds")
    names = ("encode_s", "poster_s", "storyboard_s", "verify_s", "long_poster_s", "long_poster_wall_s")
    middle = {name: statistics.median(getattr(each, name) for each in rounds) for name in names}
    encode_s = middle["encode_s"]
    print(f"{'encode':>16}: {encode_s:8.2f} CPU s")
    for label, name in (("poster", "poster_s"), ("storyboard", "storyboard_s"), ("check", "verify_s")):
        print(f"{label:>16}: {middle[name]:8.2f} CPU s {middle[name] / encode_s:7.2%} of the encode")
    wall_s = middle["long_poster_wall_s"]
    print(f"{'poster, 10 min':>16}: {middle['long_poster_s']:8.2f} CPU s, after {wall_s:.2f} s")
    ratio = statistics.median(each.ratio for each in rounds)
    print(f"{'stills':>16}: {ratio:8.2%} on top of the encode")
    print(json.dumps({"preset": preset, "height": top.height, **middle, "ratio": ratio}))


def _options() -> argparse.Namespace:
    return encode_options(__doc__).parse_args()


if __name__ == "__main__":
    main()
