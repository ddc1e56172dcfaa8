"""From a finished segment in the work directory to its checkpoint: measured, noted in the journal, handed in."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from encoder.device import CPU
from encoder.errors import OutputInvalid
from encoder.model import EncodePlan, Segment
from encoder.segments import FRAME_COUNT, closed_segments, init_beside, measure

from ..contract import JobProgress, OpenedSource, Refused
from ..journal import Heading, Journal

if TYPE_CHECKING:
    from ..runner import Bench


@dataclass(slots=True)
class Harvest:
    """Takes finished segments from the work directory, checks them, hands them in. `next`: rung -> next index."""

    bench: Bench
    source: OpenedSource
    next: dict[str, int]
    device: str = CPU.id
    first: dict[str, int] = field(init=False)
    journal: Journal = field(init=False)
    taken_bytes: int = 0
    _drain_marks: dict[str, int] | None = None

    def __post_init__(self) -> None:
        self.first = dict(self.next)
        self.journal = Journal(self.bench.work_dir, Heading.of(self.bench.claim, self.source.state))

    @property
    def plan(self) -> EncodePlan:
        return self.bench.claim.plan

    @property
    def end(self) -> int:
        return self.bench.lease.end_segment

    @property
    def is_complete(self) -> bool:
        return all(index >= self.end for index in self.next.values())

    def collect(self, *, is_last: bool) -> int:
        """Hand in what is finished since the last call; returns how many segments that were. `is_last`: ffmpeg has
        ended, nothing more will come.
        """
        taken = 0
        for name in self.next:
            fresh = list(self._fresh(name))
            self.source.check()  # before anything that was made of it is believed
            for index, path in fresh:
                is_newest = index == fresh[-1][0]
                segment = self._measure(name, index, path, may_be_cut=is_newest, is_last=is_last)
                if segment is not None and self._hand_in(segment, path):
                    taken += 1
        return taken

    def require_complete(self) -> None:
        for name, index in self.next.items():
            if index < self.end:
                raise self._ends_early(name, index)

    def _measure(
        self, name: str, index: int, path: Path, *, may_be_cut: bool, is_last: bool
    ) -> Segment | None:
        """None: too short, and it cannot be told yet whether that is because the film ends in it."""
        init = init_beside(self.bench.work_dir, self.plan, name)
        try:
            return measure(path, self.plan, self.plan.rendition(name), index, init)
        except OutputInvalid as error:
            if error.code != FRAME_COUNT or not may_be_cut:
                raise
            if is_last:
                raise self._ends_early(name, index) from error
            return None

    def _ends_early(self, name: str, index: int) -> OutputInvalid:
        at = float(self.plan.start_of(index))
        return OutputInvalid(
            f"The film ends at {at:.0f} s, earlier than it says. Everything before that is kept.",
            code="source_ends_early",
            detail=f"{name} stopped before segment {index} of {self.end}",
        )

    def landed_since_drain(self) -> bool:
        """True once every rung has landed the segment that was in flight when the worker was asked to leave."""
        if self._drain_marks is None:
            goal = max(self.next.values())
            self._drain_marks = dict.fromkeys(self.next, goal)
            return False
        return all(self.next[name] > min(mark, self.end - 1) for name, mark in self._drain_marks.items())

    def position(self, frame: int, speed: float | None) -> JobProgress:
        """The segment in flight on the slowest rung. `frame` counts the frames of the first output."""
        index = min(min(self.next.values()), self.end - 1)
        name = min(self.next, key=lambda rung: self.next[rung])
        made = frame - (index - self.first[name]) * self.plan.segment_frames
        fraction = max(0.0, min(1.0, made / self.plan.frames_in(index)))
        return JobProgress(index, round(fraction, 2), speed, self.device)

    def _fresh(self, name: str) -> Iterator[tuple[int, Path]]:
        for index, path in closed_segments(self.bench.work_dir, name):
            if self.next[name] <= index < self.end:
                yield index, path

    def _hand_in(self, segment: Segment, path: Path) -> bool:
        init = init_beside(self.bench.work_dir, self.plan, segment.rendition)
        self.journal.note(segment, path, init)
        try:
            self.bench.coordinator.checkpoint(self.bench.claim, segment, path, init)
        except Refused:
            self.bench.lease.refresh()
            if segment.index < self.end:
                raise
            return False  # a viewer's demand has just given this part to another job
        self.next[segment.rendition] = segment.index + 1
        self.taken_bytes += segment.size_bytes
        return True
