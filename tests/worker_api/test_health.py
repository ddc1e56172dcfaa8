"""Health tells the truth about the storage, also when that does not answer at all."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from flask.testing import FlaskClient

from vlog_app.blueprints import health


@pytest.fixture(autouse=True)
def nothing_known() -> Iterator[None]:
    health._known.clear()
    health._hanging.clear()
    yield
    health._known.clear()
    health._hanging.clear()


def test_all_is_well(caller: FlaskClient) -> None:
    answer = caller.get("/api/health")
    assert answer.status_code == 200
    assert answer.json["status"] == "healthy"
    assert answer.json["checks"] == {"database": True, "storage": True}
    assert set(answer.json["storage"]) == {"healthy", "last_check", "error"}


def test_a_storage_that_is_gone_is_said_without_its_path(caller: FlaskClient, storage: Path) -> None:
    storage.rename(storage.with_name("elsewhere"))
    answer = caller.get("/api/health")
    assert (answer.status_code, answer.json["status"]) == (503, "unhealthy")
    assert answer.json["storage"]["error"] == health.REFUSED
    assert str(storage) not in answer.text
    storage.with_name("elsewhere").rename(storage)


def test_a_storage_that_hangs_holds_nobody_for_long(
    caller: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    over = threading.Event()
    looks: list[Path] = []

    def hang(root: Path) -> str | None:
        looks.append(root)
        over.wait(30)
        return None

    monkeypatch.setattr(health, "_look", hang)
    monkeypatch.setattr(health, "BELIEVED_S", 0.0)
    for _ in range(3):
        answer = caller.get("/api/health")
        assert (answer.status_code, answer.json["storage"]["error"]) == (503, health.SILENT)
    assert len(looks) == 1, "one look hangs; more of them would pile up"
    over.set()
    until = time.monotonic() + 10
    while caller.get("/api/health").status_code != 200:
        assert time.monotonic() < until
        time.sleep(0.05)
