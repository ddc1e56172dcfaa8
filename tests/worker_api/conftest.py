"""A worker API in this process, the owner who registers workers, and workers that have keys."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from encoder.model import Segment
from jobs.contract import Claim
from jobs.layout import AUDIO, ENCODE, POSTER, STORYBOARD
from jobs.wire import VERSION, claim_from_json
from tests.conftest import AppFactory
from tests.contract.conftest import planned_video
from tests.contract.worker_api import WORKER_SECRET
from vlog_app.extensions import db
from vlog_app.models import Attempt, Event, Job, Rendition, Video
from vlog_app.models import Segment as SegmentRow

OWNER = {"X-Admin-Secret": WORKER_SECRET}
ANY_SLOT = {"name": "any", "kinds": [ENCODE, AUDIO, POSTER, STORYBOARD]}


@dataclass
class RemoteWorker:
    """One key, and what is said with it."""

    client: FlaskClient
    id: str
    key: str
    tokens: int = 0

    def call(self, method: str, path: str, **more: Any) -> TestResponse:
        headers = {"X-Worker-API-Key": self.key, **more.pop("headers", {})}
        return self.client.open(f"/api/worker{path}", method=method, headers=headers, **more)

    def claim(self, *kinds: str) -> Claim | None:
        self.tokens += 1
        token = hashlib.md5(f"{self.id}{self.tokens}".encode()).hexdigest()
        slot = ANY_SLOT | ({"kinds": kinds} if kinds else {})
        body = {"slot": slot, "token": token, "code_version": VERSION}
        answer = self.call("POST", "/leases", json=body)
        assert answer.status_code == 200, answer.text
        return claim_from_json(answer.json["lease"]) if answer.json["lease"] else None

    def about(self, claim: Claim, method: str, what: str, **more: Any) -> TestResponse:
        """A call about a job, with its token."""
        headers = {"X-Lease-Token": claim.token, **more.pop("headers", {})}
        return self.call(method, f"/leases/{claim.job_id}/{what}", headers=headers, **more)

    def put_segment(self, claim: Claim, facts: Segment, data: bytes, **headers: str) -> TestResponse:
        told = {"X-Content-SHA256": facts.sha256, "X-Segment": json.dumps(asdict(facts))} | headers
        what = f"segments/{facts.rendition}/{facts.index}"
        return self.about(claim, "PUT", what, data=data, headers=told)


@pytest.fixture
def server(app_factory: AppFactory) -> Flask:
    return app_factory("worker_api", worker_admin_secret=WORKER_SECRET)


@pytest.fixture
def caller(server: Flask) -> FlaskClient:
    """Somebody without a key."""
    return server.test_client()


@pytest.fixture
def hire(caller: FlaskClient) -> Callable[[str], RemoteWorker]:
    def register(name: str) -> RemoteWorker:
        answer = caller.post("/api/worker/register", json={"worker_name": name}, headers=OWNER)
        assert answer.status_code == 200, answer.text
        return RemoteWorker(caller, answer.json["worker_id"], answer.json["api_key"])

    return register


@pytest.fixture
def atlas(hire: Callable[[str], RemoteWorker]) -> RemoteWorker:
    return hire("atlas")


@pytest.fixture
def cellar(hire: Callable[[str], RemoteWorker]) -> RemoteWorker:
    return hire("cellar")


@pytest.fixture
def film(server: Flask) -> Video:
    """60 s, planned, nothing encoded; its source is four bytes."""
    with server.app_context():
        return planned_video()[0]


@pytest.fixture
def truth(server: Flask, storage: Path) -> Callable[[], object]:
    """Everything that a call could change."""

    def read() -> object:
        with server.app_context():
            rows = [
                [
                    [getattr(row, column.key) for column in table.__table__.columns]
                    for row in db.session.scalars(db.select(table).order_by(*table.__table__.primary_key))
                ]
                for table in (Job, Attempt, Event, Rendition, SegmentRow, Video)
            ]
        return rows, read_whole(storage / "videos"), read_whole(storage / ".work")

    return read


def read_whole(folder: Path) -> set[str]:
    """Every file below, by its path from there."""
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
