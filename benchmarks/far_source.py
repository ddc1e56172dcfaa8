"""How much of a long film a worker elsewhere fetches for one minute from its middle, and how soon it has a segment.

    python -m benchmarks.far_source [--minutes 180] [--mbit 5] [--round-trip-ms 20]

Each container twice: from a file beside the worker, and by the worker's own server on loopback, which fetches what
ffmpeg reads. The line answers after a round trip and is otherwise as quick as the disk. Segments must be the same.
"""

from __future__ import annotations

import argparse
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from encoder.command import Work, video_command
from encoder.inputs import Origin
from encoder.model import Chunk, EncodePlan
from encoder.plan import make_plan
from encoder.probe import probe
from encoder.process import Limits, Process
from jobs.blocks import BLOCK_BYTES
from jobs.contract import Claim
from jobs.sources import Head, Sources
from tests.films import numbered_film
from vlog_app.ffmpeg import find_ffmpeg

MINUTE_S = 60
CONTAINERS = {
    "mp4, index in front": ("front.mp4", "-movflags", "+faststart"),
    "mp4, index at the end": ("end.mp4",),
    "mov": ("x.mov",),
    "matroska": ("x.mkv",),
    "mpeg-ts": ("x.ts",),
}


@dataclass
class Disk:
    """A site whose answers come after a round trip; counts what it sends."""

    path: Path
    round_trip_s: float
    sent_bytes: int = 0
    requests: int = 0

    def look(self, _claim: Claim, _etag: str) -> Head:
        time.sleep(self.round_trip_s)
        with self.path.open("rb") as file:
            data = file.read(BLOCK_BYTES)
        self.sent_bytes += len(data)
        return Head("only", self.path.stat().st_size, data)

    @contextmanager
    def fetch(self, _claim: Claim, start: int, stop: int, _etag: str) -> Iterator[Iterator[bytes]]:
        self.requests += 1
        time.sleep(self.round_trip_s)
        with self.path.open("rb") as file:
            file.seek(start)
            yield self._pieces(file.read(stop - start))

    def _pieces(self, data: bytes) -> Iterator[bytes]:
        for at in range(0, len(data), 1 << 16):
            piece = data[at : at + (1 << 16)]
            self.sent_bytes += len(piece)
            yield piece


@dataclass(frozen=True, slots=True)
class Run:
    files: dict[str, bytes]
    first_s: float
    whole_s: float


def main() -> None:
    options = _options()
    ffmpeg = find_ffmpeg().path
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        minute = numbered_film(
            ffmpeg,
            root / "minute.mp4",
            seconds=MINUTE_S,
            size="640x360",
            fps="30",
            filled_to=f"{options.mbit}M",
        )
        print(
            "| container | film | fetched | of the film | times its minute | requests | first segment | by file |"
        )
        print("| --- | --- | --- | --- | --- | --- | --- | --- |")
        for name, (file, *how) in CONTAINERS.items():
            film = _looped(ffmpeg, minute, root / file, options.minutes, how)
            print(_row(name, film, measure(ffmpeg, film, root, options)), flush=True)
            film.unlink()


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=int, default=180)
    parser.add_argument("--mbit", type=int, default=5)
    parser.add_argument("--round-trip-ms", type=float, default=20)
    return parser.parse_args()


def _looped(ffmpeg: str, minute: Path, film: Path, minutes: int, how: list[str]) -> Path:
    ask = [ffmpeg, "-nostdin", "-v", "error", "-stream_loop", str(minutes - 1), "-i", str(minute)]
    subprocess.run([*ask, "-c", "copy", *how, str(film)], check=True)
    return film


def measure(ffmpeg: str, film: Path, root: Path, options: argparse.Namespace) -> tuple[Disk, Run, Run, float]:
    """The site, the run by the line, the run by the file, and what part of the film was asked for."""
    plan = make_plan(probe(film))
    first = plan.segment_count // 2
    work = Work({plan.lowest.name: first}, first + round(MINUTE_S / plan.segment_s))
    disk = Disk(film, options.round_trip_ms / 1000)
    with closing(Sources(root / "films", 1 << 40, threading.Event())) as sources:
        claim = Claim(1, "f" * 32, 120.0, 1, "encode", 1, plan, Chunk(0, 1), ("360p",))
        by_line = run(ffmpeg, lambda: sources.open(claim, disk).address, plan, work, root / "line")
        sources.let_go(claim)
    by_file = run(ffmpeg, lambda: film, plan, work, root / "file")
    if by_line.files != by_file.files:
        raise SystemExit("the segments differ")
    return disk, by_line, by_file, (work.end - first) / plan.segment_count


def run(ffmpeg: str, origin: object, plan: EncodePlan, work: Work, out: Path) -> Run:
    assert callable(origin)
    began, first_s = time.monotonic(), 0.0
    with tempfile.TemporaryDirectory(dir=out.parent) as folder:
        address: Origin = origin()
        with Process(
            video_command(ffmpeg, address, plan, work, Path(folder)), Limits(), Path(folder)
        ) as process:
            while not process.wait(0.02):
                if not first_s and list(Path(folder).glob("*.ts")):
                    first_s = time.monotonic() - began
        whole_s = time.monotonic() - began
        return Run({path.name: path.read_bytes() for path in Path(folder).glob("*.ts")}, first_s, whole_s)


def _row(name: str, film: Path, measured: tuple[Disk, Run, Run, float]) -> str:
    disk, by_line, by_file, part = measured
    size = film.stat().st_size
    cells = [
        name,
        f"{size / 1e6:.0f} MB",
        f"{disk.sent_bytes / 1e6:.1f} MB",
        f"{disk.sent_bytes / size:.2%}",
        f"{disk.sent_bytes / (size * part):.2f}",
        str(disk.requests),
        f"{by_line.first_s:.1f} s",
        f"{by_file.first_s:.1f} s",
    ]
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    main()
