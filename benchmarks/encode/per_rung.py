"""CPU of the whole encode against the usual way: one ffmpeg for each rung, each decoding the source again.

    python -m benchmarks.encode.per_rung [--seconds 30] [--height 1080] [--preset veryfast] [--rounds 1] [--fit]

Same presets, rates and segment length on both sides; the usual way leaves the number of threads to ffmpeg and encodes
the sound into every rung.
`--fit` makes a source that may be copied as the top rung. Rounds alternate, medians are reported; only the ratio
means anything.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
from dataclasses import replace
from pathlib import Path

from benchmarks.ladder import cpu_of, encoder_arguments, whole_pipeline
from benchmarks.options import encode_options
from benchmarks.sources import camera_like, fit_source
from encoder.model import EncodePlan, RenditionPlan
from encoder.plan import make_plan
from encoder.probe import probe
from vlog_app.ffmpeg import find_ffmpeg


def main() -> None:
    options = _options()
    ffmpeg = find_ffmpeg().path
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make = fit_source if options.fit else camera_like
        source = options.source or make(ffmpeg, folder, options.seconds, options.height)
        facts = probe(source)
        plan = make_plan(facts, preset=options.preset)
        # The usual way encodes every rung, also one that we copy.
        usual = plan if not plan.copied else make_plan(replace(facts, keyframes=None), preset=options.preset)
        pairs = [
            (usual_way(ffmpeg, source, usual, folder), whole_pipeline(ffmpeg, source, plan, folder))
            for _ in range(options.rounds)
        ]
    report(plan, options.preset, pairs)


def usual_way(ffmpeg: str, source: Path, plan: EncodePlan, folder: Path) -> float:
    return sum(cpu_of(_one_rung(ffmpeg, source, plan, row, folder)) for row in plan.video)


def _one_rung(ffmpeg: str, source: Path, plan: EncodePlan, row: RenditionPlan, folder: Path) -> list[str]:
    out = Path(tempfile.mkdtemp(dir=folder))
    return [
        *(ffmpeg, "-nostdin", "-v", "error", "-i", str(source), "-map", "0:v:0", "-map", "0:a:0?"),
        *("-vf", f"scale={row.width}:{row.height}"),
        *_without_threads(encoder_arguments(ffmpeg, plan, row)),
        *("-c:a", "aac", "-b:a", "128k"),
        *("-f", "hls", "-hls_time", str(plan.segment_s), "-hls_list_size", "0"),
        *("-hls_segment_filename", str(out / "%04d.ts"), str(out / "x.m3u8")),
    ]


def _without_threads(argv: list[str]) -> list[str]:
    at = argv.index("-threads")
    return argv[:at] + argv[at + 2 :]


def report(plan: EncodePlan, preset: str, pairs: list[tuple[float, float]]) -> None:
    top = plan.video[0]
    how = "copied" if plan.copied else "encoded"
    print(f"{top.width}x{top.height}, {plan.duration_s:.0f} s, preset {preset}, top rung {how}")
    print(f"one ffmpeg per rung: {statistics.median(usual for usual, _ in pairs):8.2f} CPU s")
    print(f"         this encode: {statistics.median(ours for _, ours in pairs):8.2f} CPU s")
    ratio = statistics.median(ours / usual for usual, ours in pairs)
    print(f"               ratio: {ratio:8.3f}")
    print(json.dumps({"preset": preset, "height": top.height, "top": how, "pairs": pairs, "ratio": ratio}))


def _options() -> argparse.Namespace:
    parser = encode_options(__doc__, seconds=30)
    parser.add_argument("--fit", action="store_true")
    return parser.parse_args()


if __name__ == "__main__":
    main()
