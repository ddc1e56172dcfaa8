"""JSON for machines on the public surface: lists, one video, and how far an encode has come."""

from __future__ import annotations

import itertools
from datetime import timedelta

import pytest
from flask.testing import FlaskClient

from tests.factories import make_failed, make_progress, make_ready, make_source, make_video, utc_now
from vlog_app.blueprints.public.api import runs
from vlog_app.extensions import transaction
from vlog_app.models import Video

_numbers = itertools.count(1)  # answers are shared for a moment: no two tests ask for the same film

pytestmark = pytest.mark.usefixtures("app")


def new(seconds: float = 60.0, *, has_audio: bool = True) -> Video:
    source = make_source(seconds=seconds, has_audio=has_audio)
    return make_video(f"Glaze {next(_numbers)}", source=source)


def progress(client: FlaskClient, video: Video) -> dict[str, object]:
    response = client.get(f"/api/videos/{video.slug}/progress")
    assert response.status_code == 200
    body: dict[str, object] = response.get_json()
    return body


def rows(body: dict[str, object]) -> dict[str, dict[str, object]]:
    found = body["renditions"]
    assert isinstance(found, list)
    return {row["name"]: row for row in found}


def test_progress_of_a_film_that_has_only_a_plan(client: FlaskClient) -> None:
    body = progress(client, new())
    assert (body["status"], body["percent"], body["storyboard"]) == ("processing", 0, None)
    assert (body["duration_s"], body["segment_s"], body["segments"], body["generation"]) == (60.0, 6.0, 10, 1)
    assert list(rows(body)) == ["1080p", "720p", "480p", "360p", "audio"]
    assert all(row["ready"] == [] and row["done"] == 0 for row in rows(body).values())


def test_progress_tells_what_is_ready_of_each_rendition(client: FlaskClient) -> None:
    video = new()
    make_progress(video, {"360p": 4, "audio": 3})
    body = progress(client, video)
    assert body["status"] == "viewable"
    assert rows(body)["360p"] == {
        "name": "360p",
        "kind": "video",
        "rung": True,
        "width": 640,
        "height": 360,
        "ready": [[0, 4]],
        "done": 4,
        "planned": 10,
    }
    assert (rows(body)["audio"]["kind"], rows(body)["audio"]["rung"]) == ("audio", False)
    assert rows(body)["720p"]["ready"] == []


def test_progress_counts_work_and_not_segments(client: FlaskClient) -> None:
    """All of 360p is a tenth of the pixels, not a fifth of the segments."""
    video = new()
    make_progress(video, {"360p": 10})
    percent = progress(client, video)["percent"]
    assert isinstance(percent, int)
    assert 0 < percent < 15


def test_only_a_finished_film_is_at_a_hundred(client: FlaskClient) -> None:
    almost, ready = new(), new()
    make_progress(almost, dict.fromkeys(("1080p", "720p", "480p", "360p", "audio"), 10))
    make_ready(ready)
    assert progress(client, almost)["percent"] == 99
    body = progress(client, ready)
    assert (body["status"], body["percent"]) == ("ready", 100)
    assert all(row["ready"] == [[0, 10]] for row in rows(body).values())


def test_progress_of_a_failed_film_keeps_what_is_there(client: FlaskClient) -> None:
    video = new()
    make_progress(video, {"360p": 4, "audio": 3})
    make_failed(video)
    body = progress(client, video)
    assert body["status"] == "failed"
    assert rows(body)["360p"]["ready"] == [[0, 4]]


def test_progress_may_not_be_kept(client: FlaskClient) -> None:
    response = client.get(f"/api/videos/{new().slug}/progress")
    assert response.headers["Cache-Control"] == "no-store"


def test_many_viewers_share_one_answer(client: FlaskClient) -> None:
    video = new()
    before = progress(client, video)
    make_progress(video, {"360p": 4, "audio": 3})
    assert progress(client, video) == before


def test_a_storyboard_has_an_address_once_it_is_there(client: FlaskClient) -> None:
    video = new()
    with transaction() as session:
        session.get_one(Video, video.id).storyboard_version = 3
    assert progress(client, video)["storyboard"] == f"/videos/{video.slug}/storyboard.vtt?v=3"


@pytest.mark.parametrize(
    ("indexes", "expected"),
    [
        ([], []),
        ([0], [[0, 1]]),
        ([0, 1, 2], [[0, 3]]),
        ([5, 0, 1, 9, 4], [[0, 2], [4, 6], [9, 10]]),
    ],
)
def test_indexes_are_told_as_runs(indexes: list[int], expected: list[list[int]]) -> None:
    assert runs(indexes) == expected


def test_the_list_has_what_can_be_watched_newest_first(client: FlaskClient) -> None:
    old, young, unfinished = new(), new(), new()
    for video in (old, young):
        make_progress(video, {"360p": 1, "audio": 1})
    with transaction() as session:
        session.get_one(Video, old.id).published_at = utc_now() - timedelta(days=3)
    response = client.get("/api/videos")
    assert [video["slug"] for video in response.get_json()] == [young.slug, old.slug]
    assert response.headers["X-Total-Count"] == "2"
    assert unfinished.slug not in response.text


@pytest.mark.parametrize("hidden", ["deleted_at", "tomorrow", "never"])
def test_the_list_has_nothing_hidden(client: FlaskClient, hidden: str) -> None:
    video = new()
    make_ready(video)
    with transaction() as session:
        row = session.get_one(Video, video.id)
        if hidden == "deleted_at":
            row.deleted_at = utc_now()
        else:
            row.published_at = utc_now() + timedelta(days=1) if hidden == "tomorrow" else None
    response = client.get("/api/videos")
    assert response.get_json() == []
    assert response.headers["X-Total-Count"] == "0"


@pytest.mark.parametrize(
    ("query", "count"),
    [
        ("", 3),
        ("limit=2", 2),
        ("offset=2", 1),
        ("limit=1&offset=1", 1),
        ("limit=0", 1),
        ("limit=-5", 1),
        ("limit=x", 3),
        ("offset=-1", 3),
        ("limit=99999", 3),
        ("offset=99", 0),
    ],
)
def test_the_list_is_read_in_pages(client: FlaskClient, query: str, count: int) -> None:
    for _ in range(3):
        make_progress(new(), {"360p": 1, "audio": 1})
    response = client.get(f"/api/videos?{query}")
    assert (response.status_code, len(response.get_json())) == (200, count)
    assert response.headers["X-Total-Count"] == "3"


@pytest.mark.parametrize("query", [f"offset={10**30}", f"limit={10**30}"])
def test_numbers_no_database_can_hold_are_no_error(client: FlaskClient, query: str) -> None:
    assert client.get(f"/api/videos?{query}").status_code == 200


def test_one_video_tells_its_qualities(client: FlaskClient) -> None:
    video = new()
    make_ready(video)
    body = client.get(f"/api/videos/{video.slug}").get_json()
    assert [row["quality"] for row in body["qualities"]] == ["1080p", "720p", "480p", "360p"]
    assert body["stream_url"] == f"/videos/{video.slug}/master.m3u8"
    assert (body["duration"], body["status"], body["source_height"]) == (60.0, "ready", 1080)
    assert "source_path" not in body and "source_name" not in body


def test_an_unknown_video_is_not_found_in_json(client: FlaskClient) -> None:
    for address in ("/api/videos/nothing", "/api/videos/nothing/progress"):
        response = client.get(address)
        assert response.status_code == 404
        assert response.get_json()["code"] == "not_found"
