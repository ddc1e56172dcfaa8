"""What is done of an encode: the rendition by segment grid as pages, live streams and the API show it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from itertools import groupby

from encoder.model import is_rung

AUDIO_WEIGHT = 20_000  # an audio segment costs about what a 160 x 120 picture does
#: First part of a codec string -> its name here.
CODEC_FAMILIES = {"hvc1": "hevc", "hev1": "hevc", "av01": "av1"}


class CellState(StrEnum):
    DONE = "done"
    KEPT = "kept"
    MOVING = "moving"
    WAITING = "waiting"
    FAILED = "failed"

    @property
    def is_ready(self) -> bool:
        return self in (CellState.DONE, CellState.KEPT)


@dataclass(frozen=True, slots=True)
class Run:
    """Neighbouring cells that look alike. `fraction` says how full a moving or partly done cell is."""

    first: int
    count: int
    state: CellState
    fraction: float = 1.0


@dataclass(frozen=True, slots=True)
class Row:
    """One rendition of the grid, one state per segment."""

    name: str
    kind: str
    width: int
    height: int
    max_bitrate_bps: int
    size_bytes: int
    states: tuple[CellState, ...]
    fractions: dict[int, float]
    speed: float | None = None
    codecs: str | None = None
    is_foreign: bool = False  # cut by somebody else, with its sound inside: there all at once
    said_percent: float | None = None  # what its worker says of it, where no segments are seen to come

    @property
    def is_video(self) -> bool:
        return self.kind == "video"

    @property
    def is_rung(self) -> bool:
        return is_rung(self.name)

    @property
    def label(self) -> str:
        return self.name.partition("-")[0] if self.is_rung else "Audio"

    @property
    def codec(self) -> str:
        """As the plan names rungs: `1080p-av1`, and plain `1080p` for H.264. One cut elsewhere says it itself."""
        if self.is_foreign:
            return CODEC_FAMILIES.get((self.codecs or "").partition(".")[0], "h264")
        return (self.name.partition("-")[2] or "h264") if self.is_video else "aac"

    @property
    def done(self) -> int:
        return sum(state.is_ready for state in self.states)

    @property
    def is_done(self) -> bool:
        return self.done == len(self.states)

    @property
    def percent(self) -> int:
        return whole_percent(self.part, len(self.states))

    @property
    def part(self) -> float:
        """Segments done, in fractions where only a percentage is known."""
        said = (self.said_percent or 0.0) / 100 * len(self.states)
        return self.done if self.is_done else max(self.done, min(said, len(self.states) - 1))

    @property
    def weight(self) -> int:
        return self.width * self.height if self.is_video else AUDIO_WEIGHT

    @property
    def ready_to(self) -> int:
        """Segments ready from the start without a gap."""
        return next((n for n, state in enumerate(self.states) if not state.is_ready), len(self.states))

    def runs(self, cells_per_bin: int = 1) -> list[Run]:
        bins = [self._bin(start, cells_per_bin) for start in range(0, len(self.states), cells_per_bin)]
        runs, first = [], 0
        for (state, fraction), group in groupby(bins):
            count = len(list(group))
            runs.append(Run(first, count, state, fraction))
            first += count
        return runs

    def _bin(self, start: int, size: int) -> tuple[CellState, float]:
        """Several cells as one: the worst news first, then motion, then how much is done."""
        states = self.states[start : start + size]
        if CellState.FAILED in states:
            return CellState.FAILED, 1.0
        ready = sum(state.is_ready for state in states)
        if CellState.MOVING in states:
            under_way = sum(self.fractions.get(n, 0.0) for n in range(start, start + len(states)))
            return CellState.MOVING, round((ready + under_way) / len(states), 2)
        if ready == len(states):
            return (CellState.KEPT if all(s is CellState.KEPT for s in states) else CellState.DONE), 1.0
        return (CellState.DONE, round(ready / len(states), 2)) if ready else (CellState.WAITING, 1.0)


@dataclass(frozen=True, slots=True)
class Working:
    """An attempt that runs now."""

    attempt_id: int
    worker_name: str
    device: str
    renditions: tuple[str, ...]
    segment: int | None
    speed: float | None
    first_segment: int
    end_segment: int
    step: str | None = None  # of a worker that has the whole film, in its own word


@dataclass(frozen=True, slots=True)
class Grid:
    """The whole picture of one encode at one moment."""

    encode_id: int
    state: str
    segment_s: float
    duration_s: float
    rows: tuple[Row, ...]
    working: tuple[Working, ...]
    eta_s: float | None
    retries: int

    @property
    def segments(self) -> int:
        return len(self.rows[0].states) if self.rows else 0

    @property
    def rungs(self) -> tuple[Row, ...]:
        """Highest first."""
        return tuple(row for row in self.rows if row.is_rung)

    @property
    def percent(self) -> int:
        done = sum(row.part * row.weight for row in self.rows)
        planned = sum(len(row.states) * row.weight for row in self.rows)
        return whole_percent(done, planned)

    @property
    def done_cells(self) -> int:
        return sum(row.done for row in self.rows)

    @property
    def planned_cells(self) -> int:
        return sum(len(row.states) for row in self.rows)

    @property
    def in_flight(self) -> int:
        return sum(state is CellState.MOVING for row in self.rows for state in row.states)

    @property
    def is_done(self) -> bool:
        return bool(self.rows) and all(row.is_done for row in self.rows)

    @property
    def next_up(self) -> Row | None:
        """The highest rung that is not whole yet."""
        return next((row for row in self.rungs if not row.is_done), None)

    @property
    def watchable(self) -> int:
        """Segments from the start that can be watched without a gap, at any rung, with sound."""
        return max((self._plays_to(row) for row in self.rungs), default=0)

    @property
    def watchable_s(self) -> float:
        return self.time_of(self.watchable)

    @property
    def best(self) -> tuple[Row, int] | None:
        """The highest rung that has a beginning, and how many segments of it play from the start."""
        for row in self.rungs:
            ready = self._plays_to(row)
            if ready:
                return row, ready
        return None

    @property
    def whole(self) -> Row | None:
        """The highest rung that plays to the end."""
        return next((row for row in self.rungs if self._plays_to(row) == self.segments), None)

    def time_of(self, segment: int) -> float:
        return min(segment * self.segment_s, self.duration_s)

    def _plays_to(self, row: Row) -> int:
        """Segments from the start that this rung plays with its sound."""
        return row.ready_to if row.is_foreign else min(row.ready_to, self._tracks_to)

    @property
    def _tracks_to(self) -> int:
        return min((row.ready_to for row in self.rows if not row.is_rung), default=self.segments)


def whole_percent(done: float, planned: float) -> int:
    """Whole; 99 until it is really done."""
    if not planned:
        return 0
    return 100 if done >= planned else min(99, int(100 * done / planned))
