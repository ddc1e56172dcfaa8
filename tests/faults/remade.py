"""How much is encoded twice: looks into the scratch folders of workers all the time, and remembers how far each got."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterable
from pathlib import Path

from tests.faults.beside import Beside

LOOK_S = 0.05
SEGMENT = re.compile(r".*/job-(\d+)-.*/(.+)_(\d+)\.ts")


class Remade(Beside):
    """Watches folders that hold the scratch of workers: one folder a job, below it one for each try."""

    def __init__(self, roots: Iterable[Path]) -> None:
        self._roots = tuple(roots)
        self._made: dict[
            tuple[int, str, int], dict[Path, int]
        ] = {}  # (job, rung, segment) -> folder -> bytes
        self._begin()

    @property
    def seen(self) -> int:
        """How many segments it saw being made."""
        return len(self._made)

    def segments(self, jobs: Collection[int], rung: str, sizes: list[int]) -> float:
        """How many segments' worth of this rung these jobs made more than once. `sizes`: bytes of each that is in."""
        again = 0.0
        for (job, name, index), folders in self._made.items():
            if job in jobs and name == rung:
                parts = [min(1.0, made / sizes[index]) for made in folders.values()]
                again += sum(parts) - max(parts)  # the largest is the one that was taken in
        return again

    def _run(self) -> None:
        while not self._over.wait(LOOK_S):
            for root in self._roots:
                for folder, _folders, names in os.walk(root):  # folders that vanish meanwhile are no error
                    for name in names:
                        self._look(Path(folder, name))

    def _look(self, path: Path) -> None:
        found = SEGMENT.fullmatch(str(path))
        try:
            size = path.stat().st_size
        except OSError:
            return
        if found:
            folders = self._made.setdefault((int(found[1]), found[2], int(found[3])), {})
            folders[path.parent] = max(size, folders.get(path.parent, 0))
