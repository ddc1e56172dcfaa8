"""One who wants a whole film and one who wants a part of it, at once: one gets it, and nothing is made twice."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from flask import Flask
from sqlalchemy import select

from jobs.contract import Claim
from jobs.layout import GRID_KINDS, WHOLE
from jobs.states import JobState
from tests.contract.conftest import ANY, ATLAS, CELLAR
from tests.services.shop import film
from vlog_app.extensions import db
from vlog_app.models import Job
from vlog_app.services import queue, whole
from vlog_app.services.control import cancel_encode, current_encode

pytestmark = pytest.mark.usefixtures("database")
ROUNDS = 30


def at_once(app: Flask, start: threading.Barrier, ask: Callable[[], object]) -> object:
    start.wait(60)
    with app.app_context():
        return ask()


def a_part() -> Claim | None:
    return queue.claim_next_job(ATLAS, ANY)


def the_whole() -> object:
    return whole.claim_whole(CELLAR)


def test_a_part_and_the_whole_are_never_given_together(app: Flask) -> None:
    start = threading.Barrier(2)
    with ThreadPoolExecutor(2) as pool:
        for number in range(ROUNDS):
            video = film(12.0, title=f"Film {number}")
            db.session.rollback()
            runs = [pool.submit(at_once, app, start, ask) for ask in (a_part, the_whole)]
            assert any(run.result(120) is not None for run in runs)
            jobs = db.session.scalars(select(Job).where(Job.video_id == video.id)).all()
            leased = {job.kind for job in jobs if job.state == JobState.LEASED}
            assert not (WHOLE in leased and leased & set(GRID_KINDS))
            db.session.rollback()
            queue.lose_leases_of(ATLAS.id)
            queue.lose_leases_of(CELLAR.id)
            _retire(video.id)


def _retire(video_id: int) -> None:
    """Out of the way of the next round."""
    encode_id = current_encode(video_id)
    assert encode_id is not None
    cancel_encode(encode_id)
