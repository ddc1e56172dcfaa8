"""The owner registers workers, sees them, and sends them away."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient

from tests.conftest import AppFactory
from tests.contract.worker_api import WORKER_SECRET
from tests.worker_api.conftest import OWNER, RemoteWorker

REGISTER = "/api/worker/register"
KEY = r"vlw_[0-9a-f]{8}_[\w-]{43}_[0-9a-f]{8}"
OWNERS_ROUTES = (("POST", REGISTER), ("GET", "/api/workers"), ("POST", "/api/workers/x/revoke"))


def test_a_registered_worker_gets_a_key_and_may_use_it(caller: FlaskClient) -> None:
    body = {
        "worker_name": "atlas",
        "worker_type": "remote",
        "capabilities": {"hwaccel_type": "nvidia", "encoders": {"h264": ["h264_nvenc"]}},
        "metadata": {"pod_name": "encode-7", "labels": {"zone": "b"}},
    }
    answer = caller.post(REGISTER, json=body, headers=OWNER)
    assert answer.status_code == 200
    assert set(answer.json) == {"worker_id", "api_key", "message"}
    assert re.fullmatch(KEY, answer.json["api_key"])
    said = caller.post(
        "/api/worker/heartbeat", json={"status": "idle"}, headers={"X-Worker-API-Key": answer.json["api_key"]}
    )
    assert said.status_code == 200
    listed = caller.get("/api/workers", headers=OWNER).json["workers"][0]
    assert listed["worker_id"] == answer.json["worker_id"]
    assert listed["capabilities"] == body["capabilities"]
    assert listed["metadata"] == body["metadata"]


def test_an_empty_registration_gets_a_name(caller: FlaskClient) -> None:
    assert caller.post(REGISTER, headers=OWNER).status_code == 200
    assert caller.get("/api/workers", headers=OWNER).json["workers"][0]["worker_name"].startswith("worker-")


def test_the_key_is_kept_nowhere(storage: Path, atlas: RemoteWorker) -> None:
    secret = atlas.key.split("_", 2)[2][:43]
    with sqlite3.connect(storage / "vlog.db") as database:
        dump = "\n".join(database.iterdump())
    assert atlas.id in dump
    assert secret not in dump


@pytest.mark.parametrize(("method", "path"), OWNERS_ROUTES)
def test_without_a_configured_secret_nobody_is_the_owner(
    app_factory: AppFactory, method: str, path: str
) -> None:
    answer = app_factory("worker_api").test_client().open(path, method=method, headers=OWNER)
    assert (answer.status_code, answer.json["code"]) == (503, "no_secret")


@pytest.mark.parametrize(("method", "path"), OWNERS_ROUTES)
@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 401),
        ({"X-Admin-Secret": "guess"}, 403),
        ({"X-Admin-Secret": ""}, 403),
        ({"X-Worker-API-Key": "x"}, 401),
    ],
)
def test_a_missing_secret_is_401_and_a_wrong_one_403(
    caller: FlaskClient, method: str, path: str, headers: dict[str, str], status: int
) -> None:
    answer = caller.open(path, method=method, headers=headers)
    assert answer.status_code == status
    assert set(answer.json) == {"detail", "code", "request_id"}


@pytest.mark.parametrize(
    ("body", "place"),
    [
        ({"worker_name": "x" * 101}, ["body", "worker_name"]),
        ({"worker_name": 7}, ["body", "worker_name"]),
        ({"worker_type": "cloud"}, ["body", "worker_type"]),
        ({"is_admin": True}, ["body", "is_admin"]),
        ({"capabilities": {"warp": 9}}, ["body", "capabilities", "warp"]),
        (
            {"capabilities": {"max_concurrent_encode_sessions": 101}},
            ["body", "capabilities", "max_concurrent_encode_sessions"],
        ),
        ({"metadata": {"pod": "x"}}, ["body", "metadata", "pod"]),
    ],
)
def test_what_is_wrong_is_named(caller: FlaskClient, body: dict[str, Any], place: list[str]) -> None:
    answer = caller.post(REGISTER, json=body, headers=OWNER)
    assert answer.status_code == 422
    assert place in [each["loc"] for each in answer.json["detail"]]
    assert all(each["msg"] for each in answer.json["detail"])
    assert caller.get("/api/workers", headers=OWNER).json["total_count"] == 0


@pytest.mark.parametrize("body", ["[" * 5000, "{", "null", "[]", '{"worker_name": NaN}', "\xff"])
def test_what_is_no_json_object_is_422(caller: FlaskClient, body: str) -> None:
    assert caller.post(REGISTER, data=body.encode("latin-1"), headers=OWNER).status_code == 422


def test_a_body_over_ten_thousand_bytes_is_400(caller: FlaskClient) -> None:
    answer = caller.post(REGISTER, data=b" " * 10_001, headers=OWNER)
    assert (answer.status_code, answer.json["code"]) == (400, "body_too_large")


def test_a_name_keeps_only_what_can_be_seen(caller: FlaskClient) -> None:
    name = " \u202eat\x1b[31mlas\n\t two\u0000 "
    assert caller.post(REGISTER, json={"worker_name": name}, headers=OWNER).status_code == 200
    assert caller.get("/api/workers", headers=OWNER).json["workers"][0]["worker_name"] == "at[31mlas two"


def test_guesses_end_after_five_and_registrations_do_not(app_factory: AppFactory) -> None:
    server = app_factory("worker_api", worker_admin_secret=WORKER_SECRET, rate_limit_enabled=True)
    caller = server.test_client()
    for number in range(8):
        assert caller.post(REGISTER, json={"worker_name": f"w{number}"}, headers=OWNER).status_code == 200
    guesses = [caller.post(REGISTER, headers={"X-Admin-Secret": "guess"}).status_code for _ in range(7)]
    assert guesses == [403] * 5 + [429] * 2


def test_a_revoked_worker_is_refused_at_once_and_its_job_is_free(
    caller: FlaskClient, atlas: RemoteWorker, hire: Callable[[str], RemoteWorker], film: object
) -> None:
    held = atlas.claim("audio")
    assert held is not None
    answer = caller.post(f"/api/workers/{atlas.id}/revoke", headers=OWNER)
    assert answer.json["status"] == "ok"
    refused = atlas.call("POST", "/heartbeat", json={"status": "idle"})
    assert (refused.status_code, refused.json["code"]) == (401, "key_invalid")
    taken = hire("cellar").claim("audio")
    assert taken is not None
    assert taken.job_id == held.job_id
    assert caller.get("/api/workers", headers=OWNER).json["workers"][1]["status"] == "disabled"


@pytest.mark.parametrize("verb", ["revoke", "drain", "disable"])
def test_an_unknown_worker_is_404(caller: FlaskClient, verb: str) -> None:
    answer = caller.post(f"/api/workers/00000000-0000-4000-8000-000000000000/{verb}", headers=OWNER)
    assert (answer.status_code, answer.json["code"]) == (404, "not_found")


def test_a_disabled_worker_is_403_until_it_is_enabled(caller: FlaskClient, atlas: RemoteWorker) -> None:
    caller.post(f"/api/workers/{atlas.id}/disable", headers=OWNER)
    refused = atlas.call("POST", "/heartbeat", json={"status": "idle"})
    assert (refused.status_code, refused.json["code"]) == (403, "worker_disabled")
    caller.post(f"/api/workers/{atlas.id}/disable", json={"on": False}, headers=OWNER)
    assert atlas.call("POST", "/heartbeat", json={"status": "idle"}).status_code == 200


def test_a_draining_worker_gets_no_job_and_keeps_the_one_it_has(
    caller: FlaskClient, atlas: RemoteWorker, film: object
) -> None:
    held = atlas.claim()
    assert held is not None
    atlas.call("POST", "/heartbeat", json={"status": "busy"})
    caller.post(f"/api/workers/{atlas.id}/drain", headers=OWNER)
    assert atlas.claim() is None
    assert atlas.about(held, "POST", "renew", json={}).status_code == 200
    assert caller.get("/api/workers", headers=OWNER).json["workers"][0]["status"] == "draining"
    caller.post(f"/api/workers/{atlas.id}/drain", json={"on": False}, headers=OWNER)
    assert atlas.claim() is not None
