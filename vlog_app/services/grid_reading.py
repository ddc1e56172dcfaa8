"""The grid of an encode out of the database, and the time that is left."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import select

from encoder.model import EncodePlan
from jobs.layout import WHOLE
from jobs.states import AttemptOutcome, JobState

from ..extensions import db
from ..models import Attempt, Encode, Job, Rendition, Segment
from .grid import CellState, Grid, Row, Working

RATE_WINDOW_S = 60.0  # speed is judged by the last minute
STABLE_AFTER_S = 5.0  # a time left is not shown before it has settled
STABLE_SEGMENTS = 3
# An attempt that ended otherwise than by finishing, but whose segments are here: they were kept.
KEPT_OUTCOMES = frozenset(
    {AttemptOutcome.LOST, AttemptOutcome.FAILED, AttemptOutcome.RELEASED, AttemptOutcome.CANCELLED}
)


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
