"""Commands that look at an installation: doctor, settings, list, db upgrade."""

import json
import os
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from flask import Flask

from vlog_app.cli.database import upgrade_database
from vlog_app.config import Settings
from vlog_app.preflight import check_database, check_ffmpeg, check_port, check_space, check_storage
from vlog_app.secret_files import admin_secret, ensure_admin_secret, secret_key

ROOT = Path(__file__).parents[2]
POOR_FFMPEG = """#!/bin/sh
case "$*" in
*-version*) echo "ffmpeg version 9.9 Copyright" ;;
*-encoders*) printf ' V....D libx264 H.264\n A....D aac AAC\n' ;;
*-filters*) printf ' .. zscale V->V x\n .. tonemap V->V x\n' ;;
esac
"""


@pytest.fixture
def busy_port() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


def test_doctor_finds_nothing_wrong_with_a_good_installation(app: Flask) -> None:
    result = app.test_cli_runner().invoke(args=["vlog", "doctor", "--json"])
    checks = {check["name"]: check for check in json.loads(result.stdout)["checks"]}
    assert {"ffmpeg", "storage", "space", "database", "admin secret"} < set(checks)
    assert [name for name, check in checks.items() if not check["ok"] and not name.startswith("port")] == []


def test_doctor_names_each_problem_and_ends_with_1(app: Flask, config: Settings) -> None:
    broken = {"admin_api_secret": "short", "ffmpeg": "/no/such/ffmpeg", "storage_reserve_bytes": 1 << 60}
    app.extensions["vlog.settings"] = config.model_copy(update=broken)
    result = app.test_cli_runner().invoke(args=["vlog", "doctor"])
    assert result.exit_code == 1
    assert (
        'VLOG_FFMPEG is "/no/such/ffmpeg": it must be an ffmpeg 5.1 or newer that can be run.'
        in result.output
    )
    assert "The disk is full:" in result.output
    assert "The admin secret has 5 characters and can be guessed." in result.output


def test_a_busy_port_says_which_setting_moves_it(config: Settings, busy_port: int) -> None:
    check = check_port(config.model_copy(update={"admin_port": busy_port}), "admin")
    assert not check.is_ok
    assert check.detail == f"Port {busy_port} on 127.0.0.1 cannot be used (it is in use)."
    assert f"VLOG_ADMIN_PORT={busy_port + 10}" in check.remedy


def test_a_full_disk_is_found_before_anything_starts(config: Settings) -> None:
    assert check_space(config).is_ok
    assert not check_space(config.model_copy(update={"storage_reserve_bytes": 1 << 60})).is_ok


def test_a_sqlite_that_is_too_old_is_found_before_anything_starts(
    config: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert check_database(config).is_ok
    monkeypatch.setattr(sqlite3, "sqlite_version_info", (3, 34, 1))
    check = check_database(config)
    assert not check.is_ok
    assert "VLOG_DATABASE_URL" in check.remedy


def test_a_storage_that_is_a_file_cannot_be_written(config: Settings, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    check = check_storage(config.model_copy(update={"storage_path": tmp_path / "file"}))
    assert not check.is_ok
    assert "VLOG_STORAGE_PATH" in check.remedy


def test_settings_json_hides_secrets(app: Flask, config: Settings) -> None:
    result = app.test_cli_runner().invoke(args=["vlog", "settings", "--json"])
    rows = {row["name"]: row for row in json.loads(result.stdout)}
    assert rows["VLOG_ADMIN_API_SECRET"]["value"] == "(hidden)"
    assert rows["VLOG_STORAGE_PATH"]["value"] == str(config.storage_path)
    assert str(config.admin_api_secret) not in result.stdout


def test_list_says_what_to_do_when_there_is_nothing(app: Flask) -> None:
    assert "No videos yet." in app.test_cli_runner().invoke(args=["vlog", "list"]).output
    assert json.loads(app.test_cli_runner().invoke(args=["vlog", "list", "--json"]).output) == []


def test_upgrading_twice_changes_nothing(app: Flask, database: str) -> None:
    assert database in str(app.extensions["vlog.settings"].database_url)
    before, after = upgrade_database()
    assert before == after
    assert before is not None


def test_generated_secrets_stay_and_only_their_owner_reads_them(config: Settings) -> None:
    own = config.model_copy(update={"admin_api_secret": None})
    assert ensure_admin_secret(own)
    first, key = admin_secret(own), secret_key(own.storage_path)
    assert not ensure_admin_secret(own)
    assert (admin_secret(own), secret_key(own.storage_path)) == (first, key)
    for name in ("admin-secret", "secret-key"):
        assert (config.storage_path / name).stat().st_mode & 0o777 == 0o600


def test_a_wrong_setting_stops_every_command_with_one_sentence(tmp_path: Path) -> None:
    environment = {"PATH": os.environ["PATH"], "VLOG_STORAGE_PATH": str(tmp_path), "VLOG_PUBLIC_PORT": "many"}
    argv = [sys.executable, "-m", "flask", "--app", "wsgi", "vlog", "list"]
    done = subprocess.run(argv, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr == 'VLog: VLOG_PUBLIC_PORT is "many": it must be a whole number from 1 to 65535.\n'


def test_doctor_names_the_encoder_that_the_codec_of_films_would_need(
    config: Settings, tmp_path: Path
) -> None:
    """An ffmpeg that takes itself for a new one, without the encoders of newer codecs."""
    poor = tmp_path / "ffmpeg"
    poor.write_text(POOR_FFMPEG)
    poor.chmod(0o755)
    wanted = config.model_copy(update={"ffmpeg": str(poor), "hwaccel_preferred_codec": "av1"})
    check = check_ffmpeg(wanted)
    assert not check.is_ok
    assert "libsvtav1" in check.detail
    assert check_ffmpeg(wanted.model_copy(update={"hwaccel_preferred_codec": "h264"})).is_ok


@pytest.mark.parametrize("name", ["../x", "a/b", "", "x" * 41, "-x"])
def test_a_worker_is_not_named_like_a_path(app: Flask, name: str) -> None:
    result = app.test_cli_runner().invoke(args=["vlog", "worker", "run", f"--name={name}"])
    assert result.exit_code == 2
    assert "use up to 40 letters, digits, dots and dashes" in result.output
