"""The command line that all encode benchmarks share."""

from __future__ import annotations

import argparse
from pathlib import Path

from encoder.plan import Output


def encode_options(description: str | None, *, seconds: float = 60) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=seconds)
    parser.add_argument("--height", type=int, default=1080)
    parser.add_argument("--preset", default="veryfast")
    parser.add_argument("--codec", choices=("h264", "hevc", "av1"), default="h264")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--source", type=Path)
    return parser


def output_of(options: argparse.Namespace) -> Output:
    """One ladder in the codec that was asked for."""
    return Output(codec=options.codec, h264_too=False)
