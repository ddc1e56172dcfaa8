"""A source beside the worker is looked at again and again while a job reads it."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from jobs.contract import Claim
from jobs.runner import Tools, run_claim
from jobs.source_state import SourceChanged, SourceOnDisk
from tests.jobs.conftest import Moody


@pytest.fixture
def film(tmp_path: Path) -> Path:
    path = tmp_path / "film.mp4"
    path.write_bytes(b"film")
    return path


def test_a_file_that_stays_as_it_is_is_believed(film: Path) -> None:
    SourceOnDisk.at(film).check()


def test_another_file_in_its_place_is_noticed_whatever_its_length(film: Path) -> None:
    source = SourceOnDisk.at(film)
    other = film.with_name("other")
    other.write_bytes(b"game")
    os.utime(other, ns=(0, film.stat().st_mtime_ns + 1))
    other.replace(film)
    with pytest.raises(SourceChanged):
        source.check()


def test_a_disk_that_does_not_answer_says_nothing_of_the_file(film: Path) -> None:
    source = SourceOnDisk.at(film)
    film.unlink()
    source.check()


def test_a_job_ends_when_its_file_is_changed_under_it(
    coordinator: Moody, claim: Claim, tmp_path: Path
) -> None:
    ffmpeg = tmp_path / "ffmpeg"
    ffmpeg.write_text(f"#!/bin/sh\necho more >> {coordinator.source}\nsleep 30\n")
    ffmpeg.chmod(0o755)
    run_claim(claim, coordinator, Tools(str(ffmpeg), tmp_path / "work"), threading.Event())
    failure = coordinator.jobs[0].failure
    assert failure is not None
    assert (failure.code, failure.is_final) == ("source_changed", True)
