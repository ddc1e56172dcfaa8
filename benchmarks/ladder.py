"""How close the whole encode comes to the least it could cost, in CPU seconds, measured in one run.

    python -m benchmarks.ladder [--seconds 60] [--height 1080] [--preset veryfast] [--codec h264] [--rounds 1]
        [--source FILE]

limit     one decode of the source, and each rung encoded alone from ready-made raw frames with the same arguments
pipeline  everything VLog does to the same film: jobs, decode, scaling, rungs, sound, segments, checks, checkpoints
ratio     limit / pipeline; 1.0 would mean that nothing but decoding and encoding costs anything

Rounds alternate; medians are reported. Machines are noisy: only ratios of one run mean anything.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import resource
import statistics
import subprocess
import tempfile
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

from benchmarks.options import encode_options, output_of
from benchmarks.sources import camera_like
from encoder.command import Work, video_command
from encoder.model import EncodePlan, RenditionPlan
from encoder.plan import make_plan
from encoder.probe import probe
from jobs.contract import WorkerInfo
from jobs.layout import ESSENTIAL
from jobs.runner import Tools, run_claim
from jobs.states import JobState
from jobs.testing import MemoryCoordinator
from jobs.worker import SLOTS
from vlog_app.ffmpeg import find_ffmpeg

WORKER = WorkerInfo("bench", "bench")
Part = tuple[float, float]  # of a film: from and to, in seconds


@dataclass(frozen=True, slots=True)
class Round:
    decode_s: float
    rungs_s: dict[str, float]
    pipeline_s: float

    @property
    def limit_s(self) -> float:
        return self.decode_s + sum(self.rungs_s.values())

    @property
    def ratio(self) -> float:
        return self.limit_s / self.pipeline_s


def main() -> None:
    options = _options()
    ffmpeg = find_ffmpeg().path
    with tempfile.TemporaryDirectory() as folder:
        source = options.source or camera_like(ffmpeg, Path(folder), options.seconds, options.height)
        plan = make_plan(probe(source), preset=options.preset, output=output_of(options))
        rounds = [measure(ffmpeg, source, plan, Path(folder)) for _ in range(options.rounds)]
    report(plan, options, rounds)


def measure(ffmpeg: str, source: Path, plan: EncodePlan, folder: Path) -> Round:
    decode_s = at_once(partial(decode_alone, ffmpeg, source), plan)
    rungs_s = {
        row.name: at_once(partial(encode_alone, ffmpeg, source, plan, row), plan) for row in plan.video
    }
    return Round(decode_s, rungs_s, whole_pipeline(ffmpeg, source, plan, folder))


def at_once(spend: Callable[[Part], float], plan: EncodePlan) -> float:
    """CPU of a film that is cut into as many parts as there are cores, all at work together: a core whose sibling is
    busy takes longer for the same work, and in the pipeline all of them are.
    """
    parts, width = os.cpu_count() or 1, plan.segment_s
    cuts = [plan.segment_count * number // parts * width for number in range(parts)] + [plan.duration_s]
    with ThreadPoolExecutor(parts) as pool:
        return sum(pool.map(spend, itertools.pairwise(cuts)))


def decode_alone(ffmpeg: str, source: Path, part: Part) -> float:
    return cpu_of([*_reading(ffmpeg, source, part), "-f", "null", "-"])


def encode_alone(ffmpeg: str, source: Path, plan: EncodePlan, row: RenditionPlan, part: Part) -> float:
    """CPU of one encoder fed with scaled raw frames through a pipe; the feeder's CPU is not counted."""
    feed = [
        *_reading(ffmpeg, source, part),
        *("-vf", f"fps={plan.fps},scale={row.width}:{row.height}:flags=lanczos,format=yuv420p"),
        *("-f", "rawvideo", "-"),
    ]
    raw = [
        *(ffmpeg, "-v", "error", "-f", "rawvideo", "-pix_fmt", "yuv420p"),
        *("-s", f"{row.width}x{row.height}", "-r", str(plan.fps), "-i", "-"),
        *encoder_arguments(ffmpeg, plan, row),
        *("-f", "null", "-"),
    ]
    with subprocess.Popen(feed, stdout=subprocess.PIPE) as feeder:
        return cpu_of(raw, stdin=feeder.stdout)


def _reading(ffmpeg: str, source: Path, part: Part) -> list[str]:
    start, end = (str(at) for at in part)
    return [ffmpeg, "-v", "error", "-ss", start, "-to", end, "-i", str(source), "-map", "0:v:0"]


def encoder_arguments(ffmpeg: str, plan: EncodePlan, row: RenditionPlan) -> list[str]:
    """The very arguments of the pipeline, from `-c:v` to before the muxer."""
    argv = video_command(ffmpeg, Path("x"), plan, Work({row.name: 0}, plan.segment_count), Path("."))
    start = argv.index("-c:v")
    return argv[start : argv.index("-avoid_negative_ts", start)]


def cpu_of(argv: list[str], stdin: object = None) -> float:
    """User and system seconds of one finished process."""
    process = subprocess.Popen(argv, stdin=stdin)  # type: ignore[call-overload]
    _pid, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, argv
    return float(usage.ru_utime + usage.ru_stime)


def whole_pipeline(ffmpeg: str, source: Path, plan: EncodePlan, folder: Path) -> float:
    """CPU of this process and all its children while it carries out every essential job of the film."""
    media = Path(tempfile.mkdtemp(dir=folder))
    coordinator = MemoryCoordinator(plan, source, media)
    tools = Tools(ffmpeg, media / "work")
    before = _cpu_so_far()
    for slot in SLOTS:
        while claim := coordinator.claim(WORKER, slot):
            run_claim(claim, coordinator, tools, threading.Event())
    spent = _cpu_so_far() - before
    unfinished = [j for j in coordinator.jobs if j.state is not JobState.DONE and j.draft.kind in ESSENTIAL]
    assert not unfinished, unfinished
    return spent


def _cpu_so_far() -> float:
    usages = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def report(plan: EncodePlan, options: argparse.Namespace, rounds: list[Round]) -> None:
    top = plan.video[0]
    facts = f"{plan.duration_s:.0f} s, {float(plan.fps):.2f} fps, {options.codec} {options.preset}"
    print(f"{top.width}x{top.height}, {facts}")
    print(f"{'decode':>10}: {statistics.median(r.decode_s for r in rounds):8.2f} CPU s")
    for name in rounds[0].rungs_s:
        print(f"{name:>10}: {statistics.median(r.rungs_s[name] for r in rounds):8.2f} CPU s")
    print(f"{'limit':>10}: {statistics.median(r.limit_s for r in rounds):8.2f} CPU s")
    print(f"{'pipeline':>10}: {statistics.median(r.pipeline_s for r in rounds):8.2f} CPU s")
    ratio = statistics.median(r.ratio for r in rounds)
    print(f"{'ratio':>10}: {ratio:8.3f}")
    said = {"preset": options.preset, "codec": options.codec, "height": top.height}
    print(json.dumps(said | {"ratio": ratio, "rounds": [asdict(r) for r in rounds]}))


def _options() -> argparse.Namespace:
    return encode_options(__doc__).parse_args()


if __name__ == "__main__":
    main()
