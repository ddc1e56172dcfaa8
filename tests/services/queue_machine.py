"""A machine that plays with the real queue and its plain model side by side."""

from __future__ import annotations

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import invariant, precondition, rule

from jobs.contract import Failure, LeaseLost, Slot, WorkerInfo
from jobs.layout import Priority, place_of
from jobs.states import IllegalMove, JobState
from tests.contract.conftest import ATLAS, CELLAR
from tests.contract.test_coordinators import BROKEN
from tests.services.queue_books import SLOTS, QueueBooks
from tests.services.queue_model import ModelFilm
from tests.services.shop import cells_in, jobs_of, pass_time
from tests.services.test_fail import FINAL, FULL
from vlog_app.config import settings
from vlog_app.extensions import db
from vlog_app.services import control, fleet, publish, queue, workers
from vlog_app.services.clock import database_now

JUMPS_S = (50.0, 130.0, 4_000.0, -50.0, -3_700.0)  # a lease lasts 120 s, no wait more than 72 minutes


class QueueMachine(QueueBooks):
    """Every rule does a thing to the real queue and to the model, and compares the answer."""

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

    @precondition(lambda self: self.claims)
    @rule(data=st.data())
    def finish(self, data: st.DataObject) -> None:
        self._finish(self._any_claim(data))

    @precondition(lambda self: any(job.claim for job in self.jobs))
    @rule(data=st.data())
    def make_everything_and_finish(self, data: st.DataObject) -> None:
        job = data.draw(st.sampled_from([job for job in self.jobs if job.claim]))
        self._make_everything_and_finish(job)

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

    def _pause(self, of: ModelFilm) -> None:
        of.is_paused = True

    def _resume(self, of: ModelFilm) -> None:
        of.is_paused = False

    @precondition(lambda self: any(each.state == "open" for each in self.films))
    @rule(data=st.data(), slot=st.sampled_from(SLOTS))
    def call_off_and_take_up_again(self, data: st.DataObject, slot: Slot) -> None:
        """What is done stays done; mostly something is."""
        self.claim(ATLAS, slot)
        for job in [job for job in self.jobs if job.claim and job.kind in slot.kinds]:
            self._make_everything_and_finish(job)
        open_films = [each for each in self.films if each.state == "open"]
        of = data.draw(st.sampled_from([each for each in open_films if each.is_begun] or open_films))
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
