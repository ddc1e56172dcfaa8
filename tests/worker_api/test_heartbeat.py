"""Signs of life: what a worker says of itself, and what it is then called."""

from __future__ import annotations

from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from jobs.contract import WorkerInfo
from jobs.wire import VERSION
from tests.worker_api.conftest import OWNER, RemoteWorker
from vlog_app.services import fleet
from vlog_app.services.clock import SHIFT_KEY

IDLE = {"status": "idle"}


def beat(worker: RemoteWorker, **body: Any) -> dict[str, Any]:
    answer = worker.call("POST", "/heartbeat", json=IDLE | body)
    assert answer.status_code == 200, answer.text
    facts: dict[str, Any] = answer.json
    return facts


def state_of(caller: FlaskClient, worker: RemoteWorker) -> str:
    listed = caller.get("/api/workers", headers=OWNER).json["workers"]
    return next(each["status"] for each in listed if each["worker_id"] == worker.id)


def test_the_answer_is_what_existing_clients_read(atlas: RemoteWorker) -> None:
    answer = beat(atlas)
    assert set(answer) == {
        *("status", "server_time", "required_version", "version_ok"),
        *("worker_status", "current_job_id", "last_heartbeat_recorded"),
    }
    assert (answer["status"], answer["worker_status"], answer["current_job_id"]) == ("ok", "idle", None)


@pytest.mark.parametrize(
    ("version", "is_ok"),
    [(VERSION, True), ("vlog/0.0", False), ("1.4.2", True), ("a1b2c3d", True), (None, True)],
)
def test_only_our_own_old_workers_are_sent_home(
    atlas: RemoteWorker, version: str | None, is_ok: bool
) -> None:
    assert beat(atlas, code_version=version)["version_ok"] is is_ok


def test_capabilities_add_up_and_the_rest_is_free(caller: FlaskClient, atlas: RemoteWorker) -> None:
    beat(atlas, metadata={"capabilities": {"gpu_name": "A"}, "mood": "good"})
    beat(atlas, metadata={"capabilities": {"driver_version": "1"}, "temperature": 61})
    listed = caller.get("/api/workers", headers=OWNER).json["workers"][0]
    assert listed["capabilities"] == {"gpu_name": "A", "driver_version": "1"}
    assert listed["metadata"] == {"mood": "good", "temperature": 61}


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"status": "asleep"},
        {"status": "idle", "mood": "good"},
        {"status": "idle", "metadata": {"capabilities": {"warp": 9}}},
        {"status": "idle", "metadata": {str(n): n for n in range(21)}},
        {"status": "idle", "metadata": {"words": "x" * 10_001}},
    ],
)
def test_what_cannot_be_read_is_422(atlas: RemoteWorker, body: dict[str, Any]) -> None:
    assert atlas.call("POST", "/heartbeat", json=body).status_code == 422


def test_a_worker_is_offline_until_it_is_heard_and_when_it_falls_silent(
    server: Flask, caller: FlaskClient, atlas: RemoteWorker
) -> None:
    assert state_of(caller, atlas) == "offline"
    beat(atlas)
    assert state_of(caller, atlas) == "idle"
    server.config[SHIFT_KEY] = 301.0
    assert state_of(caller, atlas) == "offline"
    beat(atlas, status="active")
    assert state_of(caller, atlas) == "active"


def test_a_worker_with_a_job_is_busy_and_the_list_says_with_what(
    caller: FlaskClient, atlas: RemoteWorker, film: Any
) -> None:
    held = atlas.claim()
    assert held is not None
    assert beat(atlas)["current_job_id"] == held.job_id
    listed = caller.get("/api/workers", headers=OWNER).json
    assert (listed["total_count"], listed["active_count"], listed["offline_count"]) == (1, 1, 0)
    worker = listed["workers"][0]
    assert (worker["status"], worker["current_video_slug"]) == ("busy", "wood-firing-night-two")


def test_local_and_remote_workers_are_one_fleet(
    server: Flask, caller: FlaskClient, atlas: RemoteWorker
) -> None:
    with server.app_context():
        fleet.greet(WorkerInfo("local:cellar", "cellar", {"cores": 4}))
    listed = caller.get("/api/workers", headers=OWNER).json["workers"]
    assert {(each["worker_name"], each["worker_type"]) for each in listed} == {
        ("cellar", "local"),
        ("atlas", "remote"),
    }


def test_a_worker_that_said_goodbye_is_offline(caller: FlaskClient, atlas: RemoteWorker) -> None:
    atlas.call("POST", "/greet", json={"facts": {"cores": 8}, "code_version": VERSION})
    assert state_of(caller, atlas) == "idle"
    assert atlas.call("POST", "/farewell").status_code == 200
    assert state_of(caller, atlas) == "offline"
