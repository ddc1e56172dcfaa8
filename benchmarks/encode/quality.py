"""Bytes and VMAF of every rung against the usual way: one ffmpeg for each rung, scaled from the source by itself.

    python -m benchmarks.encode.quality [--seconds 20] [--height 1080] [--preset veryfast] [--codec h264]

Both are compared with the source at the source's size, as a screen shows them. Same presets, rates and segment length;
the usual way scales with ffmpeg's own choice, as most scripts do.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import tempfile
import threading
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.ladder import WORKER, encoder_arguments
from benchmarks.options import encode_options, output_of
from benchmarks.sources import camera_like
from encoder.filters import TAGS
from encoder.model import EncodePlan, RenditionPlan
from encoder.names import segment_name
from encoder.plan import make_plan
from encoder.probe import probe
from jobs.runner import Tools, run_claim
from jobs.testing import MemoryCoordinator
from jobs.worker import SLOTS
from vlog_app.ffmpeg import find_ffmpeg

# Pictures are paired by their number, and tags made alike: else ffmpeg would convert one side's colours to the other's.
SAME = f"settb=1/90000,setpts=N*3000,{TAGS}"


@dataclass(frozen=True, slots=True)
class Seen:
    """One rung made in one way."""

    kbps: float
    vmaf: float


def main() -> None:
    options = encode_options(__doc__, seconds=20).parse_args()
    ffmpeg = find_ffmpeg().path
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        source = options.source or camera_like(ffmpeg, folder, options.seconds, options.height)
        plan = make_plan(probe(source), preset=options.preset, output=output_of(options))
        coordinator = MemoryCoordinator(plan, source, folder / "ours")
        coordinator.folder.mkdir()
        encode_all(ffmpeg, coordinator, folder / "work")
        rows = {
            row.name: (
                look(ffmpeg, source, joined(coordinator, row, folder), plan),
                look(ffmpeg, source, usual(ffmpeg, source, plan, row, folder), plan),
            )
            for row in plan.encoded
        }
    report(options, rows)


def encode_all(ffmpeg: str, coordinator: MemoryCoordinator, work: Path) -> None:
    for slot in SLOTS:
        while claim := coordinator.claim(WORKER, slot):
            run_claim(claim, coordinator, Tools(ffmpeg, work), threading.Event())


def joined(coordinator: MemoryCoordinator, row: RenditionPlan, folder: Path) -> Path:
    """Our segments as one file."""
    plan = coordinator.plan
    names = [segment_name(plan.container, row.name, index) for index in range(plan.segment_count)]
    header = [f"{row.name}/init.mp4"] if plan.container == "cmaf" else []
    path = folder / f"ours-{row.name}"
    path.write_bytes(b"".join((coordinator.folder / each).read_bytes() for each in [*header, *names]))
    return path


def usual(ffmpeg: str, source: Path, plan: EncodePlan, row: RenditionPlan, folder: Path) -> Path:
    path = folder / f"usual-{row.name}.mp4"
    argv = [
        *(ffmpeg, "-nostdin", "-v", "error", "-i", str(source), "-map", "0:v:0"),
        *("-vf", f"scale={row.width}:{row.height}"),
        *encoder_arguments(ffmpeg, plan, row),
        str(path),
    ]
    subprocess.run(argv, check=True)
    return path


def look(ffmpeg: str, source: Path, film: Path, plan: EncodePlan) -> Seen:
    top = plan.video[0]
    graph = (
        f"[0:v]{SAME},scale={top.width}:{top.height}:flags=bicubic,format=yuv420p[a];"
        f"[1:v]{SAME},format=yuv420p[b];[a][b]libvmaf=n_subsample=3"
    )
    argv = [
        ffmpeg,
        "-nostdin",
        "-i",
        str(film),
        "-i",
        str(source),
        "-filter_complex",
        graph,
        "-f",
        "null",
        "-",
    ]
    said = subprocess.run(argv, check=True, capture_output=True, text=True, errors="replace").stderr
    found = re.search(r"VMAF score: ([0-9.]+)", said)
    assert found is not None, said[-2000:]
    return Seen(film.stat().st_size * 8 / plan.duration_s / 1000, float(found[1]))


def report(options: argparse.Namespace, rows: dict[str, tuple[Seen, Seen]]) -> None:
    print(f"{options.height}p, {options.seconds:.0f} s, {options.codec} {options.preset}; kbit/s and VMAF")
    print(f"{'rung':>12} {'ours':>16} {'usual way':>16}")
    for name, (ours, theirs) in rows.items():
        print(f"{name:>12} {ours.kbps:8.0f} {ours.vmaf:7.2f} {theirs.kbps:8.0f} {theirs.vmaf:7.2f}")
    said = {name: [asdict(ours), asdict(theirs)] for name, (ours, theirs) in rows.items()}
    print(
        json.dumps(
            {"codec": options.codec, "preset": options.preset, "height": options.height, "rungs": said}
        )
    )


if __name__ == "__main__":
    main()
