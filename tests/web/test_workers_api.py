"""Workers for scripts, and the stream that tells of them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import pytest
from flask.testing import FlaskClient

from jobs.contract import WorkerInfo
from tests.factories import utc_now
from tests.web.crew import change, employ, facts, fail_once, long_film, make_crew, start
from tests.web.test_live import Reader
from vlog_app.blueprints.admin import live as stream_module
from vlog_app.blueprints.admin import workers_live
from vlog_app.services import fleet, fleet_watch, worker_keys

pytestmark = pytest.mark.usefixtures("app")


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream_module, "BEAT_S", 0.1)
    monkeypatch.setattr(workers_live, "LOOK_EVERY_S", 0.02)
    monkeypatch.setattr(fleet_watch, "LOOK_EVERY_S", 0.01)


@contextmanager
def listening(client: FlaskClient) -> Iterator[Reader]:
    answer = client.get("/api/events/workers", buffered=False)
    assert (answer.status_code, answer.mimetype) == (200, "text/event-stream")
    try:
        yield Reader(answer)
    finally:
        answer.close()


def test_the_list_counts_every_worker_once(admin_client: FlaskClient) -> None:
    make_crew()
    found = admin_client.get("/api/workers").json
    names = ("active", "idle", "offline", "disabled")
    assert (
        found["total_count"] == len(found["workers"]) == sum(found[f"{name}_count"] for name in names) == 13
    )
    assert (found["disabled_count"], found["offline_count"]) == (2, 3)
    atlas = next(worker for worker in found["workers"] if worker["worker_name"] == "atlas")
    assert (atlas["status"], atlas["worker_type"], atlas["code_version"]) == ("busy", "remote", "vlog/1.4")


def test_the_jobs_at_work_say_who_makes_what(admin_client: FlaskClient) -> None:
    video, worker_id = long_film("Owls"), start("atlas")
    employ(worker_id, video, "360p", 1, "nvidia:0")
    found = admin_client.get("/api/workers/active-jobs").json
    assert found["total_count"] == 1
    job = found["jobs"][0]
    assert (job["worker_name"], job["video_slug"], job["device"], job["speed"]) == (
        "atlas",
        "owls",
        "nvidia:0",
        3.2,
    )
    assert (job["qualities"], job["segment"], job["segments_total"], job["progress_percent"]) == (
        ["360p"],
        1,
        118,
        80,
    )


def test_one_worker_comes_with_its_jobs_and_its_last_ones(admin_client: FlaskClient) -> None:
    video, worker_id = long_film("Owls"), start("atlas")
    employ(worker_id, video, "360p", 1)
    fail_once(worker_id, video, "It stopped.")
    found = admin_client.get(f"/api/workers/{worker_id}").json
    assert [job["video_slug"] for job in found["active_jobs"]] == ["owls"]
    assert [(job["outcome"], job["error_message"]) for job in found["recent_jobs"]] == [
        ("failed", "It stopped.")
    ]


def test_disable_and_enable(admin_client: FlaskClient) -> None:
    worker_id = start("atlas")
    for verb, status in {"disable": "disabled", "enable": "idle"}.items():
        answer = admin_client.put(f"/api/workers/{worker_id}/{verb}")
        assert (answer.status_code, answer.json["status"]) == (200, "ok")
        assert admin_client.get(f"/api/workers/{worker_id}").json["status"] == status


def test_delete_takes_the_key_with_it(admin_client: FlaskClient) -> None:
    new = fleet.register("atlas", "remote", {}, {})
    kept = admin_client.delete(f"/api/workers/{new.worker_id}?revoke_keys=false")
    assert (kept.status_code, kept.json["code"]) == (409, "has_key")
    assert worker_keys.find(new.api_key) is not None
    assert admin_client.delete(f"/api/workers/{new.worker_id}?revoke_keys=true").status_code == 200
    assert worker_keys.find(new.api_key) is None
    assert admin_client.get(f"/api/workers/{new.worker_id}").status_code == 404


def test_a_local_worker_that_runs_is_not_deleted(admin_client: FlaskClient) -> None:
    fleet.greet(WorkerInfo("local:nas", "nas", facts("nas")))
    answer = admin_client.delete("/api/workers/local:nas")
    assert (answer.status_code, answer.json["code"]) == (409, "still_here")


def test_an_unknown_worker_is_404(admin_client: FlaskClient) -> None:
    for method, path in (("GET", ""), ("PUT", "/disable"), ("PUT", "/enable"), ("DELETE", "")):
        answer = admin_client.open(f"/api/workers/x{path}", method=method)
        assert (answer.status_code, answer.json["code"]) == (404, "not_found")


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", ""), ("GET", "/active-jobs"), ("GET", "/x"), ("PUT", "/x/disable"), ("DELETE", "/x")],
)
def test_strangers_are_refused(stranger: FlaskClient, method: str, path: str) -> None:
    assert stranger.open(f"/api/workers{path}", method=method).status_code == 401
    assert stranger.get("/api/events/workers", headers={"Accept": "application/json"}).status_code == 401


def test_the_stream_begins_with_everything(admin_client: FlaskClient) -> None:
    video, worker_id = long_film("Owls"), start("atlas")
    employ(worker_id, video, "360p", 1)
    with listening(admin_client) as reader:
        name, data = reader.next()
    assert name == "initial"
    assert data["stats"] == {"total": 1, "active": 1, "idle": 0, "offline": 0, "disabled": 0}
    assert [worker["worker_id"] for worker in data["workers"]] == [worker_id]
    assert [job["video_slug"] for job in data["active_jobs"]] == ["owls"]


def test_a_heartbeat_a_pause_a_newcomer_and_a_removal_are_told(admin_client: FlaskClient) -> None:
    worker_id = start("atlas", 10)
    with listening(admin_client) as reader:
        reader.next()
        change(worker_id, heartbeat_at=utc_now())
        told = reader.until("worker_status")
        assert (told["type"], told["worker_id"], told["status"]) == ("worker_status", worker_id, "idle")
        change(worker_id, paused_at=utc_now())
        assert reader.until("worker_status")["status"] == "paused"
        newcomer = fleet.register("cellar", "remote", {}, {}).worker_id
        assert reader.until("worker_status")["worker_id"] == newcomer
        fleet.remove(newcomer)
        assert reader.until("worker_status") | {"timestamp": ""} == {
            "type": "worker_status",
            "timestamp": "",
            "worker_id": newcomer,
            "status": "removed",
        }


def test_silence_is_told_though_nothing_happens(admin_client: FlaskClient) -> None:
    worker_id = start("atlas", 3)
    with listening(admin_client) as reader:
        reader.next()
        change(worker_id, heartbeat_at=utc_now() - timedelta(hours=1))
        assert reader.until("worker_status")["status"] == "offline"
        reader.until("beat")
