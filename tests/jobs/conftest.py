"""One short film in memory, and a coordinator whose faults are played on purpose."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import pytest

from encoder.model import EncodePlan
from encoder.plan import make_plan
from jobs.contract import Claim, JobProgress, Orders, Slot, WorkerInfo
from jobs.layout import AUDIO, ENCODE, POSTER
from jobs.testing import MemoryCoordinator
from tests.factories import make_source

ATLAS = WorkerInfo("w-atlas", "atlas")
ANY = Slot("any", (ENCODE, AUDIO, POSTER))
ENCODES = Slot("encodes", (ENCODE,))


@dataclass(slots=True)
class Moody(MemoryCoordinator):
    """`moods`: what the next renewals raise; None is a good one. After the last the good ones go on."""

    moods: list[Exception | None] = field(default_factory=list)
    renewals: int = 0

    def renew(self, claim: Claim, progress: JobProgress | None) -> Orders:
        self.renewals += 1
        mood = self.moods.pop(0) if self.moods else None
        if mood is not None:
            raise mood
        return MemoryCoordinator.renew(self, claim, progress)


@pytest.fixture
def plan() -> EncodePlan:
    """Ten segments of 360p and of sound."""
    return make_plan(make_source(seconds=60, width=640, height=360))


@pytest.fixture
def coordinator(plan: EncodePlan, tmp_path: Path) -> Moody:
    folder = tmp_path / "media"
    folder.mkdir()
    (tmp_path / "x.mp4").touch()
    return Moody(plan, tmp_path / "x.mp4", folder)


@pytest.fixture
def claim(coordinator: Moody) -> Claim:
    claim = coordinator.claim(ATLAS, ENCODES)
    assert claim is not None
    return claim
