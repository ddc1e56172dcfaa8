"""Another file lies in the place of a source when a job opens it, or one that may not be read: nobody is blamed."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from encoder.inputs import Loopback
from jobs.contract import Claim, LeaseLost
from jobs.runner import Tools, run_claim
from jobs.states import Verdict
from tests.contract.conftest import ATLAS, ENCODES, LocalWorld, must
from vlog_app.config import settings
from vlog_app.extensions import db
from vlog_app.models import Attempt, Job

RETRY_S = 120.0


@pytest.fixture(params=["sqlite", "http sqlite"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def source(world: LocalWorld) -> Path:
    return settings().storage_path / world.video.source_path


def test_a_job_that_finds_another_file_is_given_back_without_blame_and_done_once_the_file_is_back(
    world: LocalWorld, source: Path, tmp_path: Path
) -> None:
    claim = must(world.coordinator.claim(ATLAS, ENCODES))
    source.write_bytes(b"another film")
    run_claim(claim, world.coordinator, Tools("/bin/false", tmp_path / "work"), threading.Event())
    assert told_of(claim) == ("queued", 0, "source_replaced", Verdict.BLAMELESS)
    source.write_bytes(b"film")
    world.pass_time(RETRY_S)
    again = must(world.coordinator.claim(ATLAS, ENCODES))
    assert again.job_id == claim.job_id
    address = world.coordinator.open_source(again).address
    assert isinstance(address, Loopback) or address == source


@pytest.mark.parametrize("kind", ["sqlite"])
def test_a_film_that_the_worker_may_not_read_costs_no_attempt(
    world: LocalWorld, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        os, "access", lambda path, *_args, **_more: Path(path) != source
    )  # root reads everything
    claim = must(world.coordinator.claim(ATLAS, ENCODES))
    run_claim(claim, world.coordinator, Tools("/bin/false", tmp_path / "work"), threading.Event())
    assert told_of(claim) == ("queued", 0, "storage_denied", Verdict.BLAMELESS)


def told_of(claim: Claim) -> tuple[str, int, str | None, str | None]:
    """State of the job, attempts it used, why, and the verdict on the last."""
    db.session.rollback()
    job = db.session.get_one(Job, claim.job_id)
    verdict = db.session.get_one(Attempt, claim.attempt_id).verdict
    return job.state, job.attempts_used, job.error_code, verdict


def test_a_job_does_not_open_the_next_file_of_its_film_once_it_is_lost(
    world: LocalWorld, source: Path
) -> None:
    claim = must(world.coordinator.claim(ATLAS, ENCODES))
    world.pass_time(10_000.0)
    with pytest.raises(LeaseLost):
        world.coordinator.open_source(claim)
