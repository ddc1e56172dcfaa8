"""A source that was to be copied and cannot be: its rung is encoded, nothing else is lost."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from flask import Flask

from encoder.model import KeyFrames
from jobs.contract import Failure, Slot
from jobs.layout import COPY, ENCODE
from tests.contract.conftest import ATLAS, must, segment_file
from tests.factories import make_source, make_video
from tests.services.shop import jobs_of, plan_of
from vlog_app.models import Video
from vlog_app.services import checkpoints, queue

pytestmark = pytest.mark.usefixtures("database", "app")
COPIES = Slot("copies", (COPY,))
BROKEN = Failure("encode_failed", "The encoder stopped with an error.")


@pytest.fixture
def fit(app: Flask) -> Video:
    frames = tuple(range(0, 1500, 50))
    keys = KeyFrames(frames, tuple(100_000 for _ in frames), is_closed=True)
    return make_video(source=replace(make_source(), profile="High", level=40, keyframes=keys))


def test_a_failed_copy_becomes_encode_jobs_that_cover_its_rung_once(fit: Video) -> None:
    queue.fail_job(must(queue.claim_next_job(ATLAS, COPIES)), BROKEN)
    plan = plan_of(fit)
    assert (plan.copied, plan.notes) == ((), ("not_copied:damaged",))
    cells = Counter(
        (name, index)
        for job in jobs_of(fit)
        if job.kind == ENCODE
        for name in job.renditions
        for index in range(job.first_segment, job.end_segment)
    )
    wanted = {(row.name, index) for row in plan.video for index in range(plan.segment_count)}
    assert cells == Counter(wanted)
    assert [job for job in jobs_of(fit) if job.kind == COPY] == []


def test_segments_of_the_copy_are_forgotten(fit: Video, tmp_path: Path) -> None:
    claim = must(queue.claim_next_job(ATLAS, COPIES))
    checkpoints.take_segment(claim, *segment_file(tmp_path, claim, "1080p", 0))
    queue.fail_job(claim, BROKEN)
    again = must(queue.claim_next_job(ATLAS, Slot("any", (ENCODE,), min_rank=40)))
    while "1080p" not in again.renditions:
        again = must(queue.claim_next_job(ATLAS, Slot("any", (ENCODE,), min_rank=40)))
    assert ("1080p", 0) not in again.done


def test_a_full_disk_is_no_reason_to_encode_what_could_be_copied(fit: Video) -> None:
    full = Failure("storage_full", "The disk is full.", is_blameless=True)
    queue.fail_job(must(queue.claim_next_job(ATLAS, COPIES)), full)
    assert len(plan_of(fit).copied) == 1
