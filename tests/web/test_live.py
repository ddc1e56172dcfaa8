"""The live stream: what it says first, what it says when something changes, when it ends, and how many there may be."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from tests.conftest import ADMIN_SECRET, AppFactory
from tests.factories import make_progress, make_ready, make_video, rendition_names, utc_now
from vlog_app.blueprints.admin import live as stream_module
from vlog_app.extensions import transaction
from vlog_app.models import AdminSession
from vlog_app.services import live
from vlog_app.services.events import EventKind, record

pytestmark = pytest.mark.usefixtures("app")
SAME = {"Sec-Fetch-Site": "same-origin"}


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "POLL_S", 0.02)
    monkeypatch.setattr(stream_module, "BEAT_S", 0.1)


class Reader:
    """Reads events off an open answer one by one."""

    def __init__(self, answer: TestResponse) -> None:
        self.pieces = iter(answer.response)

    def next(self) -> tuple[str, Any]:
        piece = next(self.pieces)
        text = piece.decode() if isinstance(piece, bytes) else piece
        fields = dict(line.split(": ", 1) for line in text.strip().split("\n"))
        return fields["event"], json.loads(fields["data"])

    def ends(self) -> bool:
        return len([piece for piece, _ in zip(self.pieces, range(100), strict=False)]) < 100

    def until(self, name: str) -> Any:
        for _ in range(200):
            found, data = self.next()
            if found == name:
                return data
        raise AssertionError(f"never heard {name}")


@contextmanager
def listening(client: FlaskClient, query: str = "") -> Iterator[Reader]:
    answer = client.get(f"/api/events/progress{query}", buffered=False)
    assert answer.status_code == 200
    assert answer.mimetype == "text/event-stream"
    try:
        yield Reader(answer)
    finally:
        answer.close()


def test_the_first_words_are_the_numbers_of_every_video_asked_for(admin_client: FlaskClient) -> None:
    moving, ready = make_video("Moves"), make_video("Is ready")
    make_progress(moving, dict.fromkeys(rendition_names(moving), 5))
    make_ready(ready)
    with listening(admin_client, f"?video_ids={moving.id},{ready.id}") as reader:
        name, data = reader.next()
    assert name == "initial"
    numbers = data["progress"][str(moving.id)]
    assert (numbers["progress_percent"], numbers["status"], numbers["current_step"]) == (
        50,
        "processing",
        "transcode",
    )
    assert numbers["qualities"][0] == {"name": "1080p", "status": "in_progress", "progress": 50}
    assert data["progress"][str(ready.id)]["status"] == "completed"
    assert data["progress"][str(ready.id)]["progress_percent"] == 100


def test_the_browser_is_told_when_to_come_back(admin_client: FlaskClient) -> None:
    answer = admin_client.get("/api/events/progress", buffered=False)
    assert next(iter(answer.response)).decode().startswith("retry: 3000\n")
    answer.close()


def test_a_change_is_heard_with_its_numbers(admin_client: FlaskClient) -> None:
    video = make_video()
    with listening(admin_client, f"?video_ids={video.id}") as reader:
        reader.until("beat")
        make_progress(video, {"360p": 5})
        with transaction() as session:
            record(session, video.id, EventKind.SEGMENT, utc_now(), rendition="360p", index=4)
        assert reader.until("changed") == {"video_id": video.id, "kinds": ["segment"]}
        assert reader.until("progress")["qualities"][-1] == {
            "name": "360p",
            "status": "in_progress",
            "progress": 50,
        }


@pytest.mark.parametrize(
    ("kind", "name"), [(EventKind.READY, "job_completed"), (EventKind.FAILED, "job_failed")]
)
def test_the_end_of_a_job_has_its_own_event(admin_client: FlaskClient, kind: EventKind, name: str) -> None:
    video = make_video()
    with listening(admin_client, f"?video_ids={video.id}") as reader:
        reader.until("beat")
        with transaction() as session:
            record(session, video.id, kind, utc_now())
        assert reader.until(name)["video_id"] == video.id


def test_changes_of_other_videos_are_not_heard(admin_client: FlaskClient) -> None:
    mine, other = make_video("Mine"), make_video("Other")
    with listening(admin_client, f"?video_ids={mine.id}") as reader:
        reader.until("beat")
        with transaction() as session:
            record(session, other.id, EventKind.SEGMENT, utc_now())
            record(session, mine.id, EventKind.POSTER, utc_now())
        assert reader.until("changed")["video_id"] == mine.id


def test_silence_is_filled_with_beats_and_heartbeats(app_factory: AppFactory) -> None:
    client = app_factory("admin", sse_heartbeat_interval=0.2).test_client()
    client.environ_base["HTTP_X_ADMIN_SECRET"] = ADMIN_SECRET
    with listening(client) as reader:
        assert reader.until("heartbeat")["timestamp"].endswith("Z")


def test_a_stream_ends_soon_after_its_session(app_factory: AppFactory) -> None:
    client = app_factory("admin", sse_heartbeat_interval=0.2).test_client()
    client.post("/login", data={"secret": ADMIN_SECRET}, headers=SAME)
    with listening(client) as reader:
        reader.until("heartbeat")
        with transaction() as session:
            session.query(AdminSession).delete()
        assert reader.ends()


def test_beyond_the_cap_the_page_is_told_to_poll(
    admin_client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "MAX_STREAMS", 2)
    with listening(admin_client), listening(admin_client):
        answer = admin_client.get("/api/events/progress")
        assert (answer.status_code, answer.json["code"]) == (503, "streams_full")
        assert answer.headers["Retry-After"] == "30"
    with listening(admin_client) as reader:
        assert reader.next()[0] == "initial"


def test_the_hub_lets_go_of_every_stream_when_the_server_ends(app_factory: AppFactory) -> None:
    app = app_factory("admin")
    client = app.test_client()
    client.environ_base["HTTP_X_ADMIN_SECRET"] = ADMIN_SECRET
    with listening(client) as reader:
        reader.next()
        hub: live.Hub = app.extensions[live.HUB_KEY]
        hub.stop()
        assert reader.ends()


def test_a_reader_that_does_not_read_is_let_go(app: Flask) -> None:
    subscription = live.Subscription(None)
    for _ in range(live.BACKLOG + 1):
        subscription.push(live.Change(1, frozenset({"segment"})))
    assert subscription.is_closed


@pytest.mark.parametrize("ids", ["x", "1,x", "-1", "1;2", "9" * 20, ",".join(["1"] * 201)])
def test_ids_that_are_none_are_refused(admin_client: FlaskClient, ids: str) -> None:
    answer = admin_client.get(f"/api/events/progress?video_ids={ids}")
    assert answer.status_code == 422
    assert answer.json["detail"][0]["loc"] == ["query", "video_ids"]
