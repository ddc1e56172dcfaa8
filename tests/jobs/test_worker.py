"""The loop every worker runs: it takes what there is, hears the bell, and leaves politely."""

from __future__ import annotations

import os
import queue
import threading
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from encoder.model import Segment
from jobs.bootstrap import BELL_FILE, bell_for
from jobs.contract import Claim, Failure, Slot, Unavailable, WorkerInfo
from jobs.journal import Heading, Journal
from jobs.layout import AUDIO, ENCODE, POSTER
from jobs.queues import Heard
from jobs.runner import Tools
from jobs.states import JobState
from jobs.testing import MemoryCoordinator
from jobs.worker import SLOTS, Bell, Worker
from tests.jobs.conftest import ATLAS, Moody

PATIENCE_S = 20.0
SOON = threading.Event()  # never set: waits without being a busy loop
LONG_S = 3600.0


def wait_until(condition: object) -> None:
    assert callable(condition)
    until = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < until, "waited too long"
        SOON.wait(0.01)


@pytest.fixture
def tools(tmp_path: Path) -> Tools:
    """An ffmpeg that always fails at once: enough for a job to come to an end."""
    path = tmp_path / "ffmpeg"
    path.write_text("#!/bin/sh\nexit 1\n")
    path.chmod(0o755)
    return Tools(ffmpeg=str(path), work_root=tmp_path / "work")


@contextmanager
def running(coordinator: MemoryCoordinator, tools: Tools, bell: Bell, **options: float) -> Iterator[Worker]:
    slots = (Slot("pictures", (ENCODE, POSTER)), Slot("sound", (AUDIO,)))
    worker = Worker(ATLAS, coordinator, tools, bell, slots=slots, **{"poll_s": LONG_S, **options})
    thread = threading.Thread(target=worker.run)
    thread.start()
    try:
        yield worker
    finally:
        worker.stop()
        thread.join(PATIENCE_S)
        assert not thread.is_alive()


@pytest.fixture
def bell(tmp_path: Path) -> Bell:
    return bell_for(tmp_path)


def tried(coordinator: MemoryCoordinator) -> list[int]:
    return [job.attempts_used for job in coordinator.jobs]


def test_a_worker_tries_everything_there_is(coordinator: Moody, tools: Tools, bell: Bell) -> None:
    with running(coordinator, tools, bell):
        wait_until(lambda: tried(coordinator) == [1] * len(coordinator.jobs))
    assert {job.state for job in coordinator.jobs} == {JobState.QUEUED}
    assert coordinator.workers == {ATLAS.id: "gone"}


def test_an_idle_worker_hears_the_bell_long_before_it_would_look_again(
    coordinator: Moody, tools: Tools, bell: Bell
) -> None:
    for job in coordinator.jobs:
        job.not_before = coordinator.clock() + 1
    with running(coordinator, tools, bell):
        wait_until(lambda: coordinator.workers)
        for job in coordinator.jobs:
            job.not_before = 0
        bell.ring()
        wait_until(lambda: min(tried(coordinator)) == 1)


def test_without_a_bell_a_worker_looks_again_after_its_interval(
    coordinator: Moody, tools: Tools, bell: Bell
) -> None:
    for job in coordinator.jobs:
        job.not_before = coordinator.clock() + 1
    with running(coordinator, tools, bell, poll_s=0.2):
        wait_until(lambda: coordinator.workers)
        for job in coordinator.jobs:
            job.not_before = 0
        wait_until(lambda: min(tried(coordinator)) == 1)


def test_an_idle_worker_leaves_at_once(coordinator: Moody, tools: Tools, bell: Bell) -> None:
    coordinator.jobs.clear()
    with running(coordinator, tools, bell) as worker:
        wait_until(lambda: coordinator.workers)
        started = time.monotonic()
        worker.stop()
    assert time.monotonic() - started < 5


