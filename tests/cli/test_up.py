"""`flask vlog up` as a person types it: three sites answer, a login link works, nothing is left behind."""

import json
import os
import signal
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.provision.site import LAST_LINE, PATIENCE_S, Site, free_ports, is_free, running_site, start_site


def status_of(url: str) -> int:
    with urllib.request.urlopen(url, timeout=10) as answer:
        return int(answer.status)


@pytest.fixture(scope="module")
def standing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """One site for all tests that leave it standing. Its login link works once."""
    with running_site(tmp_path_factory.mktemp("site") / "var") as site:
        yield site


def test_the_login_link_is_kept_as_a_hash(standing: Site) -> None:
    token = standing.login_link.split("link=")[1]
    kept = (standing.storage / "login-link").read_text()
    assert token not in kept
    assert set(json.loads(kept)) == {"sha256", "expires_at"}


def test_three_sites_answer_and_the_link_logs_in(standing: Site) -> None:
    for url in (standing.public_url, standing.admin_url, standing.worker_api_url):
        assert status_of(f"{url}/healthz") == 200
    assert status_of(standing.login_link) == 200
    assert f"Admin secret  {standing.secret}" in standing.greeting


def test_a_busy_port_is_one_sentence(standing: Site, tmp_path: Path) -> None:
    log = tmp_path / "second.log"
    second = start_site(tmp_path / "other", standing.port, log)
    assert second.wait(PATIENCE_S) == 1
    assert f"Port {standing.port} on 127.0.0.1 cannot be used (it is in use)." in log.read_text()
    assert f"VLOG_PUBLIC_PORT={standing.port + 10}" in log.read_text()
    assert "Traceback" not in log.read_text()


def test_ctrl_c_ends_everything_and_the_second_start_keeps_the_secret(site: Site) -> None:
    secret = site.secret
    assert site.end() == 0, site.log.read_text()
    assert all(is_free(site.port + offset) for offset in range(3))
    with running_site(site.storage, port=site.port) as again:
        assert again.secret == secret
        assert secret not in again.greeting
        assert "The admin secret is in" in again.greeting


def test_the_worker_api_has_as_many_processes_as_were_asked_for(tmp_path: Path) -> None:
    with running_site(tmp_path / "var", worker_api_processes="2") as site:
        api = site.children()["worker-api"]
        serving = Path(f"/proc/{api}/task/{api}/children").read_text().split()
        assert len(serving) == 2
        assert status_of(f"{site.worker_api_url}/healthz") == 200
        assert site.end() == 0
    assert not any(Path(f"/proc/{pid}").exists() for pid in serving)


def test_killing_it_leaves_nothing_running(site: Site) -> None:
    children = site.children()
    assert {"public", "admin", "worker-api", "worker"} <= set(children)
    site.process.kill()
    wait_for(
        lambda: not any(Path(f"/proc/{pid}").exists() for pid in children.values()) and is_free(site.port)
    )


def test_a_killed_site_and_a_killed_worker_come_back(standing: Site) -> None:
    before = standing.children()
    os.kill(before["worker"], signal.SIGKILL)
    os.kill(before["public"], signal.SIGKILL)
    wait_for(lambda: standing.children().get("worker", before["worker"]) != before["worker"])
    wait_for(lambda: standing.children().get("public", before["public"]) != before["public"])
    wait_for(lambda: not is_free(standing.port))
    assert status_of(f"{standing.public_url}/healthz") == 200
    assert "worker ended (signal SIGKILL); starting it again in 0.5 s." in standing.log.read_text()


def test_it_runs_on_postgresql(postgres_url: str, tmp_path: Path) -> None:
    with running_site(tmp_path / "var", database_url=postgres_url.replace("+psycopg2", "")) as site:
        assert status_of(f"{site.public_url}/healthz") == 200
        assert not (tmp_path / "var/vlog.db").exists()


@pytest.mark.parametrize(
    ("setting", "value", "sentence"),
    [
        ("public_port", "many", 'VLOG_PUBLIC_PORT is "many": it must be a whole number from 1 to 65535.'),
        ("storage_path", "/proc/nowhere", "The storage folder /proc/nowhere cannot be written"),
        ("storage_reserve_bytes", str(1 << 60), "The disk is full:"),
        ("ffmpeg", "/no/such/ffmpeg", 'VLOG_FFMPEG is "/no/such/ffmpeg": it must be an ffmpeg 5.1 or newer'),
        ("database_url", "postgresql://nobody@127.0.0.1:9/none", "The database does not answer:"),
    ],
)
def test_what_keeps_it_from_starting_is_one_sentence(
    tmp_path: Path, setting: str, value: str, sentence: str
) -> None:
    log = tmp_path / "up.log"
    process = start_site(tmp_path / "var", free_ports(), log, **{setting: value})
    assert process.wait(PATIENCE_S) == 1
    said = log.read_text()
    assert sentence in said
    assert len(said.strip().splitlines()) == 1, said
    assert LAST_LINE not in said


def wait_for(is_true: object) -> None:
    assert callable(is_true)
    deadline = time.monotonic() + PATIENCE_S
    while not is_true():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.05)
