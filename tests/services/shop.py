"""A worker without an encoder: claims for real, hands in files of the right name, finishes."""

from __future__ import annotations

from pathlib import Path

from flask import Flask, current_app
from sqlalchemy import delete, select

from encoder.model import EncodePlan
from jobs.contract import Claim, Report, Slot, WorkerInfo
from tests.contract.conftest import ANY, ATLAS, must, segment_file
from tests.factories import make_source, make_video
from vlog_app.config import settings
from vlog_app.extensions import db, transaction
from vlog_app.models import Attempt, Encode, Hold, Job, Rendition, Segment, Video, Worker
from vlog_app.services import checkpoints, queue
from vlog_app.services.clock import SHIFT_KEY

OVER = 10_000.0  # seconds; longer than any lease, back-off included


def pass_time(seconds: float) -> None:
    """Moves the database's clock."""
    app: Flask = current_app._get_current_object()  # type: ignore[attr-defined]
    app.config[SHIFT_KEY] = app.config.get(SHIFT_KEY, 0.0) + seconds


def film(seconds: float = 60.0, *, title: str = "Film", has_audio: bool = True) -> Video:
    """640x360: one rung, and its sound."""
    return make_video(title, source=make_source(seconds=seconds, width=640, height=360, has_audio=has_audio))


def take(slot: Slot = ANY, worker: WorkerInfo = ATLAS) -> Claim:
    return must(queue.claim_next_job(worker, slot))


def hand_in(claim: Claim, folder: Path, *cells: tuple[str, int]) -> None:
    """These segments, or all that are missing."""
    for name, index in cells or sorted(claim.missing(), key=lambda cell: (cell[1], cell[0])):
        assert checkpoints.take_segment(claim, *segment_file(folder, claim, name, index))


def do_all(folder: Path, slot: Slot = ANY) -> None:
    """Everything that is in the queue."""
    while claim := queue.claim_next_job(ATLAS, slot):
        hand_in_and_finish(claim, folder)


def hand_in_and_finish(claim: Claim, folder: Path) -> None:
    if claim.renditions:
        hand_in(claim, folder, *sorted(claim.missing()))
    queue.finish_job(claim, Report(3.0))


def encode_of(video: Video) -> Encode:
    db.session.rollback()
    db.session.expire_all()
    return db.session.scalars(select(Encode).where(Encode.video_id == video.id)).one()


def plan_of(video: Video) -> EncodePlan:
    return EncodePlan.from_json(encode_of(video).plan)


def job_of(claim: Claim) -> Job:
    db.session.rollback()
    return db.session.get_one(Job, claim.job_id, populate_existing=True)


def jobs_of(video: Video) -> list[Job]:
    db.session.rollback()
    db.session.expire_all()
    return list(db.session.scalars(select(Job).where(Job.video_id == video.id).order_by(Job.id)))


def attempt_of(claim: Claim) -> Attempt:
    db.session.rollback()
    return db.session.get_one(Attempt, claim.attempt_id, populate_existing=True)


def rendition_of(video: Video, name: str) -> Rendition:
    encode = encode_of(video)
    return db.session.scalars(
        select(Rendition).where(Rendition.encode_id == encode.id, Rendition.name == name)
    ).one()


def cells_in(video: Video) -> set[tuple[str, int]]:
    """(rendition, index) of every segment row."""
    encode = encode_of(video)
    query = (
        select(Rendition.name, Segment.index)
        .join(Segment, Segment.rendition_id == Rendition.id)
        .where(Rendition.encode_id == encode.id)
    )
    return {(name, index) for name, index in db.session.execute(query)}


def state_of(video: Video) -> str:
    db.session.rollback()
    return db.session.get_one(Video, video.id, populate_existing=True).state


def wipe() -> None:
    """An installation as new: no film, no worker, and the clock as it is."""
    current_app.config[SHIFT_KEY] = 0.0
    with transaction() as session:
        for model in (Video, Worker, Hold):
            session.execute(delete(model))
    for video in settings().videos_dir.glob("*/*"):
        video.unlink()
    assert db.session.scalar(select(Job.id).limit(1)) is None
