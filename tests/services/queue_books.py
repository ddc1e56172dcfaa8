"""The books a machine keeps of the real queue: what the model says of it, and what each step changes there."""

from __future__ import annotations

from pathlib import Path

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine

from jobs.contract import NOTHING_TO_REPORT, Claim, Failure, Incomplete, LeaseLost, Slot
from jobs.layout import AUDIO, ENCODE, ESSENTIAL, POSTER, STORYBOARD
from jobs.states import JobState
from tests.contract.conftest import ATLAS, CELLAR, segment_file
from tests.services.queue_model import Cell, ModelFilm, ModelJob
from tests.services.shop import do_all, encode_of, film, jobs_of, pass_time, wipe
from vlog_app.config import settings
from vlog_app.extensions import db
from vlog_app.models import Job
from vlog_app.services import checkpoints, control, fleet, publish, queue
from vlog_app.services.clock import database_now

FILM_S = 24.0  # two encode jobs, sound, poster; the storyboard comes later
SLOTS = (
    Slot("any", (ENCODE, AUDIO, POSTER, STORYBOARD)),
    Slot("encodes", (ENCODE,)),
    Slot("sound", (AUDIO, POSTER)),
)
FINISHES = publish.MAX_REDOS


class QueueBooks(RuleBasedStateMachine):
    """Who has which lease and what is done, by the model; and the steps that several rules share."""

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

    def _fitting(self, slot: Slot) -> list[ModelJob]:
        now = database_now(db.session())
        return [
            job
            for job in self.jobs
            if job.state is JobState.QUEUED and job.kind in slot.kinds and not job.film.is_paused
            if job.not_before is not None and job.not_before <= now
        ]

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

    def _make_everything_and_finish(self, job: ModelJob) -> None:
        assert job.claim is not None
        if job.missing:
            self._finish(job.claim)  # too early
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

    def _retry(self, of: ModelFilm) -> None:
        of.state, of.is_paused = "open", False
        for job in of.jobs.values():
            job.used = 0
            if job.state in (JobState.FAILED, JobState.CANCELLED):
                job.end(JobState.QUEUED)
                self._read_times(job)

    def _redo(self, of: ModelFilm, cell: Cell) -> None:
        """What has gone is made again, once."""
        job = next(job for job in of.jobs.values() if cell in job.cells)
        of.done.discard(cell)
        job.end(JobState.QUEUED)
        if job.finishes > FINISHES:
            of.stop("failed")

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
