"""What an ending means for a job, played by programs that pretend to be ffmpeg."""

from __future__ import annotations

import errno
import threading
from dataclasses import replace
from pathlib import Path
from typing import Protocol

import pytest

from encoder.errors import EncodeFailed, EncodeStalled, OutputInvalid, SourceUnreadable, StorageFull
from encoder.model import Chunk
from jobs.contract import Claim, Incomplete, LeaseLost, Refused
from jobs.kinds.encode import remaining, wall_limit
from jobs.runner import Tools, failure_from, limits_of, run_claim
from jobs.states import JobState
from tests.jobs.conftest import Moody


class Pretend(Protocol):
    def __call__(self, *lines: str) -> Tools: ...


@pytest.fixture
def pretend(tmp_path: Path) -> Pretend:
    """Tools whose ffmpeg is a few lines of shell."""

    def write(*lines: str) -> Tools:
        path = tmp_path / "ffmpeg"
        path.write_text("\n".join(["#!/bin/sh", f"D={tmp_path}", *lines, ""]))
        path.chmod(0o755)
        return Tools(ffmpeg=str(path), work_root=tmp_path / "work")

    return write


def run(claim: Claim, coordinator: Moody, tools: Tools, *, draining: bool = False) -> None:
    drain = threading.Event()
    if draining:
        drain.set()
    run_claim(claim, coordinator, tools, drain)
    assert list(tools.work_root.iterdir()) == [], "scratch was left behind"


@pytest.mark.parametrize(
    ("error", "code", "is_final", "is_blameless"),
    [
        (SourceUnreadable("no"), "unsupported_media", True, False),
        (SourceUnreadable("no", code="source_missing"), "source_missing", True, False),
        (EncodeFailed("no"), "encode_failed", False, False),
        (EncodeStalled("no"), "encode_stalled", False, False),
        (OutputInvalid("no", code="frame_count"), "frame_count", False, False),
        (StorageFull("full"), "storage_full", False, True),
        (OSError(errno.ENOSPC, "No space left on device"), "storage_full", False, True),
        (OSError(errno.EACCES, "Permission denied"), "storage_denied", False, True),
        (Refused("other bytes"), "output_invalid", False, False),
        (Incomplete("segments missing"), "output_invalid", False, False),
        (ValueError("a mistake of ours"), "internal_error", False, False),
    ],
)
def test_every_error_becomes_a_failure(
    error: Exception, code: str, is_final: bool, is_blameless: bool
) -> None:
    failure = failure_from(error)
    assert (failure.code, failure.is_final, failure.is_blameless) == (code, is_final, is_blameless)
    assert failure.message


def test_our_own_mistakes_are_not_shown_to_people() -> None:
    failure = failure_from(ValueError("/srv/secret/path"))
    assert "/srv" not in failure.message
    assert "/srv/secret/path" in failure.detail


def test_an_ffmpeg_that_fails_fails_the_job_and_leaves_nothing(
    claim: Claim, coordinator: Moody, pretend: Pretend
) -> None:
    run(claim, coordinator, pretend("echo 'Invalid data found when processing input' >&2", "exit 1"))
    job = coordinator.jobs[0]
    assert job.failure is not None
    assert (job.state, job.attempts_used, job.failure.code) == (JobState.QUEUED, 1, "encode_failed")
    assert "could not read this file" in job.failure.message


def test_a_full_disk_costs_the_job_no_attempt(claim: Claim, coordinator: Moody, pretend: Pretend) -> None:
    run(claim, coordinator, pretend("echo 'x: No space left on device' >&2", "exit 1"))
    job = coordinator.jobs[0]
    assert job.failure is not None
    assert (job.attempts_used, job.failure.code) == (0, "storage_full")


def test_an_ffmpeg_that_makes_nothing_is_not_believed(
    claim: Claim, coordinator: Moody, pretend: Pretend
) -> None:
    run(claim, coordinator, pretend("exit 0"))
    job = coordinator.jobs[0]
    assert job.failure is not None
    assert job.failure.code == "source_ends_early"
    assert coordinator.segments == {}


def test_a_segment_that_is_garbage_is_not_handed_in(
    claim: Claim, coordinator: Moody, pretend: Pretend
) -> None:
    make = "printf garbage > 360p_00000.ts; printf '#EXTM3U\\n360p_00000.ts\\n' > 360p.m3u8; sleep 30"
    run(claim, coordinator, pretend(make))
    failure = coordinator.jobs[0].failure
    assert failure is not None
    assert failure.code == "not_mpegts"
    assert coordinator.segments == {}


