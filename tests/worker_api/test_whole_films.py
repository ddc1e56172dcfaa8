"""What becomes of a film that an existing worker has, when it comes to its end and when it does not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from flask import Flask

from jobs.layout import WHOLE
from tests.worker_api.conftest import OWNER, RemoteWorker
from tests.worker_api.whole_films import DONE, OVER, claim, deliver, states
from vlog_app.config import settings
from vlog_app.extensions import db
from vlog_app.models import Video
from vlog_app.services import queue
from vlog_app.services.clock import SHIFT_KEY
from vlog_app.services.playlists import load_availability, master_text, media_text


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
