"""Who gets which job, and that nobody gets one that somebody has."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from flask import Flask

from jobs.contract import Claim, JobProgress, LeaseLost, Slot, WorkerInfo
from jobs.layout import AUDIO, ENCODE, POSTER, STORYBOARD, Rank
from tests.conftest import AppFactory
from tests.contract.conftest import ANY, ATLAS, CELLAR, ENCODES, SOUND
from tests.factories import events_of, make_source, make_video
from tests.services.shop import attempt_of, encode_of, film, job_of, jobs_of, pass_time, plan_of, take
from vlog_app.extensions import db, transaction
from vlog_app.models import Job
from vlog_app.services import queue
from vlog_app.services.clock import database_now
from vlog_app.services.events import EventKind

pytestmark = pytest.mark.usefixtures("database")

EACH = 200  # claims of one thread
SCREENS_S = 2520.0  # cut into pieces of one segment: 422 jobs


@pytest.mark.usefixtures("app")
def test_jobs_are_taken_in_the_order_viewers_want_them() -> None:
    make_video(source=make_source(seconds=120))
    claims = [take() for _ in range(6)]
    assert [(claim.kind, claim.renditions, claim.chunk.first, claim.chunk.end) for claim in claims] == [
        (ENCODE, ("360p",), 0, 2),
        (AUDIO, ("audio",), 0, 20),
        (POSTER, (), 0, 20),
        (ENCODE, ("1080p", "720p", "480p"), 0, 2),
        (ENCODE, ("1080p", "720p", "480p", "360p"), 2, 12),
        (ENCODE, ("1080p", "720p", "480p", "360p"), 12, 20),
    ]
    assert queue.claim_next_job(ATLAS, ANY) is None


@pytest.mark.usefixtures("app")
def test_every_film_begins_before_any_is_finished() -> None:
    first, second = (make_video(title, source=make_source()) for title in ("One", "Two"))
    taken = [take(ENCODES, WorkerInfo(f"w-{n}", str(n))) for n in range(6)]
    assert [(claim.video_id, job_of(claim).rank) for claim in taken] == [
        (first.id, Rank.LEAD),
        (second.id, Rank.LEAD),
        (first.id, Rank.FIRST),
        (second.id, Rank.FIRST),
        (first.id, Rank.BULK),
        (second.id, Rank.BULK),
    ]


@pytest.mark.usefixtures("app")
def test_a_slot_for_urgent_work_leaves_the_rest() -> None:
    make_video(source=make_source())
    urgent = Slot("urgent", (ENCODE, POSTER), max_rank=Rank.POSTER)
    assert [take(urgent).kind for _ in range(2)] == [ENCODE, POSTER]
    assert queue.claim_next_job(ATLAS, urgent) is None


@pytest.mark.usefixtures("app")
def test_a_claim_says_what_it_is_about() -> None:
    video = film(60)
    claim = take(ENCODES)
    assert (claim.video_id, claim.kind, claim.done) == (video.id, ENCODE, frozenset())
    assert claim.plan == plan_of(video)
    assert len(claim.token) == 32
    attempt = attempt_of(claim)
    assert (attempt.worker_name, attempt.outcome, attempt.segments_done) == ("atlas", None, 0)


@pytest.mark.usefixtures("app")
def test_the_first_claim_begins_the_encode() -> None:
    video = film()
    assert encode_of(video).state == "planned"
    take()
    assert encode_of(video).state == "encoding"
    assert [event.kind for event in events_of(video)] == [EventKind.UPLOADED, EventKind.STARTED]


@pytest.mark.usefixtures("app")
def test_a_job_that_waits_is_passed_over_until_its_time() -> None:
    film()
    with transaction() as session:
        for job in session.scalars(db.select(Job)):
            job.not_before_at = database_now(session) + timedelta(seconds=60)
    assert queue.claim_next_job(ATLAS, ANY) is None
    pass_time(61)
    assert queue.claim_next_job(ATLAS, ANY) is not None


@pytest.mark.usefixtures("app")
def test_progress_is_noted_with_the_renewal() -> None:
    film()
    claim = take(ENCODES)
    before = job_of(claim).lease_expires_at
    pass_time(30)
    orders = queue.renew_lease(claim, JobProgress(1, 0.5, 3.25))
    job = job_of(claim)
    assert job.progress == {"segment": 1, "fraction": 0.5, "speed": 3.25}
    assert before is not None and job.lease_expires_at is not None and job.lease_expires_at > before
    assert orders.end_segment == claim.chunk.end


@pytest.mark.usefixtures("app")
def test_the_attempt_remembers_the_device_its_worker_speaks_of() -> None:
    film()
    claim = take(ENCODES)
    assert attempt_of(claim).device == "cpu"
    queue.renew_lease(claim, JobProgress(1, 0.5, 3.25, "nvidia:1"))
    queue.renew_lease(claim, JobProgress(1, 0.7, 3.25))
    assert attempt_of(claim).device == "nvidia:1"


def claim_many(app: Flask, worker: WorkerInfo, start: threading.Barrier) -> list[int]:
    taken = []
    start.wait(30)
    for _ in range(EACH):
        with app.app_context():
            claim = queue.claim_next_job(worker, Slot("any", (ENCODE, AUDIO, POSTER, STORYBOARD)))
        if claim is not None:
            taken.append(claim.job_id)
    return taken


def test_two_workers_who_claim_at_the_same_time_never_get_the_same_job(app_factory: AppFactory) -> None:
    app = app_factory("cli", split_seconds=1)
    with app.app_context():
        video = film(SCREENS_S)
        start = threading.Barrier(2)
        with ThreadPoolExecutor(2) as pool:
            runs = [pool.submit(claim_many, app, worker, start) for worker in (ATLAS, CELLAR)]
            taken = [job_id for run in runs for job_id in run.result(120)]
        assert len(taken) == 2 * EACH
        assert len(set(taken)) == 2 * EACH
        leased = [job.id for job in jobs_of(video) if job.state == "leased"]
        assert sorted(taken) == leased


def hold(app: Flask, claim: Claim, held: threading.Event, go_on: threading.Event) -> str:
    """In a transaction of its own: prove the lease, then take a while."""
    with app.app_context(), transaction() as session:
        queue.hold_lease(session, claim)
        held.set()
        go_on.wait(30)
        return "kept"


def sweep(app: Flask, began: threading.Event) -> int:
    with app.app_context():
        began.set()
        return queue.sweep_expired_leases()


def test_a_lease_that_is_proved_at_the_last_moment_is_not_swept(app: Flask) -> None:
    film()
    claim = take(SOUND)
    pass_time(10_000)
    held, began = threading.Event(), threading.Event()
    with ThreadPoolExecutor(2) as pool:
        holding = pool.submit(hold, app, claim, held, began)
        assert held.wait(30)
        sweeping = pool.submit(sweep, app, began)
        assert holding.result(30) == "kept"
        assert sweeping.result(60) == 0
    assert job_of(claim).lease_token == claim.token


@pytest.mark.usefixtures("app")
def test_a_lease_that_was_swept_is_worth_nothing() -> None:
    film()
    claim = take(SOUND)
    pass_time(10_000)
    assert queue.sweep_expired_leases() == 1
    with pytest.raises(LeaseLost), transaction() as session:
        queue.hold_lease(session, claim)
