"""Where the finished segments of a rendition lie, each with the header it needs."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import select

from encoder.names import CMAF, init_name, segment_name
from jobs.contract import Claim, Refused, SegmentFile

from ..config import settings
from ..extensions import db
from ..models import Job, Rendition, Segment, Video
from .media_files import video_folder


def finished_segments(claim: Claim, name: str) -> list[SegmentFile]:
    """In order. Raises Refused when the rendition is not whole."""
    encode_id = db.session.get_one(Job, claim.job_id).encode_id
    query = select(Rendition).where(Rendition.encode_id == encode_id, Rendition.name == name)
    rendition = db.session.scalars(query).one()
    folder = video_folder(settings().videos_dir, db.session.get_one(Video, claim.video_id))
    inits = _init_numbers(rendition)
    container = claim.plan.container
    files = [
        SegmentFile(
            folder / segment_name(container, name, index),
            folder / init_name(name, inits.get(index, 0)) if container == CMAF else None,
        )
        for index in range(claim.plan.segment_count)
    ]
    if not all(_is_there(file.path) and _is_there(file.init) for file in files):
        raise Refused(f"{name} is not whole")
    return files


def _init_numbers(rendition: Rendition) -> dict[int, int]:
    if rendition.index is not None:
        return dict(enumerate(rendition.index.get("inits", [])))
    rows = select(Segment.index, Segment.init).where(Segment.rendition_id == rendition.id)
    return dict(db.session.execute(rows).tuples().all())


def _is_there(path: Path | None) -> bool:
    return path is None or path.is_file()
