"""Many at once: one job and two who want it, again and again; and a long queue emptied by several processes."""

from __future__ import annotations

import multiprocessing
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from flask import Flask

from jobs.contract import NOTHING_TO_REPORT, Claim, Slot, WorkerInfo
from jobs.layout import ENCODE
from jobs.states import JobState
from tests.conftest import AppFactory, dispose
from tests.contract.conftest import ATLAS, CELLAR, SOUND, segment_file
from tests.services.shop import cells_in, film, jobs_of
from vlog_app import create_app
from vlog_app.config import Settings
from vlog_app.extensions import db
from vlog_app.models import Attempt
from vlog_app.services import checkpoints, queue

pytestmark = pytest.mark.usefixtures("database")

ENCODES = Slot("encodes", (ENCODE,))
PROCESSES = 3


def race(app: Flask, worker: WorkerInfo, start: threading.Barrier) -> Claim | None:
    start.wait(60)
    with app.app_context():
        return queue.claim_next_job(worker, SOUND)


def race_again_and_again(app: Flask, rounds: int) -> None:
    """Each time the winner gives the job back, so that they race for it once more."""
    start = threading.Barrier(2)
    won: list[str] = []
    with ThreadPoolExecutor(2) as pool:
        for _ in range(rounds):
            runs = [pool.submit(race, app, worker, start) for worker in (ATLAS, CELLAR)]
            (winner,) = [claim for run in runs if (claim := run.result(120)) is not None]
            won.append(winner.token)
            queue.release_job(winner)
    assert len(set(won)) == rounds
    assert db.session.scalar(db.select(db.func.count(Attempt.id))) == rounds


def test_of_two_who_want_one_job_exactly_one_gets_it(app: Flask) -> None:
    film(12.0)
    race_again_and_again(app, 60)


@pytest.mark.slow
def test_of_two_who_want_one_job_exactly_one_gets_it_a_thousand_times(app: Flask) -> None:
    film(12.0)
    race_again_and_again(app, 1000)


def empty_the_queue(config: Settings, name: str, folder: str) -> list[int]:
    """One process: takes, hands in and finishes until there is nothing left."""
    app = create_app(config, surface="cli")
    worker, done = WorkerInfo(f"w-{name}", name), []
    with app.app_context():
        while (claim := queue.claim_next_job(worker, ENCODES)) is not None:
            for cell in sorted(claim.missing()):
                assert checkpoints.take_segment(claim, *segment_file(Path(folder), claim, *cell))
            queue.finish_job(claim, NOTHING_TO_REPORT)
            done.append(claim.job_id)
    dispose(app)
    return done


def test_a_queue_emptied_by_several_processes_is_worked_off_once(
    app_factory: AppFactory, config: Settings, tmp_path: Path
) -> None:
    jobs = empty_with_processes(app_factory, config, tmp_path, 120)
    assert len(jobs) == len(set(jobs)) == 120


@pytest.mark.slow
def test_five_hundred_jobs_are_worked_off_once(
    app_factory: AppFactory, config: Settings, tmp_path: Path
) -> None:
    jobs = empty_with_processes(app_factory, config, tmp_path, 500)
    assert len(jobs) == len(set(jobs)) == 500


def empty_with_processes(factory: AppFactory, config: Settings, folder: Path, number: int) -> list[int]:
    with factory("cli", split_seconds=1).app_context():
        video = film((number + 1) * 6.0, has_audio=False)  # the first piece has two segments
        db.session.rollback()
        context = multiprocessing.get_context("spawn")
        with context.Pool(PROCESSES) as pool:
            orders = [(config, str(n), str(folder)) for n in range(PROCESSES)]
            done = pool.starmap(empty_the_queue, orders)
        jobs = [job for job in jobs_of(video) if job.kind == ENCODE]
        assert {job.state for job in jobs} == {JobState.DONE}
        assert len(cells_in(video)) == number + 1
        assert all(done), "one process did everything"
        attempts = db.select(db.func.count(Attempt.id)).where(Attempt.job_id.in_([job.id for job in jobs]))
        assert db.session.scalar(attempts) == number
    return [job_id for each in done for job_id in each]