@pytest.mark.parametrize(
    "endless",
    [
        "n=0; while :; do n=$((n+100)); echo frame=$n; sleep 0.01; done",
        "n=0; while :; do n=$((n+1)); head -c 8000000 /dev/zero > 360p_$n.ts.tmp; sleep 0.01; done",
    ],
    ids=["pictures", "bytes"],
)
def test_an_ffmpeg_without_end_is_ended_and_costs_an_attempt(
    endless: str, claim: Claim, coordinator: Moody, pretend: Pretend
) -> None:
    run(claim, coordinator, pretend(endless))
    job = coordinator.jobs[0]
    assert job.failure is not None
    assert (job.attempts_used, job.failure.code) == (1, "limit_exceeded")


def test_what_an_ffmpeg_may_write_grows_with_its_part(claim: Claim) -> None:
    one, ten = (limits_of(replace(claim, chunk=Chunk(0, n)), Tools("x", Path("/x")), 0) for n in (1, 10))
    assert ten.frames == 10 * one.frames == 2 * 10 * claim.plan.segment_frames
    assert ten.output_bytes > one.output_bytes > 64 << 20


def test_a_lost_lease_ends_the_work_and_says_nothing(
    claim: Claim, coordinator: Moody, pretend: Pretend, tmp_path: Path
) -> None:
    coordinator.moods = [None, LeaseLost("somebody else has it")]
    run(replace(claim, lease_s=4.0), coordinator, pretend("echo $$ > $D/pid", "exec sleep 60"))
    job = coordinator.jobs[0]
    assert (job.state, job.token, job.failure) == (JobState.LEASED, claim.token, None)
    assert not Path(f"/proc/{(tmp_path / 'pid').read_text().strip()}").exists()


def test_a_job_whose_segments_are_all_in_is_finished_without_ffmpeg(
    claim: Claim, coordinator: Moody, pretend: Pretend, tmp_path: Path
) -> None:
    whole = replace(claim, done=frozenset((name, n) for name in claim.renditions for n in claim.chunk))
    with pytest.raises(Incomplete):
        coordinator.finish(whole)
    run(whole, coordinator, pretend("touch $D/ran", "exit 1"))
    assert not (tmp_path / "ran").exists()


def claim_of(claim: Claim, names: tuple[str, ...], chunk: Chunk, done: set[tuple[str, int]]) -> Claim:
    return replace(claim, renditions=names, chunk=chunk, done=frozenset(done))


def test_each_rung_begins_where_it_was_left(claim: Claim) -> None:
    done = {("480p", 2), ("480p", 3), ("360p", 2)}
    work = remaining(claim_of(claim, ("480p", "360p"), Chunk(2, 6), done))
    assert work is not None
    assert (work.starts, work.end, work.first) == ({"480p": 4, "360p": 3}, 6, 3)


def test_a_rung_that_is_whole_is_left_out(claim: Claim) -> None:
    work = remaining(claim_of(claim, ("480p", "360p"), Chunk(2, 4), {("480p", 2), ("480p", 3)}))
    assert work is not None
    assert work.starts == {"360p": 2}


def test_a_hole_is_filled_from_its_beginning(claim: Claim) -> None:
    work = remaining(claim_of(claim, ("360p",), Chunk(0, 4), {("360p", 0), ("360p", 2)}))
    assert work is not None
    assert work.starts == {"360p": 1}


def test_nothing_remains_of_a_whole_job(claim: Claim) -> None:
    assert remaining(claim_of(claim, ("360p",), Chunk(0, 1), {("360p", 0)})) is None


@pytest.mark.parametrize(
    ("segments", "least_s", "most_s", "limit_s"),
    [(10, 1, 1e6, 120), (10, 300, 1e6, 300), (10, 1, 60, 60), (5, 1, 1e6, 60)],
)
def test_an_encode_may_take_as_long_as_its_film_asks(
    claim: Claim, segments: int, least_s: float, most_s: float, limit_s: float
) -> None:
    """Twice its length for one picture of 640x360."""
    tools = Tools("ffmpeg", Path("/x"), wall_multiplier=2, wall_min_s=least_s, wall_max_s=most_s)
    assert wall_limit(claim_of(claim, ("360p",), Chunk(0, segments), set()), tools) == limit_s
