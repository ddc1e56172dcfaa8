"""Files out and in: ranges of a source, pictures by their names, and bytes that keep a lease alive."""

from __future__ import annotations

import hashlib
import os
import time
from pathlib import Path

import pytest
from flask import Flask

from encoder.stills import storyboard_files, storyboard_layout
from jobs.contract import Claim, LeaseLost
from jobs.layout import STORYBOARD
from jobs.lease import RENEWALS_PER_LEASE
from tests.contract.conftest import measured_segment
from tests.worker_api.conftest import RemoteWorker, read_whole
from vlog_app.extensions import db
from vlog_app.models import Job, Video
from vlog_app.services import handing_in, leases, queue

JPEG = b"\xff\xd8\xff\xe0 a picture"


@pytest.fixture
def claim(atlas: RemoteWorker, film: Video) -> Claim:
    held = atlas.claim("poster")
    assert held is not None
    return held


def source_of(storage: Path, film: Video) -> Path:
    return storage / film.source_path


# --- the source ----------------------------------------------------------------------------------------------


def test_a_source_comes_whole(atlas: RemoteWorker, claim: Claim) -> None:
    answer = atlas.about(claim, "GET", "source")
    assert (answer.status_code, answer.data) == (200, b"film")
    assert answer.headers["Content-Type"] == "application/octet-stream"
    assert answer.headers["Content-Disposition"] == f"attachment; filename={claim.video_id}.mp4"
    assert answer.headers["Accept-Ranges"] == "bytes"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize(
    ("wanted", "status", "data"),
    [
        ("bytes=1-", 206, b"ilm"),
        ("bytes=1-2", 206, b"il"),
        ("bytes=-1", 206, b"m"),
        ("bytes=0-99", 206, b"film"),
        ("bytes=4-", 416, b""),
        ("bytes=9-", 416, b""),
        ("bytes=0-0,2-2", 200, b"film"),
        ("lines=1-2", 200, b"film"),
        ("bytes=" + "0-1," * 1000, 200, b"film"),
    ],
)
def test_a_part_of_a_source_can_be_had(
    atlas: RemoteWorker, claim: Claim, wanted: str, status: int, data: bytes
) -> None:
    answer = atlas.about(claim, "GET", "source", headers={"Range": wanted})
    assert (answer.status_code, answer.data) == (status, data)
    assert int(answer.headers["Content-Length"]) == len(data)


def test_a_source_that_changed_meanwhile_comes_whole(
    atlas: RemoteWorker, claim: Claim, film: Video, storage: Path
) -> None:
    etag = atlas.about(claim, "GET", "source").headers["ETag"]
    same = atlas.about(claim, "GET", "source", headers={"Range": "bytes=2-", "If-Range": etag})
    assert (same.status_code, same.headers["Content-Range"]) == (206, "bytes 2-3/4")
    source_of(storage, film).write_bytes(b"another film")
    changed = atlas.about(claim, "GET", "source", headers={"Range": "bytes=2-", "If-Range": etag})
    assert (changed.status_code, changed.data) == (200, b"another film")


def test_a_source_that_is_gone_is_said_so(
    atlas: RemoteWorker, claim: Claim, film: Video, storage: Path
) -> None:
    source_of(storage, film).unlink()
    answer = atlas.about(claim, "GET", "source")
    assert (answer.status_code, answer.json["code"]) == (404, "source_missing")
    assert str(storage) not in answer.text


# --- a lease while bytes move --------------------------------------------------------------------------------


class Hours:
    """A clock that goes on a quarter of a lease with every look."""

    def __init__(self, step_s: float) -> None:
        self.now, self.step_s = 0.0, step_s

    def monotonic(self) -> float:
        self.now += self.step_s
        return self.now


def test_bytes_that_move_renew_the_lease_and_stop_when_it_is_lost(
    server: Flask, claim: Claim, monkeypatch: pytest.MonkeyPatch
) -> None:
    def expiry() -> object:
        db.session.rollback()
        return db.session.scalar(db.select(Job.lease_expires_at).where(Job.id == claim.job_id))

    monkeypatch.setattr(leases, "time", Hours(claim.lease_s / RENEWALS_PER_LEASE))
    with server.app_context():
        moving = leases.KeptLease(claim).while_moving(iter([b"a", b"b", b"c"]))
        next(moving)
        before = expiry()
        next(moving)
        assert expiry() > before  # type: ignore[operator]
        queue.release_job(claim)
        with pytest.raises(LeaseLost):
            next(moving)


# --- pictures ------------------------------------------------------------------------------------------------


def put_still(worker: RemoteWorker, claim: Claim, name: str, data: bytes) -> tuple[int, str]:
    headers = {"X-Content-SHA256": hashlib.sha256(data).hexdigest()}
    answer = worker.about(claim, "PUT", f"stills/{name}", data=data, headers=headers)
    return answer.status_code, answer.json.get("code", "")


