"""Scratch of workers whose name never comes back, beside that of one that starts."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from jobs.bootstrap import _forget_abandoned, _only_one
from jobs.leftovers import KEEP_S

LONG_AGO_S = 2 * KEEP_S


def scratch(folder: Path, name: str, file: str, age_s: float) -> Path:
    """A worker's folder as it died, with its lock beside it."""
    path = folder / name / file
    path.parent.mkdir(parents=True)
    path.write_bytes(b"segment")
    (folder / f"{name}.lock").touch()
    for each in (path, *path.parents):
        if folder in each.parents:
            then = each.stat().st_mtime - age_s
            os.utime(each, (then, then))
    return folder / name


@pytest.mark.parametrize(
    "file", ["job-1-0a1b2c3d4e5f/cpu-x/360p_00001.ts", "left/1-0a1b/finished.jsonl", "films/film-1-a"]
)
def test_it_goes_once_it_is_old(tmp_path: Path, file: str) -> None:
    old = scratch(tmp_path, "pod-1.example", file, LONG_AGO_S)
    new = scratch(tmp_path, "pod-2.example", file, 0)
    _forget_abandoned(tmp_path)
    assert (old.exists(), new.exists()) == (False, True)


def test_that_of_a_worker_that_lives_stays_however_old_it_is(tmp_path: Path) -> None:
    old = scratch(tmp_path, "pod-1", "films/film-1-a", LONG_AGO_S)
    with _only_one(tmp_path / "pod-1.lock"):
        _forget_abandoned(tmp_path)
    assert old.exists()


@pytest.mark.parametrize("file", ["letters/one", "left.txt", "job-1-x/y"])
def test_what_is_no_scratch_is_nobodys_business(tmp_path: Path, file: str) -> None:
    theirs = scratch(tmp_path, "home", file, LONG_AGO_S)
    _forget_abandoned(tmp_path)
    assert (theirs / file).exists()
