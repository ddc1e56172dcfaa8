"""A machine that plays with the real queue and its plain model side by side."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from jobs.contract import NOTHING_TO_REPORT, Claim, Failure, Incomplete, LeaseLost, Slot, WorkerInfo
from jobs.layout import AUDIO, ENCODE, ESSENTIAL, POSTER, STORYBOARD, Priority, place_of
from jobs.states import IllegalMove, JobState
from tests.contract.conftest import ATLAS, CELLAR, segment_file
from tests.contract.test_coordinators import BROKEN
from tests.services.queue_model import Cell, ModelFilm, ModelJob
from tests.services.shop import cells_in, do_all, encode_of, film, jobs_of, pass_time, wipe
from tests.services.test_fail import FINAL, FULL
from vlog_app.config import settings
from vlog_app.extensions import db
from vlog_app.models import Job
from vlog_app.services import checkpoints, control, fleet, publish, queue, workers
from vlog_app.services.clock import database_now

FILM_S = 24.0  # two encode jobs, sound, poster; the storyboard comes later
SLOTS = (
    Slot("any", (ENCODE, AUDIO, POSTER, STORYBOARD)),
    Slot("encodes", (ENCODE,)),
    Slot("sound", (AUDIO, POSTER)),
)
JUMPS_S = (50.0, 130.0, 4_000.0, -50.0, -3_700.0)  # a lease lasts 120 s, no wait more than 72 minutes
FINISHES = publish.MAX_REDOS


class QueueMachine(RuleBasedStateMachine):
    """Every rule does a thing to the real queue and to the model, and compares the answer."""

    folder: Path  # set by the test: where segments are made

    def __init__(self) -> None:
        super().__init__()
        wipe()
        self.most = settings().max_retry_attempts
        self.lease_s = settings().lease_s
        self.claims: list[Claim] = []
        self.films = [self._new_film(title) for title in ("One", "Two")]
        for worker in (ATLAS, CELLAR):
            fleet.greet(worker)

    def _new_film(self, title: str) -> ModelFilm:
        video = film(FILM_S, title=title)
        made = ModelFilm(video, encode_of(video).id)
        self._find_new_jobs(made)
        return made

    def _find_new_jobs(self, of: ModelFilm) -> None:
        """Jobs that finishing another one has queued."""
        for job in jobs_of(of.video):
            if job.id not in of.jobs:
                span = range(job.first_segment, job.end_segment)
                cells = frozenset((name, index) for name in job.renditions for index in span)
                fresh = ModelJob(job.id, of, job.kind, job.rank, cells, not_before=job.not_before_at)
                of.jobs[job.id] = fresh

    @property
    def jobs(self) -> list[ModelJob]:
        return [job for each in self.films for job in each.jobs.values()]

    def job(self, claim: Claim) -> ModelJob:
        return next(job for job in self.jobs if job.id == claim.job_id)

    def holder(self, claim: Claim) -> ModelJob | None:
        job = self.job(claim)
        held = job.claim is not None and job.claim.token == claim.token
        return job if held else None

    # --- what workers do

    @rule(worker=st.sampled_from([ATLAS, CELLAR]), slot=st.sampled_from(SLOTS))
    def claim(self, worker: WorkerInfo, slot: Slot) -> None:
        wanted = self._fitting(slot)
        claim = queue.claim_next_job(worker, slot)
        if claim is None:
            assert not wanted, "somebody had to wait for nothing"
            return
        job = self.job(claim)
        assert job in wanted, "this was nobody's to give"
        first = min(place_of(each.rank, each.film.priority) for each in wanted)
        assert place_of(job.rank, job.film.priority) == first
        assert claim.done == job.cells & job.film.done
        assert claim.token not in {old.token for old in self.claims}
        job.state, job.claim, job.worker_id, job.handed_in = JobState.LEASED, claim, worker.id, 0
        self.claims.append(claim)
        self._read_times(job)

    def _fitting(self, slot: Slot) -> list[ModelJob]:
        now = database_now(db.session())
        return [
            job
            for job in self.jobs
            if job.state is JobState.QUEUED and job.kind in slot.kinds and not job.film.is_paused
            if job.not_before is not None and job.not_before <= now
        ]

    @precondition(lambda self: self.claims)
    @rule(data=st.data())
    def renew(self, data: st.DataObject) -> None:
        claim = self._any_claim(data)
        job = self.holder(claim)
        try:
            orders = queue.renew_lease(claim, None)
        except LeaseLost:
            assert job is None
            return
        assert job is not None, "a stale token was good for something"
        assert orders.gives_back == job.film.is_paused
        self._read_times(job)

    @precondition(lambda self: self.claims)
    @rule(data=st.data())
    def checkpoint(self, data: st.DataObject) -> None:
        claim = self._any_claim(data)
        job = self.holder(claim)
        cell = data.draw(st.sampled_from(sorted(self.job(claim).cells) or [("none", 0)]))
        if cell == ("none", 0):
            return  # a poster has no segments
        self._hand_in(claim, job, cell)

    def _hand_in(self, claim: Claim, job: ModelJob | None, cell: Cell) -> None:
        facts, file = segment_file(self.folder, claim, *cell)
        try:
            is_new = checkpoints.take_segment(claim, facts, file)
        except LeaseLost:
            assert job is None
            file.unlink()
            return
        assert job is not None, "a stale token handed something in"
        assert is_new == (cell not in job.film.done)
        job.handed_in += is_new
        job.film.done.add(cell)
        self._read_times(job)

    @precondition(lambda self: self.claims)
    @rule(data=st.data())
    def finish(self, data: st.DataObject) -> None:
        self._finish(self._any_claim(data))

    @precondition(lambda self: any(job.claim for job in self.jobs))
    @rule(data=st.data())
    def make_everything_and_finish(self, data: st.DataObject) -> None:
        job = data.draw(st.sampled_from([job for job in self.jobs if job.claim]))
        assert job.claim is not None
        for cell in sorted(job.missing):
            self._hand_in(job.claim, job, cell)
        self._finish(job.claim)

    def _finish(self, claim: Claim) -> None:
        job = self.holder(claim)
        try:
            queue.finish_job(claim, NOTHING_TO_REPORT)
        except LeaseLost:
            assert job is None
        except Incomplete:
            assert job is not None and job.missing
            self._read_times(job)
        else:
            assert job is not None and not job.missing
            job.end(JobState.DONE)
            job.finishes += 1
            self._find_new_jobs(job.film)

    @precondition(lambda self: self.claims)
    @rule(data=st.data(), failure=st.sampled_from([BROKEN, BROKEN, FULL, FINAL]))
    def fail(self, data: st.DataObject, failure: Failure) -> None:
        claim = self._any_claim(data)
        job = self.holder(claim)
        queue.fail_job(claim, failure)
        if job is not None:
            self._charge(job, failure)
            if failure is FULL:
                assert queue.claim_next_job(ATLAS if job.worker_id == ATLAS.id else CELLAR, SLOTS[0]) is None
                workers.resume_worker(job.worker_id)  # somebody has made room

    @precondition(lambda self: self.claims)
    @rule(data=st.data())
    def release(self, data: st.DataObject) -> None:
        claim = self._any_claim(data)
        job = self.holder(claim)
        queue.release_job(claim)
        if job is not None:
            job.end(JobState.QUEUED)
            self._read_times(job)

    @rule(worker=st.sampled_from([ATLAS, CELLAR]))
    def restart(self, worker: WorkerInfo) -> None:
        lost = [job for job in self.jobs if job.claim and job.worker_id == worker.id]
        fleet.greet(worker)
        assert queue.lose_leases_of(worker.id) == len(lost)
        self._lose(lost)

    @rule()
    def sweep(self) -> None:
        now = database_now(db.session())
        lost = [job for job in self.jobs if job.claim and job.expires and job.expires < now]
        swept = queue.sweep_expired_leases()
        assert swept == len(lost)
        self._lose(lost)

    def _lose(self, lost: list[ModelJob]) -> None:
        for job in lost:
            if job.claim is not None:  # the end of another one may have cancelled it
                self._charge(job, None)

    def _charge(self, job: ModelJob, failure: Failure | None) -> None:
        """`failure` None: the lease was lost."""
        is_final = failure is not None and failure.is_final
        if failure is None or not failure.is_blameless:
            job.used = 1 if job.handed_in else job.used + 1
        if not is_final and job.used < self.most:
            job.end(JobState.QUEUED)
            self._read_times(job)
            return
        job.end(JobState.FAILED)
        if job.kind in ESSENTIAL:
            job.film.stop("failed")

    def _any_claim(self, data: st.DataObject) -> Claim:
        """Any that was ever given, the newest the most often."""
        number = data.draw(st.integers(0, len(self.claims) - 1).map(lambda n: len(self.claims) - 1 - n))
        return self.claims[number]

    def _read_times(self, job: ModelJob) -> None:
        """How long a wait is has tests of its own; here it matters when it is over."""
        found = db.session.get_one(Job, job.id, populate_existing=True)
        job.not_before, job.expires = found.not_before_at, found.lease_expires_at
        db.session.rollback()

    @precondition(lambda self: any(job.claim for job in self.jobs))
    @rule(data=st.data(), verb=st.sampled_from(["renew", "checkpoint", "finish", "fail", "release"]))
    def sleep_through_the_lease(self, data: st.DataObject, verb: str) -> None:
        """A worker loses its job to another one, wakes up, and goes on as if nothing had been."""
        job = data.draw(st.sampled_from([job for job in self.jobs if job.claim]))
        sleeper = job.claim
        assert sleeper is not None
        self.restart(ATLAS if job.worker_id == ATLAS.id else CELLAR)
        for _ in range(3):
            self.claim(CELLAR, SLOTS[0])
        assert self.holder(sleeper) is None
        if verb == "renew":
            with pytest.raises(LeaseLost):
                queue.renew_lease(sleeper, None)
        elif verb == "checkpoint" and job.cells:
            self._hand_in(sleeper, None, min(job.cells))
        elif verb == "finish":
            self._finish(sleeper)
        elif verb == "fail":
            queue.fail_job(sleeper, FINAL)
        else:
            queue.release_job(sleeper)

    # --- what people do

    @rule(data=st.data(), verb=st.sampled_from(["cancel", "retry", "pause", "resume"]))
    def decide(self, data: st.DataObject, verb: str) -> None:
        of = data.draw(st.sampled_from(self.films))
        is_open, was_paused = of.state == "open", of.is_paused
        allowed = {
            "cancel": is_open,
            "retry": of.state in ("failed", "cancelled"),
            "pause": is_open and not was_paused,
            "resume": is_open and was_paused,
        }[verb]
        try:
            getattr(control, f"{verb}_encode")(of.encode_id)
        except IllegalMove:
            assert not allowed
            return
        assert allowed
        getattr(self, f"_{verb}")(of)

    def _cancel(self, of: ModelFilm) -> None:
        of.stop("cancelled")

    def _retry(self, of: ModelFilm) -> None:
        of.state, of.is_paused = "open", False
        for job in of.jobs.values():
            if job.state in (JobState.FAILED, JobState.CANCELLED):
                job.end(JobState.QUEUED)
                job.used = 0
                self._read_times(job)

    def _pause(self, of: ModelFilm) -> None:
        of.is_paused = True

    def _resume(self, of: ModelFilm) -> None:
        of.is_paused = False

    @precondition(lambda self: any(each.is_begun for each in self.films))
    @rule(data=st.data())
    def call_off_and_take_up_again(self, data: st.DataObject) -> None:
        of = data.draw(st.sampled_from([each for each in self.films if each.is_begun]))
        control.cancel_encode(of.encode_id)
        self._cancel(of)
        control.retry_encode(of.encode_id)
        self._retry(of)

    @rule(data=st.data(), priority=st.sampled_from(list(Priority)))
    def prioritise(self, data: st.DataObject, priority: Priority) -> None:
        of = data.draw(st.sampled_from(self.films))
        try:
            control.prioritise(of.encode_id, priority)
        except IllegalMove:
            assert of.state != "open"
            return
        assert of.state == "open"
        of.priority = priority

    @rule(data=st.data(), slot=st.sampled_from(SLOTS))
    def hold_the_queue_for_a_moment(self, data: st.DataObject, slot: Slot) -> None:
        control.pause_queue()
        for worker in (ATLAS, CELLAR):
            assert queue.claim_next_job(worker, slot) is None
        if self.claims:
            self.renew(data)
        control.resume_queue()

    @rule(slot=st.sampled_from(SLOTS))
    def hold_a_worker_for_a_moment(self, slot: Slot) -> None:
        workers.pause_worker(ATLAS.id)
        assert queue.claim_next_job(ATLAS, slot) is None
        self.claim(CELLAR, slot)
        workers.resume_worker(ATLAS.id)

    # --- what happens

    @rule(seconds=st.sampled_from(JUMPS_S))
    def clock_jumps(self, seconds: float) -> None:
        pass_time(seconds)

    @precondition(lambda self: any(each.is_finished and each.state == "open" for each in self.films))
    @rule(data=st.data(), spoils=st.booleans())
    def publish(self, data: st.DataObject, spoils: bool) -> None:
        of = data.draw(st.sampled_from([f for f in self.films if f.is_finished and f.state == "open"]))
        if spoils:
            name, index = data.draw(st.sampled_from(sorted(of.done)))
            (settings().videos_dir / of.video.slug / f"{name}_{index:04d}.ts").unlink()
            self._redo(of, (name, index))
        assert publish.publish_encode(of.encode_id) is not spoils
        if not spoils:
            of.state = "published"
        for job in of.jobs.values():
            self._read_times(job)

    def _redo(self, of: ModelFilm, cell: Cell) -> None:
        """What has gone is made again, once."""
        job = next(job for job in of.jobs.values() if cell in job.cells)
        of.done.discard(cell)
        job.end(JobState.QUEUED)
        if job.finishes > FINISHES:
            of.stop("failed")

    # --- what is always so

    @invariant()
    def every_job_is_as_the_model_says(self) -> None:
        for of in self.films:
            found = {job.id: job for job in jobs_of(of.video)}
            assert found.keys() == of.jobs.keys()
            for job in of.jobs.values():
                row = found[job.id]
                assert (row.state, row.attempts_used) == (job.state, job.used), job
                assert row.lease_token == (job.claim.token if job.claim else None)
                assert job.used < self.most or job.state is not JobState.QUEUED

    @invariant()
    def nothing_that_is_done_is_lost(self) -> None:
        for of in self.films:
            if of.state != "published":
                assert cells_in(of.video) == of.done

    def teardown(self) -> None:
        """However it stands: with good will everything goes on and comes to its end."""
        try:
            self._to_the_end()
        finally:
            db.session.rollback()

    def _to_the_end(self) -> None:
        for worker in (ATLAS, CELLAR):
            queue.lose_leases_of(worker.id)
        for of in self.films:
            encode = encode_of(of.video)
            if encode.state in ("failed", "cancelled"):
                control.retry_encode(of.encode_id)
            elif encode.paused_at is not None and encode.state != "done":
                control.resume_encode(of.encode_id)
        pass_time(100_000.0)
        do_all(self.folder, SLOTS[0])
        publish.publish_finished()
        assert [encode_of(of.video).state for of in self.films] == ["done", "done"]
