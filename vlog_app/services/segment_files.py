"""Where the finished segments of a rendition lie, each with the header it needs."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import select

from encoder.names import CMAF, init_name, segment_name
from jobs.contract import Claim, Refused, SegmentFile

from ..extensions import db
from ..models import Encode, Job, Rendition, Segment
from .generations import folder_of


def finished_segments(claim: Claim, name: str) -> list[SegmentFile]:
    """In order. Raises Refused when the rendition is not whole."""
    folder, inits = _folder_of(claim), _init_numbers(_rendition_of(claim, name))
    files = [_file(claim, folder, name, index, inits) for index in range(claim.plan.segment_count)]
    if not all(_is_there(file.path) and _is_there(file.init) for file in files):
        raise Refused(f"{name} is not whole")
    return files


def finished_segment(claim: Claim, name: str, index: int) -> SegmentFile:
    """One of them. Raises Refused when it is not there."""
    inits = _init_numbers(_rendition_of(claim, name), only=index)
    file = _file(claim, _folder_of(claim), name, index, inits)
    if not (_is_there(file.path) and _is_there(file.init)):
        raise Refused(f"segment {index} of {name} is not there")
    return file


def _rendition_of(claim: Claim, name: str) -> Rendition:
    encode_id = db.session.get_one(Job, claim.job_id).encode_id
    query = select(Rendition).where(Rendition.encode_id == encode_id, Rendition.name == name)
    return db.session.scalars(query).one()


def _folder_of(claim: Claim) -> Path:
    job = db.session.get_one(Job, claim.job_id)
    return folder_of(db.session(), db.session.get_one(Encode, job.encode_id))


def _file(claim: Claim, folder: Path, name: str, index: int, inits: dict[int, int]) -> SegmentFile:
    container = claim.plan.container
    init = folder / init_name(name, inits.get(index, 0)) if container == CMAF else None
    return SegmentFile(folder / segment_name(container, name, index), init)


def _init_numbers(rendition: Rendition, only: int | None = None) -> dict[int, int]:
    if rendition.index is not None:
        return dict(enumerate(rendition.index.get("inits", [])))
    rows = select(Segment.index, Segment.init).where(Segment.rendition_id == rendition.id)
    if only is not None:
        rows = rows.where(Segment.index == only)
    return {row[0]: row[1] for row in db.session.execute(rows)}


def _is_there(path: Path | None) -> bool:
    return path is None or path.is_file()
