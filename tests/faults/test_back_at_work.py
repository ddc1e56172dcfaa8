"""Real workers: one that was killed goes on with its film at once; one whose film is paused lets go and takes it up."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import AppFactory
from tests.faults.conftest import StartWorker, state_of, upload
from tests.faults.remote import elsewhere
from tests.faults.test_killed_worker import orphans, stop, wait_until
from vlog_app.config import Settings
from vlog_app.extensions import db
from vlog_app.models import Attempt, Encode, Job, Video, Worker
from vlog_app.services import control

pytestmark = [pytest.mark.media, pytest.mark.timeout(420)]

logger = logging.getLogger(__name__)

SOON_S = 5.0


@pytest.fixture(scope="module")
def film(short_film: Path) -> Path:
    return short_film


def at_work(pid: int) -> bool:
    return leased() > 0 and bool(orphans(of=pid))


def newest(model: Any) -> Any:
    db.session.rollback()
    return db.session.scalars(db.select(model).order_by(model.id.desc()).limit(1)).one()


def begun_since(moment: datetime) -> list[Attempt]:
    return attempts(Attempt.started_at >= moment)


def begun_before(moment: datetime) -> list[Attempt]:
    return attempts(Attempt.started_at < moment)


def attempts(which: Any) -> list[Attempt]:
    db.session.rollback()
    return list(db.session.scalars(db.select(Attempt).where(which).order_by(Attempt.id)))


def leased() -> int:
    db.session.rollback()
    return db.session.scalar(db.select(db.func.count(Job.id)).where(Job.state == "leased")) or 0


@pytest.mark.parametrize("mode", ["database", "redis", pytest.param("hybrid", marks=pytest.mark.slow)])
def test_a_killed_worker_is_back_at_its_film_within_seconds_of_its_start(
    mode: str, film: Path, app_factory: AppFactory, start_worker: StartWorker, redis_url: str
) -> None:
    settings = {"job_queue_mode": mode, "redis_url": "" if mode == "database" else redis_url}
    with app_factory("cli", **settings).app_context():
        upload(film, "numbers")
        die_and_come_back(lambda: start_worker(**settings))


def test_a_killed_remote_worker_is_back_at_its_film_as_soon(
    uploaded: Video, config: Settings, tmp_path: Path
) -> None:
    with elsewhere(config, tmp_path) as place:
        place.serve()
        die_and_come_back(lambda: place.work("atlas"))


def die_and_come_back(start: Callable[[], subprocess.Popen[bytes]]) -> None:
    """By the database's clock, from its first word to its first job; its own leases would last two minutes."""
    worker = start()
    wait_until(lambda: at_work(worker.pid))
    os.kill(worker.pid, signal.SIGKILL)
    worker.wait()
    assert leased() > 0
    before = newest(Worker).started_at
    again = start()
    wait_until(lambda: newest(Worker).started_at > before)
    back_at = newest(Worker).started_at
    wait_until(lambda: begun_since(back_at) != [])
    begun = begun_since(back_at)
    took_s = (begun[0].started_at - back_at).total_seconds()
    logger.info("back at work after %.2f s", took_s)
    assert took_s < SOON_S
    wait_until(lambda: {attempt.outcome for attempt in begun_before(back_at)} <= {"finished", "lost"})
    lost = {attempt.job_id for attempt in begun_before(back_at) if attempt.outcome == "lost"}
    assert lost & {attempt.job_id for attempt in begun}
    stop(again)


def test_a_paused_film_is_let_go_at_a_segment_and_taken_up_where_it_stood(
    uploaded: Video, start_worker: StartWorker
) -> None:
    encode_id = db.session.scalars(db.select(Encode.id).where(Encode.video_id == uploaded.id)).one()
    worker = start_worker()
    wait_until(lambda: at_work(worker.pid))
    control.pause_encode(encode_id)
    wait_until(lambda: leased() == 0)
    wait_until(lambda: not orphans(of=worker.pid))
    assert state_of(uploaded) != "ready"
    outcomes = set(db.session.scalars(db.select(Attempt.outcome)))
    assert outcomes <= {"finished", "released"}
    last = newest(Attempt)
    control.resume_encode(encode_id)
    wait_until(lambda: newest(Attempt).id > last.id)
    stop(worker)
