"""PostgreSQL drops every connection, as it does when it is restarted: a caller is asked to try again at most once."""

from __future__ import annotations

import psycopg2
import pytest
from flask.testing import FlaskClient

from jobs.contract import Claim
from tests.worker_api.conftest import ANY_SLOT, RemoteWorker
from vlog_app import connections
from vlog_app.config import Settings
from vlog_app.models import Video

DROP_ALL = """SELECT pg_terminate_backend(pid, 60000) FROM pg_stat_activity
              WHERE datname = current_database() AND pid <> pg_backend_pid()"""  # waits until they have gone


@pytest.fixture
def database_url(postgres_url: str) -> str:
    return postgres_url


@pytest.fixture
def claim(film: Video, atlas: RemoteWorker) -> Claim:
    claim = atlas.claim()
    assert claim is not None
    return claim


def drop_connections(config: Settings) -> None:
    connection = psycopg2.connect(config.database_url.replace("+psycopg2", ""))
    with connection, connection.cursor() as cursor:
        cursor.execute(DROP_ALL)
        assert cursor.rowcount > 0, "nobody was connected"
    connection.close()


@pytest.fixture
def none_left(config: Settings, claim: Claim, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every connection is dead, and did not look it."""
    monkeypatch.setattr(connections, "_has_something_to_say", lambda _connection: False)
    drop_connections(config)


def test_a_connection_that_looks_dead_is_tested_so_that_nobody_notices(
    config: Settings, atlas: RemoteWorker, claim: Claim
) -> None:
    for _ in range(3):
        drop_connections(config)
        assert atlas.about(claim, "POST", "renew", json={}).status_code == 200


def test_one_that_rested_long_is_asked_whatever_it_looks_like(
    config: Settings, atlas: RemoteWorker, claim: Claim, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "_has_something_to_say", lambda _connection: False)
    monkeypatch.setattr(connections, "ASK_AFTER_S", 0.0)
    for _ in range(3):
        drop_connections(config)
        assert atlas.about(claim, "POST", "renew", json={}).status_code == 200


@pytest.mark.usefixtures("none_left")
def test_one_that_dies_in_use_costs_one_answer_that_says_try_again(atlas: RemoteWorker, claim: Claim) -> None:
    answer = atlas.about(claim, "POST", "renew", json={})
    assert (answer.status_code, answer.json["code"]) == (503, "database_busy")
    assert int(answer.headers["Retry-After"]) > 0
    assert atlas.about(claim, "POST", "renew", json={}).status_code == 200


@pytest.mark.usefixtures("none_left")
def test_a_claim_that_broke_is_asked_for_again_and_leased_once(atlas: RemoteWorker, claim: Claim) -> None:
    body = {"slot": ANY_SLOT, "token": "a" * 32, "code_version": "of somebody else"}
    assert atlas.call("POST", "/leases", json=body).status_code == 503
    first, again = (atlas.call("POST", "/leases", json=body).json["lease"] for _ in range(2))
    assert first == again
    assert first["job_id"] != claim.job_id


def test_pages_of_the_other_sites_say_try_again_as_well(
    config: Settings, admin_client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "_has_something_to_say", lambda _connection: False)
    assert admin_client.get("/queue").status_code == 200
    drop_connections(config)
    page = admin_client.get("/queue")
    assert (page.status_code, page.headers["Retry-After"]) == (503, "2")
    assert "Try again" in page.text and "psycopg2" not in page.text
    assert admin_client.get("/queue").status_code == 200
