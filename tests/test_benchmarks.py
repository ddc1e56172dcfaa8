"""What is measured with has to run, or figures cannot be taken again."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SMALL = ("--seconds", "20", "--height", "360", "--preset", "ultrafast")
ENCODES = (
    "benchmarks.ladder",
    *(f"benchmarks.encode.{name}" for name in ("chunks", "per_rung", "quality", "stills")),
)

pytestmark = [pytest.mark.slow, pytest.mark.media, pytest.mark.timeout(300)]


@pytest.mark.parametrize("module", ENCODES)
def test_a_benchmark_of_the_encode_prints_its_table_and_its_numbers(module: str) -> None:
    argv = [sys.executable, "-m", module, *SMALL]
    said = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, timeout=280, check=False)
    assert said.returncode == 0, said.stderr[-2000:]
    *table, numbers = said.stdout.strip().splitlines()
    assert len(table) >= 3
    assert json.loads(numbers)
