"""What is done of an encode: the rendition by segment grid as read by pages, live streams and the API."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from itertools import groupby
from typing import Any

from sqlalchemy import select

from encoder.model import EncodePlan, is_rung
from jobs.layout import WHOLE
from jobs.states import AttemptOutcome, JobState

from ..extensions import db
from ..models import Attempt, Encode, Job, Rendition, Segment

AUDIO_WEIGHT = 20_000  # an audio segment costs about what a 160 x 120 picture does
RATE_WINDOW_S = 60.0  # speed is judged by the last minute
STABLE_AFTER_S = 5.0  # a time left is not shown before it has settled
STABLE_SEGMENTS = 3
# An attempt that ended otherwise than by finishing, but whose segments are here: they were kept.
KEPT_OUTCOMES = frozenset(
    {AttemptOutcome.LOST, AttemptOutcome.FAILED, AttemptOutcome.RELEASED, AttemptOutcome.CANCELLED}
)


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


def read_grid(video_id: int, generation: int, now: datetime) -> Grid | None:
    """Four short queries; None when nothing was planned for the video."""
    encode = db.session.scalars(
        select(Encode).where(Encode.video_id == video_id, Encode.generation == generation)
    ).one_or_none()
    if encode is None:
        return None
    plan = EncodePlan.from_json(encode.plan)
    renditions = db.session.scalars(
        select(Rendition).where(Rendition.encode_id == encode.id).order_by(Rendition.position)
    ).all()
    jobs = db.session.scalars(
        select(Job).where(Job.encode_id == encode.id, Job.end_segment > Job.first_segment)
    ).all()
    attempts = _attempts(encode.id)
    made = _segments([row.id for row in renditions])
    rows = tuple(
        _row(plan, rendition, made.get(rendition.id, []), attempts, jobs, is_done=encode.state == "done")
        for rendition in renditions
    )
    return Grid(
        encode_id=encode.id,
        state=encode.state,
        segment_s=plan.segment_s,
        duration_s=plan.duration_s,
        rows=rows,
        working=tuple(_working(job, attempts) for job in jobs if job.state == JobState.LEASED),
        eta_s=_time_left(rows, renditions, made, now) if encode.finished_at is None else None,
        retries=sum(max(0, job.attempts_used - 1) for job in jobs),
    )


def _attempts(encode_id: int) -> dict[int, Attempt]:
    query = select(Attempt).join(Job, Job.id == Attempt.job_id).where(Job.encode_id == encode_id)
    return {attempt.id: attempt for attempt in db.session.scalars(query)}


def _segments(rendition_ids: list[int]) -> dict[int, list[Any]]:
    query = select(Segment.rendition_id, Segment.index, Segment.attempt_id, Segment.created_at).where(
        Segment.rendition_id.in_(rendition_ids)
    )
    made: dict[int, list[Any]] = {}
    for row in db.session.execute(query):
        made.setdefault(row.rendition_id, []).append(row)
    return made


def _row(
    plan: EncodePlan,
    rendition: Rendition,
    made: list[Any],
    attempts: dict[int, Attempt],
    jobs: Any,
    *,
    is_done: bool,
) -> Row:
    """One that was cut elsewhere is shown on the plan's grid: all of it is there."""
    cells = plan.segment_count if rendition.is_foreign else rendition.planned_segments
    states = [CellState.WAITING] * cells
    fractions: dict[int, float] = {}
    if rendition.index is not None:
        was_kept = rendition.taken_from is not None and not is_done
        states = [CellState.KEPT if was_kept else CellState.DONE] * cells
    for segment in made:
        attempt = attempts.get(segment.attempt_id)
        was_kept = attempt is not None and attempt.outcome in KEPT_OUTCOMES
        states[segment.index] = CellState.KEPT if was_kept else CellState.DONE
    speed = None
    for job in jobs:
        if rendition.name in job.renditions:
            speed = _mark_job(job, states, fractions) or speed
    return Row(
        rendition.name, rendition.kind, rendition.width, rendition.height, rendition.max_bitrate_bps,
        rendition.size_bytes, tuple(states), fractions, speed, rendition.codecs, rendition.is_foreign,
        None if rendition.is_foreign else _said(rendition.name, jobs),
    )  # fmt: skip


def _said(name: str, jobs: Any) -> float | None:
    """What a worker that has the whole film says of one rendition, in percent."""
    whole = next((job for job in jobs if job.kind == WHOLE and job.state == JobState.LEASED), None)
    said = (whole.progress or {}).get("qualities", {}).get(name) if whole else None
    return None if said is None else float(said)


def _mark_job(job: Job, states: list[CellState], fractions: dict[int, float]) -> float | None:
    """Marks the cell a job works on, or the one it stopped at. Returns its speed while it runs."""
    todo = [n for n in range(job.first_segment, min(job.end_segment, len(states))) if not states[n].is_ready]
    if not todo:
        return None
    progress = job.progress or {}
    if job.state == JobState.LEASED:
        now_at = progress.get("segment")
        cell = now_at if now_at in todo else todo[0]
        states[cell] = CellState.MOVING
        fractions[cell] = round(float(progress.get("fraction", 0.0)) if cell == now_at else 0.0, 2)
        speed = progress.get("speed")
        return float(speed) if speed else None
    if job.state == JobState.FAILED or (
        job.state == JobState.QUEUED and job.error_code and job.attempts_used
    ):
        states[todo[0]] = CellState.FAILED
    return None


def _working(job: Job, attempts: dict[int, Attempt]) -> Working:
    attempt = attempts.get(job.attempt_id or 0)
    progress = job.progress or {}
    return Working(
        attempt_id=job.attempt_id or 0,
        worker_name=attempt.worker_name if attempt else "a worker",
        device=attempt.device if attempt else "cpu",
        renditions=tuple(job.renditions),
        segment=progress.get("segment"),
        speed=progress.get("speed"),
        first_segment=job.first_segment,
        end_segment=job.end_segment,
        step=(progress.get("step") or "start") if job.kind == WHOLE else None,
    )


def _time_left(
    rows: tuple[Row, ...], renditions: Any, made: dict[int, list[Any]], now: datetime
) -> float | None:
    """Work left at the rate of the last minute; None until there is enough to judge by. Where there are pictures they
    alone count: sound is made quickly and early, and says nothing of their pace.
    """
    judged = [row for row in rows if row.is_video] or rows
    weights = {
        rendition.id: row.weight for rendition, row in zip(renditions, rows, strict=True) if row in judged
    }
    recent = [
        (segment.created_at, weights[rendition_id])
        for rendition_id, segments in made.items()
        if rendition_id in weights
        for segment in segments
        if (now - segment.created_at).total_seconds() <= RATE_WINDOW_S
    ]
    if len(recent) < STABLE_SEGMENTS:
        return None
    span_s = (now - min(at for at, _ in recent)).total_seconds()
    if span_s < STABLE_AFTER_S:
        return None
    left = sum((len(row.states) - row.done) * row.weight for row in judged)
    return float(left * span_s / sum(weight for _, weight in recent))
