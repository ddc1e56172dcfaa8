"""What an existing worker may do with a film, and how it keeps or loses it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import select
from sqlalchemy.exc import OperationalError

from jobs.layout import WHOLE
from tests.worker_api.conftest import RemoteWorker
from tests.worker_api.whole_films import OVER, claim, every_call, states
from vlog_app.config import settings
from vlog_app.extensions import db, transaction
from vlog_app.models import Attempt, Job, Video, Worker
from vlog_app.services import queue, whole
from vlog_app.services.clock import SHIFT_KEY

# --- claims --------------------------------------------------------------------------------------------------


def test_a_claim_says_all_that_such_a_worker_needs(atlas: RemoteWorker, film: Video, server: Flask) -> None:
    job = claim(atlas)
    assert job["video_id"] == film.id
    assert (job["video_slug"], job["video_duration"]) == (film.slug, 60.0)
    assert (job["source_width"], job["source_height"], job["source_filename"]) == (1920, 1080, "x.mp4")
    assert job["existing_qualities"] == []
    assert job["claim_expires_at"].endswith("+00:00")
    assert states(server)[WHOLE] == {"leased"}
    assert states(server)["encode"] == {"cancelled"}


def test_a_film_that_was_given_away_is_for_nobody_else(
    atlas: RemoteWorker, cellar: RemoteWorker, film: Video
) -> None:
    assert claim(atlas)["job_id"]
    nothing = claim(cellar)
    assert nothing.pop("message") == "No jobs available"
    assert set(nothing.values()) == {None}
    assert cellar.claim("encode", "audio", "copy", WHOLE) is None
    assert cellar.claim("poster") is not None


def test_a_film_that_our_own_workers_have_begun_is_not_given_as_a_whole(
    atlas: RemoteWorker, cellar: RemoteWorker, film: Video
) -> None:
    assert atlas.claim("encode") is not None
    assert claim(cellar)["job_id"] is None


def test_a_worker_that_did_not_hear_the_answer_gets_the_same_film(
    atlas: RemoteWorker, film: Video, server: Flask
) -> None:
    first = claim(atlas)
    assert claim(atlas)["job_id"] == first["job_id"]
    assert atlas.call("POST", f"/{first['job_id']}/progress", json={}).status_code == 200
    assert claim(atlas)["job_id"] is None  # another host with the same key
    with server.app_context():
        assert db.session.query(Attempt).count() == 1


def test_a_claim_may_name_a_job(atlas: RemoteWorker, film: Video, server: Flask) -> None:
    with server.app_context():
        job_id = db.session.scalar(select(Job.id).order_by(Job.id))
    assert claim(atlas, "?job_id=999999")["job_id"] is None
    assert claim(atlas, f"?job_id={job_id}")["video_id"] == film.id
    assert atlas.call("POST", "/claim?job_id=x").status_code == 422


def test_a_worker_without_a_gpu_leaves_a_new_film_to_an_idle_gpu_for_a_moment(
    atlas: RemoteWorker, cellar: RemoteWorker, film: Video, server: Flask
) -> None:
    beat = {"status": "idle", "metadata": {"capabilities": {"hwaccel_enabled": True}}}
    assert cellar.call("POST", "/heartbeat", json=beat).status_code == 200
    with server.app_context():
        age = (whole.database_now(db.session()) - film.created_at).total_seconds()
        server.config[SHIFT_KEY] = 0.0
        with transaction() as session:
            encode = session.scalars(select(whole.Encode)).one()
            encode.created_at = whole.database_now(session)
    assert age >= 0
    assert claim(atlas)["message"] == "Waiting for GPU workers"
    with server.app_context():
        server.config[SHIFT_KEY] = settings().gpu_head_start + 1
    assert claim(atlas)["job_id"]


def test_a_worker_of_ours_that_is_too_old_hears_which_version_is_wanted(
    atlas: RemoteWorker, film: Video, server: Flask
) -> None:
    with server.app_context(), transaction() as session:
        session.get_one(Worker, atlas.id).code_version = "vlog/0.0"
    assert claim(atlas)["message"].startswith("Version mismatch: ")


def test_a_busy_database_is_503(atlas: RemoteWorker, film: Video, monkeypatch: pytest.MonkeyPatch) -> None:
    def busy(*_: object) -> None:
        raise OperationalError("BEGIN IMMEDIATE", {}, Exception("database is locked"))

    monkeypatch.setattr(whole, "claim_whole_film", busy)
    answer = atlas.call("POST", "/claim")
    assert (answer.status_code, answer.json["code"]) == (503, "database_busy")


def test_there_is_never_anything_to_encode_again(atlas: RemoteWorker, caller: Any) -> None:
    answer = caller.post("/api/reencode/claim", headers={"X-Worker-API-Key": atlas.key})
    assert (answer.status_code, answer.json["job"]) == (200, None)
    assert answer.json["message"]


# --- leases --------------------------------------------------------------------------------------------------


def test_what_was_lost_is_409_on_everything_and_nothing_is_kept(
    atlas: RemoteWorker, cellar: RemoteWorker, film: Video, server: Flask, truth: Callable[[], object]
) -> None:
    job = claim(atlas)
    with server.app_context():
        server.config[SHIFT_KEY] = OVER
        assert queue.sweep_expired_leases() == 1
    assert claim(cellar)["job_id"] == job["job_id"]
    before = truth()
    answers = every_call(atlas, job)
    assert {name: answer.status_code for name, answer in answers.items()} == dict.fromkeys(answers, 409)
    assert truth() == before


def test_what_another_worker_has_is_403_on_everything(
    atlas: RemoteWorker, cellar: RemoteWorker, film: Video, truth: Callable[[], object]
) -> None:
    job = claim(atlas)
    before = truth()
    answers = every_call(cellar, job)
    assert {name: answer.status_code for name, answer in answers.items()} == dict.fromkeys(answers, 403)
    assert cellar.call("GET", f"/{job['job_id']}/verify-complete").status_code == 403
    assert truth() == before


def test_what_there_is_not_is_404(atlas: RemoteWorker, film: Video) -> None:
    answers = every_call(atlas, {"job_id": 999, "video_id": 999})
    assert {answer.status_code for answer in answers.values()} == {404}


def test_a_part_of_a_film_is_not_reached_as_a_whole_one(atlas: RemoteWorker, film: Video) -> None:
    held = atlas.claim("encode")
    assert held is not None
    assert atlas.call("POST", f"/{held.job_id}/progress", json={}).status_code == 404
    assert atlas.call("GET", f"/source/{held.video_id}").status_code == 404


def test_progress_renews_the_lease_and_is_shown(atlas: RemoteWorker, film: Video, server: Flask) -> None:
    job = claim(atlas)
    body = {
        "current_step": "transcode",
        "progress_percent": 40,
        "quality_progress": [{"name": "720p", "status": "in_progress", "progress": 50}],
        "something_newer": 1,
    }
    answer = atlas.call("POST", f"/{job['job_id']}/progress", json=body)
    assert (answer.status_code, answer.json["status"]) == (200, "ok")
    assert answer.json["claim_expires_at"] >= job["claim_expires_at"]
    with server.app_context():
        from vlog_app.services.grid_reading import read_grid

        grid = read_grid(film.id, 1, whole.database_now(db.session()))
        assert grid is not None
        assert {row.name: row.percent for row in grid.rungs}["720p"] == 50
        assert [work.step for work in grid.working] == ["transcode"]


@pytest.mark.parametrize("percent", ["NaN", "-1", "1e9", '"x"'])
def test_nonsense_for_progress_is_422(atlas: RemoteWorker, film: Video, percent: str) -> None:
    job = claim(atlas)
    body = f'{{"progress_percent": {percent}}}'
    answer = atlas.call("POST", f"/{job['job_id']}/progress", data=body, content_type="application/json")
    assert answer.status_code == 422
    assert answer.json["detail"][0]["loc"][-1] in ("progress_percent", "body")


@pytest.mark.parametrize(("status", "is_kept"), [("busy", True), ("idle", False)])
def test_a_busy_heartbeat_keeps_the_film(
    atlas: RemoteWorker, film: Video, server: Flask, status: str, is_kept: bool
) -> None:
    job = claim(atlas)
    assert atlas.call("POST", f"/{job['job_id']}/progress", json={}).status_code == 200
    with server.app_context():
        lease_s = settings().lease_s
    server.config[SHIFT_KEY] = lease_s - 1
    atlas.call("POST", "/heartbeat", json={"status": status})
    server.config[SHIFT_KEY] = lease_s + 1
    with server.app_context():
        assert queue.sweep_expired_leases() == (0 if is_kept else 1)


def test_heartbeats_alone_do_not_keep_a_film_for_ever(
    atlas: RemoteWorker, film: Video, server: Flask
) -> None:
    job = claim(atlas)
    assert atlas.call("POST", f"/{job['job_id']}/progress", json={}).status_code == 200
    server.config[SHIFT_KEY] = whole.SILENT_WORK.total_seconds() + 1
    atlas.call("POST", "/heartbeat", json={"status": "busy"})
    with server.app_context():
        assert queue.sweep_expired_leases() == 1