class Away(Moody):
    """Cannot be reached at first."""

    faults = 2

    def claim(self, worker: WorkerInfo, slot: Slot, job_id: int | None = None) -> Claim | None:
        if self.faults:
            self.faults -= 1
            raise Unavailable("the database does not answer")
        return MemoryCoordinator.claim(self, worker, slot, job_id)


def test_a_worker_outlives_a_coordinator_that_is_away(coordinator: Moody, tools: Tools, bell: Bell) -> None:
    away = Away(coordinator.plan, coordinator.source, coordinator.folder)
    with running(away, tools, bell):
        wait_until(lambda: min(tried(away)) == 1)
    assert away.faults == 0


def test_a_worker_says_that_it_lives(coordinator: Moody, tools: Tools, bell: Bell) -> None:
    coordinator.jobs.clear()
    with running(coordinator, tools, bell, heartbeat_s=0.05):
        wait_until(lambda: coordinator.workers)
        coordinator.workers.clear()
        wait_until(lambda: coordinator.workers == {ATLAS.id: "here"})


def test_a_worker_that_starts_again_frees_what_its_former_self_held(
    coordinator: Moody, tools: Tools, bell: Bell
) -> None:
    held = coordinator.claim(ATLAS, Slot("any", (ENCODE,)))
    assert held is not None
    with running(coordinator, tools, bell):
        wait_until(lambda: next(j for j in coordinator.jobs if j.id == held.job_id).attempts_used == 2)


@dataclass(slots=True)
class Asked(MemoryCoordinator):
    """Remembers which jobs it was asked for."""

    asked: list[tuple[str, int | None]] = field(default_factory=list)

    def claim(self, worker: WorkerInfo, slot: Slot, job_id: int | None = None) -> Claim | None:
        self.asked.append((slot.name, job_id))
        return MemoryCoordinator.claim(self, worker, slot, job_id)


def left_of(tools: Tools, job_id: int) -> Path:
    """A finished segment of a job, as a dead worker leaves it."""
    folder = tools.work_root / f"job-{job_id}-x" / "cpu"
    folder.mkdir(parents=True)
    file = folder / "360p_00000.ts"
    file.write_bytes(b"segment")
    segment = Segment("360p", 0, 6.0, 7, "", 150, "avc1")
    Journal(folder, Heading(job_id, ENCODE, "recipe", "source")).note(segment, file, None)
    return file


def test_a_job_that_finished_segments_lie_here_of_is_asked_for_first_and_its_lease_is_kept_until_then(
    coordinator: Moody, tools: Tools, bell: Bell
) -> None:
    asked = Asked(coordinator.plan, coordinator.source, coordinator.folder)
    held = asked.claim(ATLAS, Slot("any", (ENCODE,)))
    assert held is not None
    left_of(tools, held.job_id)
    tools.leftovers.gather()
    asked.asked.clear()
    with running(asked, tools, bell):
        wait_until(lambda: min(tried(asked)) >= 1)
    assert dict(reversed(asked.asked)) == {"pictures": held.job_id, "sound": None}


def test_leftovers_of_a_job_that_is_not_to_be_had_go_when_the_worker_leaves(
    coordinator: Moody, tools: Tools, bell: Bell
) -> None:
    left_of(tools, 4711)
    tools.leftovers.gather()
    with running(coordinator, tools, bell):
        wait_until(lambda: min(tried(coordinator)) >= 1)
    assert tools.leftovers.headings() == {}


def test_leftovers_stay_when_a_worker_leaves_that_could_ask_nobody(
    coordinator: Moody, tools: Tools, bell: Bell
) -> None:
    left_of(tools, 1)
    tools.leftovers.gather()
    with running(Silent(coordinator.plan, coordinator.source, coordinator.folder), tools, bell):
        SOON.wait(0.2)
    assert [heading.job_id for heading in tools.leftovers.headings().values()] == [1]


class Silent(MemoryCoordinator):
    def greet(self, worker: WorkerInfo, keeps: Collection[int] = ()) -> None:
        raise Unavailable("no answer")


