"""The queue for scripts."""

from __future__ import annotations

from pathlib import Path

import pytest
from flask.testing import FlaskClient

from jobs.layout import Priority
from tests.contract.conftest import words_for_segments
from tests.services.shop import encode_of, film, hand_in, take
from tests.services.test_repair import ready, segment
from vlog_app.models import Video
from vlog_app.services import control

__all__ = ["ready", "words_for_segments"]

pytestmark = pytest.mark.usefixtures("app")


def test_each_verb_does_what_it_says_and_once(admin_client: FlaskClient) -> None:
    video = film()
    for verb, state in {
        "pause": ("planned", True),
        "resume": ("planned", False),
        "cancel": ("cancelled", False),
        "retry": ("encoding", False),
    }.items():
        answer = admin_client.post(f"/api/videos/{video.id}/{verb}")
        assert (answer.status_code, answer.json["status"], answer.json["video_id"]) == (200, "ok", video.id)
        encode = encode_of(video)
        assert (encode.state, encode.paused_at is not None) == state
        again = admin_client.post(f"/api/videos/{video.id}/{verb}")
        assert (again.status_code, again.json["code"]) == (409, "not_possible_now")
        assert "Nothing was changed" in again.json["detail"]


def test_priority(admin_client: FlaskClient) -> None:
    video = film()
    answer = admin_client.post(f"/api/videos/{video.id}/priority", json={"priority": "high"})
    assert (answer.status_code, answer.json["priority"]) == (200, "high")
    assert encode_of(video).priority == Priority.HIGH
    assert admin_client.post(f"/api/videos/{video.id}/priority", json={"priority": 7}).status_code == 422


def test_encoding_again_goes_on_with_a_stopped_film(admin_client: FlaskClient, tmp_path: Path) -> None:
    video = film()
    hand_in(take(), tmp_path)
    control.cancel_encode(encode_of(video).id)
    answer = admin_client.post(
        f"/api/videos/{video.id}/retranscode", json={"qualities": ["all"], "priority": "low"}
    )
    assert answer.status_code == 200
    assert answer.json["qualities_queued"] == ["360p", "audio"]
    assert (encode_of(video).state, encode_of(video).priority) == ("encoding", Priority.LOW)


def test_checking_makes_what_is_broken_again_in_place(admin_client: FlaskClient, ready: Video) -> None:
    address = f"/api/videos/{ready.id}/check"
    whole = admin_client.post(address, json={})
    assert (whole.status_code, whole.json["qualities_queued"]) == (200, [])
    segment(ready, "720p", 3).unlink()
    answer = admin_client.post(address, json={"qualities": ["720p", "480p"]})
    assert (answer.status_code, answer.json["qualities_queued"]) == (200, ["720p"])
    assert answer.json["message"] == "720p is made again."


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"qualities": "720p"}, "qualities"),
        ({"qualities": []}, "qualities"),
        ({"qualities": [7]}, "qualities"),
        ({"qualities": ["all"], "priority": "urgent"}, "priority"),
    ],
)
def test_what_makes_no_sense_is_refused_by_name(
    admin_client: FlaskClient, body: dict[str, object], field: str
) -> None:
    answer = admin_client.post(f"/api/videos/{film().id}/retranscode", json=body)
    assert answer.status_code == 422
    assert answer.json["detail"][0]["loc"] == ["body", field]


def test_a_rung_that_does_not_exist_and_a_body_that_is_none(admin_client: FlaskClient) -> None:
    address = f"/api/videos/{film().id}/retranscode"
    assert admin_client.post(address, json={"qualities": ["9p"]}).status_code == 409
    assert admin_client.post(address, data="x").status_code == 400
    assert admin_client.post(address, json=[]).status_code == 400


@pytest.mark.parametrize("path", ["retry", "pause", "resume", "cancel"])
def test_an_unknown_video_is_not_found(admin_client: FlaskClient, path: str) -> None:
    assert admin_client.post(f"/api/videos/999/{path}").status_code == 404


@pytest.mark.parametrize("path", ["retry", "pause", "resume", "cancel", "priority", "retranscode", "check"])
def test_strangers_are_refused(stranger: FlaskClient, path: str) -> None:
    assert stranger.post(f"/api/videos/{film().id}/{path}", json={}).status_code == 401


def test_the_page_of_a_finished_film_checks_its_files(admin_client: FlaskClient, ready: Video) -> None:
    page = f"/videos/{ready.id}"
    assert "Check files" in admin_client.get(page).text
    whole = admin_client.post(f"/queue/videos/{ready.id}/check")
    assert whole.location == f"{page}?whole=1"
    assert "Every rung is whole" in admin_client.get(whole.location).text
    segment(ready, "720p", 3).unlink()
    assert admin_client.post(f"/queue/videos/{ready.id}/check").location == page
    assert encode_of(ready).state == "viewable"
    assert "Check files" not in admin_client.get(page).text
    assert admin_client.post("/queue/videos/999/check").status_code == 404
