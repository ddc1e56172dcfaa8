"""What an existing worker may do with a film, and what becomes of the film when it does not come to its end."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import select
from sqlalchemy.exc import OperationalError
from werkzeug.test import TestResponse

from encoder.foreign import ForeignFacts
from jobs.layout import WHOLE
from tests.worker_api.conftest import OWNER, RemoteWorker, read_whole
from vlog_app.config import settings
from vlog_app.extensions import db, transaction
from vlog_app.models import Attempt, Event, Job, Rendition, Video, Worker
from vlog_app.services import foreign, queue, whole
from vlog_app.services.clock import SHIFT_KEY
from vlog_app.services.foreign import ForeignFiles
from vlog_app.services.playlists import load_availability, master_text, media_text
from vlog_app.services.tarballs import Unpacked

OVER = 10_000.0
DONE = {"qualities": [{"name": "720p", "width": 1280, "height": 720, "bitrate": 2500}]}


def claim(worker: RemoteWorker, query: str = "") -> dict[str, Any]:
    answer = worker.call("POST", f"/claim{query}")
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json
    return body


def every_call(worker: RemoteWorker, job: dict[str, Any]) -> dict[str, TestResponse]:
    """All that can be said about a job."""
    upload = f"/upload/{job['video_id']}"
    data, digest = b"bytes", hashlib.sha256(b"bytes").hexdigest()
    return {
        "progress": worker.call("POST", f"/{job['job_id']}/progress", json={"progress_percent": 5}),
        "source": worker.call("GET", f"/source/{job['video_id']}"),
        "quality": worker.call("POST", f"{upload}/quality/720p", data=sent(b"x")),
        "finalize": worker.call("POST", f"{upload}/finalize", data=sent(b"x")),
        "everything": worker.call("POST", upload, data=sent(b"x")),
        "segment": worker.call(
            "POST",
            f"{upload}/segment/720p/720p_0000.ts",
            data=data,
            headers={"X-Content-SHA256": digest},
        ),
        "status": worker.call("GET", f"{upload}/segments/status?quality=720p"),
        "segments finalize": worker.call(
            "POST", f"{upload}/segment/finalize", json={"quality": "720p", "segment_count": 1}
        ),
        "complete": worker.call("POST", f"/{job['job_id']}/complete", json=DONE),
        "fail": worker.call("POST", f"/{job['job_id']}/fail", json={"error_message": "It broke."}),
    }


def sent(archive: bytes) -> dict[str, Any]:
    return {"file": (io.BytesIO(archive), "quality.tar.gz", "application/gzip")}


@pytest.fixture
def truth(server: Flask, storage: Path) -> Callable[[], object]:
    """Everything that a call could change."""

    def read() -> object:
        with server.app_context():
            rows = [
                [
                    [getattr(row, column.key) for column in table.__table__.columns]
                    for row in db.session.scalars(select(table).order_by(*table.__table__.primary_key))
                ]
                for table in (Job, Attempt, Event, Rendition, Video)
            ]
            db.session.rollback()
        return json.dumps(rows, default=str), read_whole(storage / "videos"), read_whole(storage / ".work")

    return read


def deliver(server: Flask, worker: RemoteWorker, job: dict[str, Any], name: str, folder: Path) -> None:
    """A rendition of two pieces comes in, as measured."""
    with server.app_context():
        held = whole.held_job(job["job_id"], worker.id)
        pieces = []
        for index in range(2):
            path = folder / f"{name}-{index}"
            path.write_bytes(f"{name}{index}".encode() * 1000)
            pieces.append(Unpacked(path, path.stat().st_size, f"{index:064x}"))
        height = int(name.removesuffix("p"))
        codecs = ("avc1.64001F", "mp4a.40.2")
        facts = ForeignFacts((31.0, 29.0), height * 16 // 9, height, 25.0, codecs, True)
        assert foreign.take_rendition(held, ForeignFiles(name, "ts", tuple(pieces)), facts)


def states(server: Flask) -> dict[str, set[str]]:
    """Kind -> states of its jobs."""
    with server.app_context():
        found: dict[str, set[str]] = {}
        for job in db.session.scalars(select(Job)):
            found.setdefault(job.kind, set()).add(job.state)
        db.session.rollback()
        return found


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
        from vlog_app.services.grid import read_grid

        grid = read_grid(film.id, 1, whole.database_now(db.session()))
        assert grid is not None
        assert {row.name: row.percent for row in grid.video_rows}["720p"] == 50
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


# --- ends ----------------------------------------------------------------------------------------------------


def test_a_film_that_fails_half_way_keeps_what_came_and_the_rest_goes_on(
    atlas: RemoteWorker, cellar: RemoteWorker, film: Video, server: Flask, tmp_path: Path
) -> None:
    job = claim(atlas)
    deliver(server, atlas, job, "1080p", tmp_path)
    with server.app_context():
        assert db.session.get_one(Video, film.id).state == "viewable"
    answer = atlas.call("POST", f"/{job['job_id']}/fail", json={"error_message": "\x1b[31mffmpeg died"})
    assert answer.json == {"status": "ok", "will_retry": True, "attempt_number": 1}
    held = cellar.claim("encode")
    assert held is not None
    assert "1080p" not in held.renditions
    assert cellar.claim("audio") is not None
    with server.app_context():
        made = load_availability(db.session(), db.session.get_one(Video, film.id))
        assert made is not None
        assert [row.rendition.name for row in made.playable] == ["1080p"]
        assert media_text(made, made.playable[0], timeline=None).count("#EXTINF") == 2


def test_another_existing_worker_goes_on_with_what_is_missing(
    atlas: RemoteWorker, cellar: RemoteWorker, film: Video, server: Flask, tmp_path: Path
) -> None:
    job = claim(atlas)
    deliver(server, atlas, job, "1080p", tmp_path)
    with server.app_context():
        server.config[SHIFT_KEY] = OVER
        queue.sweep_expired_leases()
    again = claim(cellar)
    assert (again["job_id"], again["existing_qualities"]) == (job["job_id"], ["1080p"])
    deliver(server, cellar, again, "360p", tmp_path)
    done = {"qualities": [{"name": "1080p"}, {"name": "360p"}], "completion_token": "t"}
    answer = cellar.call("POST", f"/{job['job_id']}/complete", json=done)
    assert answer.status_code == 200, answer.text
    with server.app_context():
        assert db.session.get_one(Video, film.id).state == "ready"
    stands = cellar.call("GET", f"/{job['job_id']}/verify-complete").json
    assert stands["qualities_present"] == ["1080p", "360p"]
    assert (stands["video_status"], stands["all_files_present"]) == ("ready", True)
    assert atlas.call("POST", f"/{job['job_id']}/complete", json=done).status_code == 409


def test_files_that_go_missing_are_told(
    atlas: RemoteWorker, film: Video, server: Flask, storage: Path, tmp_path: Path
) -> None:
    job = claim(atlas)
    deliver(server, atlas, job, "720p", tmp_path)
    (storage / "videos" / film.slug / "720p_0001.ts").unlink()
    stands = atlas.call("GET", f"/{job['job_id']}/verify-complete").json
    assert (stands["all_files_present"], stands["missing_files"]) == (False, ["720p_0001.ts"])
    assert (stands["video_status"], stands["job_completed"]) == ("processing", False)


def test_nothing_can_be_completed_with_nothing(atlas: RemoteWorker, film: Video, server: Flask) -> None:
    job = claim(atlas)
    answer = atlas.call("POST", f"/{job['job_id']}/complete", json=DONE)
    assert (answer.status_code, answer.json["code"]) == (400, "incomplete")
    assert "720p" in answer.json["detail"]
    empty = atlas.call("POST", f"/{job['job_id']}/complete", json={"qualities": []})
    assert empty.status_code == 400
    assert states(server)[WHOLE] == {"leased"}


def test_attempts_are_counted_over_all_who_try(atlas: RemoteWorker, film: Video, server: Flask) -> None:
    answers = []
    for number in range(3):
        server.config[SHIFT_KEY] = number * OVER
        job = claim(atlas)
        body = {"error_message": "It broke.", "retry": True}
        answers.append(atlas.call("POST", f"/{job['job_id']}/fail", json=body).json)
    assert [answer["attempt_number"] for answer in answers] == [1, 2, 3]
    assert [answer["will_retry"] for answer in answers] == [True, True, False]
    with server.app_context():
        video = db.session.get_one(Video, film.id)
        assert (video.state, video.error_message) == ("failed", "It broke.")
        assert (settings().storage_path / video.source_path).is_file()


def test_a_worker_that_says_that_it_is_of_no_use_ends_the_film_and_the_owner_may_go_on(
    atlas: RemoteWorker, film: Video, server: Flask
) -> None:
    job = claim(atlas)
    body = {"error_message": "Not a film.", "retry": False}
    answer = atlas.call("POST", f"/{job['job_id']}/fail", json=body)
    assert answer.json["will_retry"] is False
    with server.app_context():
        from vlog_app.services.control import current_encode, retry_encode

        encode_id = current_encode(film.id)
        assert encode_id is not None
        retry_encode(encode_id)
    assert states(server)["encode"] == {"queued"}
    assert states(server)[WHOLE] == {"failed"}
    assert claim(atlas)["job_id"] == job["job_id"]


def test_a_worker_that_is_revoked_loses_its_film(
    atlas: RemoteWorker, cellar: RemoteWorker, film: Video, caller: Any
) -> None:
    job = claim(atlas)
    caller.post(f"/api/workers/{atlas.id}/revoke", headers=OWNER)
    assert atlas.call("POST", f"/{job['job_id']}/progress", json={}).status_code in (401, 403)
    assert claim(cellar)["job_id"] == job["job_id"]


# --- rungs of both kinds in one film -------------------------------------------------------------------------


def test_a_rung_of_the_grid_joins_the_others_once_it_and_its_sound_are_whole(
    atlas: RemoteWorker, film: Video, server: Flask, tmp_path: Path
) -> None:
    job = claim(atlas)
    deliver(server, atlas, job, "1080p", tmp_path)
    atlas.call("POST", f"/{job['job_id']}/fail", json={"error_message": "It broke."})
    with server.app_context():
        from tests.factories import make_progress

        make_progress(film, {"360p": 10})
        made = load_availability(db.session(), film)
        assert made is not None
        assert "360p" not in master_text(made, timeline="full")
        make_progress(film, {"360p": 10, "audio": 10})
        made = load_availability(db.session(), film)
        assert made is not None
        master = master_text(made, timeline="full")
    inside, own = [line for line in master.splitlines() if line.startswith("#EXT-X-STREAM-INF")]
    assert ("RESOLUTION=1920x1080" in inside) and ('AUDIO="inside"' in inside)
    assert ("RESOLUTION=640x360" in own) and ('AUDIO="sound"' in own)
    [track] = [line for line in master.splitlines() if 'GROUP-ID="inside"' in line]
    assert "URI=" not in track