def test_together_the_slots_take_every_kind() -> None:
    from jobs.runner import KINDS

    assert {kind for slot in SLOTS for kind in slot.kinds} == set(KINDS)


def test_what_a_viewer_waits_for_is_not_run_more_politely_than_bulk() -> None:
    nice = {slot.name: slot.nice for slot in SLOTS}
    assert nice["urgent"] < nice["bulk"]


def test_a_bell_on_a_disk_that_is_gone_harms_nobody(tmp_path: Path) -> None:
    bell = Bell(tmp_path / "gone" / BELL_FILE)
    bell.ring()
    assert bell.heard() == 0


def test_each_ring_is_heard(tmp_path: Path) -> None:
    bell = Bell(tmp_path / BELL_FILE)
    bell.ring()
    os.utime(tmp_path / BELL_FILE, (1, 1))
    before = bell.heard()
    bell.ring()
    assert bell.heard() != before


def test_a_final_failure_is_tried_once(coordinator: Moody) -> None:
    claim = coordinator.claim(ATLAS, Slot("sound", (AUDIO,)))
    assert claim is not None
    coordinator.fail(claim, Failure("x", "no", is_final=True))
    job = next(job for job in coordinator.jobs if job.id == claim.job_id)
    assert job.state is JobState.FAILED


class Letters:
    """An inbox whose messages are put in by hand; `is_away` plays a Redis that is gone."""

    def __init__(self) -> None:
        self.jobs: queue.Queue[int] = queue.Queue()
        self.is_away = False
        self.closed = 0

    def open(self, slot: Slot, carry_out: Callable[[int], object]) -> Letters:
        self.carry_out = carry_out
        return self

    def listen(self) -> Heard:
        if self.is_away:
            return Heard.AWAY
        try:
            job_id = self.jobs.get(timeout=0.02)
        except queue.Empty:
            return Heard.SILENCE
        self.carry_out(job_id)
        return Heard.MESSAGE

    def close(self) -> None:
        self.closed += 1


ONE_SLOT = (Slot("all", (ENCODE, POSTER, AUDIO)),)


@contextmanager
def listening(coordinator: MemoryCoordinator, tools: Tools, bell: Bell, **options: bool) -> Iterator[Letters]:
    letters = Letters()
    worker = Worker(
        ATLAS, coordinator, tools, bell, poll_s=0.1, slots=ONE_SLOT, open_inbox=letters.open, **options
    )
    thread = threading.Thread(target=worker.run)
    thread.start()
    try:
        yield letters
    finally:
        worker.stop()
        thread.join(PATIENCE_S)
        assert not thread.is_alive()
    assert letters.closed == 1


def test_a_worker_that_only_hears_takes_one_job_for_each_message_the_most_wanted_one(
    coordinator: Moody, tools: Tools, bell: Bell
) -> None:
    wanted = min(coordinator.jobs, key=lambda job: (job.draft.rank, job.id))
    with listening(coordinator, tools, bell, polls=False) as letters:
        letters.jobs.put(coordinator.jobs[-1].id)
        wait_until(lambda: wanted.failure is not None and letters.jobs.empty())
        SOON.wait(0.3)
    assert [job.id for job in coordinator.jobs if job.failure is not None] == [wanted.id]


def test_a_worker_that_does_both_looks_by_itself_while_nobody_tells_it(
    coordinator: Moody, tools: Tools, bell: Bell
) -> None:
    with listening(coordinator, tools, bell) as letters:
        letters.is_away = True
        wait_until(lambda: all(job.failure is not None for job in coordinator.jobs))


def test_a_message_that_comes_while_the_worker_leaves_is_not_taken(
    coordinator: Moody, tools: Tools, bell: Bell
) -> None:
    with listening(coordinator, tools, bell, polls=False) as letters:
        pass
    letters.carry_out(coordinator.jobs[0].id)
    assert all(job.failure is None for job in coordinator.jobs)
