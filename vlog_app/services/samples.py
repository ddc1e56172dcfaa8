"""What a finished encode is looked into before viewers get it: some segments of every rendition, decoded."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import select
from sqlalchemy.orm import Session

from encoder.model import EncodePlan
from encoder.names import init_name, segment_name
from encoder.verify import Finding, Sample, sampled_segments, sound_start_s, verify

from ..models import Rendition, Segment
from .playlists import Availability, Row

Cell = tuple[str, int]  # rendition, index


@dataclass(frozen=True, slots=True)
class HandedIn:
    """Who made a segment, and of which bytes."""

    attempt_id: int | None
    sha256: str


def handed_in(session: Session, encode_id: int) -> dict[Cell, HandedIn]:
    columns = (Rendition.name, Segment.index, Segment.attempt_id, Segment.sha256)
    query = select(*columns).join(Segment, Segment.rendition_id == Rendition.id)
    rows = session.execute(query.where(Rendition.encode_id == encode_id))
    return {(name, index): HandedIn(attempt_id, sha256) for name, index, attempt_id, sha256 in rows}


def damaged_segments(made: Availability, folder: Path, cells: dict[Cell, HandedIn]) -> list[Finding]:
    """Call when every segment is there. Takes a third of a second for a 1080p film of any length."""
    samples = [
        _sample(made.plan, row, index, folder, cells)
        for row in made.rows
        if not row.is_foreign  # looked into when it came in
        for index in sampled_segments(made.plan)
    ]
    return verify(samples, made.plan)


def _sample(plan: EncodePlan, row: Row, index: int, folder: Path, cells: dict[Cell, HandedIn]) -> Sample:
    name = row.rendition.name
    planned = plan.rendition(name)
    start_s = float(plan.start_of(index))
    if not planned.is_video:
        start_s = sound_start_s(planned, (row.durations[before] for before in range(index)))
    cell = cells.get((name, index))
    path = folder / segment_name(plan.container, name, index)
    number = row.inits.get(index)
    return Sample(
        name,
        index,
        str(path),
        start_s,
        sha256=cell.sha256 if cell else None,
        init_path="" if number is None else str(folder / init_name(name, number)),
        init_sha256="" if number is None else row.rendition.inits[number],
    )