def test_a_poster_and_its_candidates_are_taken(atlas: RemoteWorker, claim: Claim, storage: Path) -> None:
    names = {"thumbnail.jpg", *(f"thumbnail_candidate_{n}.jpg" for n in range(1, 6))}
    for name in names:
        assert put_still(atlas, claim, name, JPEG) == (200, "")
    assert {Path(path).name for path in read_whole(storage / "videos")} == names


@pytest.mark.parametrize(
    "name",
    [
        *("master.m3u8", "360p_0000.ts", "thumbnail_candidate_6.jpg", "thumbnail_candidate_0.jpg", "x.html"),
        *(
            "storyboard_0.jpg",
            "storyboard.vtt",
            "..%2fx.jpg",
            "%2e%2e%2fthumbnail.jpg",
            "THUMBNAIL.JPG",
            "thumbnail.jpg%00",
        ),
    ],
)
def test_other_names_are_refused(atlas: RemoteWorker, claim: Claim, storage: Path, name: str) -> None:
    before = read_whole(storage / "videos")
    status, _code = put_still(atlas, claim, name, JPEG)
    assert status in (404, 422)
    assert read_whole(storage / "videos") == before


@pytest.mark.parametrize("data", [b"\n", b"<svg onload=alert(1)>", b"%PDF-1.4", b"GIF89a", b"x" * 11_000_000])
def test_what_is_no_picture_is_refused(atlas: RemoteWorker, claim: Claim, storage: Path, data: bytes) -> None:
    assert put_still(atlas, claim, "thumbnail.jpg", data)[0] == 422
    assert read_whole(storage / "videos") == set()
    assert {path for path in read_whole(storage / ".work") if ".received" in path} == set()


@pytest.fixture
def storyboard(atlas: RemoteWorker, film: Video, tmp_path: Path) -> Claim:
    """The lowest rung is in, so its storyboard is due."""
    while claim := atlas.claim("encode"):
        for name, index in sorted(claim.missing()):
            facts, file = measured_segment(tmp_path, claim, name, index)
            assert atlas.put_segment(claim, facts, file.read_bytes()).status_code == 200
        assert atlas.about(claim, "POST", "finish", json={}).status_code == 200
    due = atlas.claim(STORYBOARD)
    assert due is not None
    return due


def test_a_storyboard_is_made_from_what_is_in_and_only_the_planned_one_is_taken(
    atlas: RemoteWorker, storyboard: Claim
) -> None:
    plan = storyboard.plan
    finished = atlas.about(storyboard, "GET", "segments/360p/0")
    assert (finished.status_code, len(finished.data) > 1000) == (200, True)
    finished.close()
    assert atlas.about(storyboard, "GET", "segments/360p/99").status_code == 422
    assert atlas.about(storyboard, "GET", "segments/..%2f..%2fvlog/0").status_code in (404, 422)
    sheets = [sheet.name for sheet in storyboard_files(storyboard_layout(plan), Path())]
    for name in sheets:
        assert put_still(atlas, storyboard, name, JPEG) == (200, "")
    assert put_still(atlas, storyboard, f"storyboard_{len(sheets)}.jpg", JPEG)[0] == 422
    forged = b"WEBVTT\n\n00:00.000 --> 00:01.000\n<script>alert(1)</script>\n"
    assert put_still(atlas, storyboard, "storyboard.vtt", forged) == (422, "output_invalid")
    index = storyboard_layout(plan).webvtt().encode()
    assert put_still(atlas, storyboard, "storyboard.vtt", index) == (200, "")


def test_what_a_killed_process_left_is_cleared_away_and_what_is_new_stays(
    server: Flask, storage: Path
) -> None:
    folder = storage / ".work" / ".received"
    folder.mkdir(parents=True)
    for name, age_s in (("left", 2 * handing_in.STALE_S), ("arriving", 1)):
        (folder / name).write_bytes(b"x")
        os.utime(folder / name, (time.time() - age_s,) * 2)
    with server.app_context():
        assert handing_in.forget_stale_files() == 1
    assert [path.name for path in folder.iterdir()] == ["arriving"]


# --- the bell ------------------------------------------------------------------------------------------------


def test_the_bell_is_heard_at_once_by_who_missed_it(atlas: RemoteWorker, film: Video) -> None:
    claim = atlas.claim("audio")
    assert claim is not None
    atlas.about(claim, "POST", "release", json={})  # rings
    answer = atlas.call("GET", "/bell?heard=0")
    assert int(answer.json["bell"]) > 0


@pytest.mark.parametrize("heard", ["x", "-1", "1e3", "٣", "9" * 99])
def test_what_the_bell_never_said_is_422(atlas: RemoteWorker, heard: str) -> None:
    assert atlas.call("GET", f"/bell?heard={heard}").status_code == 422
