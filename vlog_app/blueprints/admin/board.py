"""Reads for the queue page: what runs and what waits, in a column per kind of device, by priority."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import Row, Select, func, select

from encoder.device import DeviceKind
from jobs.layout import ENCODE, PAUSED, Priority
from jobs.states import JobState

from ...config import settings
from ...extensions import db
from ...models import Encode, Hold, Job, Rendition, Video, Worker
from ...services.at_work import AtWork, jobs_at_work
from ...services.control import UNFINISHED
from ...services.worker_facts import encoding_kind, slots_of
from ...services.workers import QUEUE
from ..public import links
from .board_parts import TITLES, Board, Column, Running, Stopped, Waiting, WorkerLine
from .pace import time_to_clear

FILMS_SHOWN = 60  # of each column and priority; the rest is a number
STOPPED_SHOWN = 5
SILENT_AFTER_S = 300.0
OTHER_WORK = {
    "audio": "sound",
    "copy": "copying the source",
    "poster": "the poster",
    "whole": "the whole film",
    "storyboard": "preview pictures",
}


def read_board(now: datetime) -> Board:
    held = db.session.get(Hold, QUEUE)
    found = _workers(now)
    kinds = {worker.id: encoding_kind(worker.facts) for worker in found}
    columns = {kind: Column(kind) for kind in TITLES}
    _add_running(columns, kinds)
    _add_workers(columns, kinds, found)
    _add_waiting(columns, _preferred(kinds))
    shown = tuple(each for each in columns.values() if each.workers or each.running or each.waiting)
    number, stopped = _stopped()
    film_s = db.session.scalar(
        select(func.coalesce(func.sum(Video.duration_s), 0.0))
        .join(Encode, Encode.video_id == Video.id)
        .where(Encode.state.in_(UNFINISHED))
    )
    return Board(
        columns=shown or (columns[DeviceKind.CPU],),
        held_since=held.since if held else None,
        stopped=stopped,
        stopped_number=number,
        clear_in_s=None if held else time_to_clear(now),
        film_s=float(film_s or 0),
    )


def _workers(now: datetime) -> list[Worker]:
    """Those heard of lately."""
    since = now - timedelta(seconds=SILENT_AFTER_S)
    query = select(Worker).where(Worker.stopped_at.is_(None), Worker.heartbeat_at > since)
    return list(db.session.scalars(query.order_by(Worker.name)))


def _preferred(kinds: dict[str, DeviceKind]) -> DeviceKind:
    """Where encoding is likely to go: to the best kind of device that is here. Nothing is bound to it."""
    return next((kind for kind in TITLES if kind in kinds.values()), DeviceKind.CPU)


def _add_running(columns: dict[DeviceKind, Column], kinds: dict[str, DeviceKind]) -> None:
    for job in jobs_at_work():
        kind = kinds.get(job.worker_id, DeviceKind.CPU) if job.kind == ENCODE else DeviceKind.CPU
        columns[kind].running.append(_running(job))


def _running(job: AtWork) -> Running:
    left_s = (1 - job.fraction) * job.length * settings().hls_segment_duration
    return Running(
        attempt_id=job.attempt_id,
        video_id=job.video.id,
        title=job.video.title,
        poster_url=links.poster_url(job.video),
        worker_name=job.worker_name,
        words=work_words(job.kind, job.renditions),
        fraction=job.fraction,
        left_s=left_s / job.speed if job.speed else None,
        gives_back=job.place >= PAUSED,
    )


def work_words(kind: str, renditions: Sequence[str]) -> str:
    """What a job makes."""
    return OTHER_WORK.get(kind) or _rungs(renditions)


def _rungs(names: Sequence[str]) -> str:
    return ", ".join(names) if len(names) < 3 else f"{names[0]} to {names[-1]}"


def _add_workers(
    columns: dict[DeviceKind, Column], kinds: dict[str, DeviceKind], found: list[Worker]
) -> None:
    running = select(Job.worker_id, func.count(Job.id)).where(
        Job.state == JobState.LEASED, Job.kind == ENCODE
    )
    counted = db.session.execute(running.group_by(Job.worker_id)).all()
    busy = {row[0]: int(row[1]) for row in counted}
    for worker in found:
        line = _line(worker, busy.get(worker.id, 0))
        column = columns[kinds[worker.id]]
        column.workers.append(line)
        if not line.is_held:
            column.free += max(0, slots_of(worker.facts) - busy.get(worker.id, 0))


def _line(worker: Worker, busy: int) -> WorkerLine:
    if worker.drain_requested_at is not None:
        return WorkerLine(worker.id, worker.name, "held", "draining", "It may be switched off.")
    if worker.paused_at is not None:
        return WorkerLine(worker.id, worker.name, "held", "paused", worker.pause_reason or "")
    return WorkerLine(
        worker.id, worker.name, "moving" if busy else "waiting", "at work" if busy else "idle", ""
    )


def _add_waiting(columns: dict[DeviceKind, Column], preferred: DeviceKind) -> None:
    rows = db.session.execute(_waiting_query()).all()
    encodes = [row.encode_id for row in rows]
    rungs = _open_rungs(encodes)
    for row in rows:
        kind = preferred if row.chunks else DeviceKind.CPU
        lane = columns[kind].lanes[row.priority]
        lane.number += 1
        if len(lane.films) < FILMS_SHOWN:
            lane.films.append(_waiting(row, rungs.get(row.encode_id, [])))


def _waiting_query() -> Select[Video, int, int, datetime | None, bool, int, str]:
    """Films with jobs that wait, in the order in which their first one will be taken; the paused last."""
    chunks = func.count(Job.id).filter(Job.kind == ENCODE)
    return (
        select(
            Video,
            Encode.id.label("encode_id"),
            Encode.priority,
            Encode.paused_at,
            (Encode.generation > Video.generation).label("is_again"),
            chunks.label("chunks"),
            func.min(Job.kind).label("other"),
        )
        .join(Encode, Encode.id == Job.encode_id)
        .join(Video, Video.id == Job.video_id)
        .where(Job.state == JobState.QUEUED)
        .group_by(Encode.id, Video.id)
        .order_by(func.min(Job.place), func.min(Job.turn), Encode.id)
    )


def _open_rungs(encode_ids: list[int]) -> dict[int, list[str]]:
    query = (
        select(Rendition.encode_id, Rendition.name)
        .where(Rendition.encode_id.in_(encode_ids), Rendition.is_rung)
        .where(Rendition.done_segments < Rendition.planned_segments)
        .order_by(Rendition.encode_id, Rendition.position)
    )
    names: dict[int, list[str]] = defaultdict(list)
    for encode_id, name in db.session.execute(query):
        names[encode_id].append(name)
    return names


def _waiting(row: Row[Video, int, int, datetime | None, bool, int, str], rungs: list[str]) -> Waiting:
    video, _, priority, paused_at, is_again, chunks, other = row
    words = OTHER_WORK.get(other, other)
    if chunks:
        words = f"{_rungs(rungs)}, {chunks} {'chunk' if chunks == 1 else 'chunks'}"
    if is_again:
        words = f"again: {words}"
    return Waiting(
        video.id, video.title, links.poster_url(video), Priority(priority), paused_at is not None, words
    )


def _stopped() -> tuple[int, tuple[Stopped, ...]]:
    query = (
        select(Video.id, Video.title, Encode.error_message)
        .join(Encode, (Encode.video_id == Video.id) & (Encode.generation >= Video.generation))
        .where(Encode.state == "failed", Video.deleted_at.is_(None))
    )
    number = db.session.scalar(select(func.count()).select_from(query.subquery())) or 0
    newest = query.order_by(Encode.finished_at.desc()).limit(STOPPED_SHOWN)
    return number, tuple(
        Stopped(video_id, title, message or "") for video_id, title, message in db.session.execute(newest)
    )
