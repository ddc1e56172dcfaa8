"""Many at once: one job and two who want it, again and again; and a long queue emptied by several processes."""

from __future__ import annotations

import multiprocessing
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Barrier
from pathlib import Path
from threading import Barrier as Meeting

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


def race(config: Settings, worker: WorkerInfo, start: Barrier, line: Connection) -> None:
    """One process: whenever it is told to, it waits for the other one and asks for the job."""
    app = create_app(config, surface="cli")
    with app.app_context():
        while line.recv():
            start.wait(60)
            line.send(queue.claim_next_job(worker, SOUND))
            db.session.remove()
    dispose(app)


@contextmanager
def racers(config: Settings) -> Iterator[tuple[Connection, Connection]]:
    """Two processes, each at the other end of a line."""
    context = multiprocessing.get_context("spawn")
    start, lines, processes = context.Barrier(2), [], []
    for worker in (ATLAS, CELLAR):
        ours, theirs = context.Pipe()
        process = context.Process(target=race, args=(config, worker, start, theirs), daemon=True)
        process.start()
        lines.append(ours)
        processes.append(process)
    yield lines[0], lines[1]
    for line, process in zip(lines, processes, strict=True):
        line.send(False)
        process.join(60)


def race_again_and_again(config: Settings, rounds: int) -> None:
    """Each time the winner gives the job back, so that they race for it once more."""
    won: list[Claim] = []
    with racers(config) as lines:
        for _ in range(rounds):
            for line in lines:
                line.send(True)
            (winner,) = [claim for line in lines if (claim := line.recv()) is not None]
            won.append(winner)
            queue.release_job(winner)
    assert len({claim.token for claim in won}) == rounds
    assert {claim.job_id for claim in won} == {won[0].job_id}
    by_worker = Counter(db.session.scalars(db.select(Attempt.worker_id)))
    assert by_worker.total() == rounds
    assert min(by_worker.values()) > 0 and len(by_worker) == 2, f"no race: {by_worker}"


def test_of_two_who_want_one_job_exactly_one_gets_it(app: Flask, config: Settings) -> None:
    film(12.0)
    race_again_and_again(config, 50)


@pytest.mark.slow
def test_of_two_who_want_one_job_exactly_one_gets_it_a_thousand_times(app: Flask, config: Settings) -> None:
    film(12.0)
    race_again_and_again(config, 1000)


def empty_the_queue(config: Settings, name: str, folder: str, start: Meeting) -> list[int]:
    """One process: waits for the others; takes, hands in and finishes until there is nothing left."""
    app = create_app(config, surface="cli")
    worker, done = WorkerInfo(f"w-{name}", name), []
    start.wait(60)
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
        with context.Manager() as manager, context.Pool(PROCESSES) as pool:
            start = manager.Barrier(PROCESSES)
            orders = [(config, str(n), str(folder), start) for n in range(PROCESSES)]
            done = pool.starmap(empty_the_queue, orders)
        jobs = [job for job in jobs_of(video) if job.kind == ENCODE]
        assert {job.state for job in jobs} == {JobState.DONE}
        assert len(cells_in(video)) == number + 1
        # SQLite queues nobody: who waits for the lock may wait until the others are through.
        assert sum(map(bool, done)) > 1, "one process did everything"
        attempts = db.select(db.func.count(Attempt.id)).where(Attempt.job_id.in_([job.id for job in jobs]))
        assert db.session.scalar(attempts) == number
    return [job_id for each in done for job_id in each]
