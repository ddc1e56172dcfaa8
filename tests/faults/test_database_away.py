"""PostgreSQL is gone or hangs: who asks is told so, soon and in a sentence; who can wait waits; then all goes on."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from flask import Flask, Response

from jobs.contract import Unavailable
from tests.conftest import ADMIN_SECRET, AppFactory, dispose
from tests.contract.conftest import ANY, ATLAS, must, segment_file
from tests.provision.postgres import Cluster
from tests.services.shop import cells_in, film
from vlog_app import database
from vlog_app.extensions import db
from vlog_app.local_coordinator import LocalCoordinator
from vlog_app.models import Video
from vlog_app.services import queue

LIMIT_S = 0.4
LONG_S = 30.0  # a busy machine is no mistake; without a limit nothing would ever come

ADDRESSES = {
    "public": ("/", "/api/videos/some/progress", "/videos/some/master.m3u8"),
    "admin": ("/videos", "/api/videos", "/uploads", "/queue"),
    "worker_api": ("/api/workers",),
}


@pytest.fixture
def database_url(cluster: Cluster) -> Iterator[str]:
    with cluster.postgres.database() as url:
        yield url
        database.limit_waiting(0)  # it is that of the process: the next test has other apps


@pytest.fixture
def apps(app_factory: AppFactory) -> dict[str, Flask]:
    settings = {"database_timeout": LIMIT_S, "worker_admin_secret": ADMIN_SECRET}
    return {surface: app_factory(surface, **settings) for surface in ADDRESSES}


def ask(apps: dict[str, Flask]) -> dict[str, tuple[int, str, str | None]]:
    """(status, text, Retry-After) of every address."""
    headers = {"X-Admin-Secret": ADMIN_SECRET, "X-Worker-API-Key": "vlw_" + "0" * 40}
    found = {}
    for surface, addresses in ADDRESSES.items():
        client = apps[surface].test_client()
        for address in addresses:
            answer = client.get(address, headers=headers)
            found[f"{surface} {address}"] = answer.status_code, answer.text, answer.headers.get("Retry-After")
    return found


def assert_all_say_when_to_come_back(answers: dict[str, tuple[int, str, str | None]]) -> None:
    for address, (status, text, again) in answers.items():
        assert (status, again) == (503, "2"), (address, text)
        assert "The database does not answer at the moment. Nothing was lost." in text, address
        assert "Traceback" not in text and "psycopg2" not in text and "socket" not in text


def test_every_surface_says_so_and_needs_no_restart(
    apps: dict[str, Flask], cluster: Cluster, caplog: pytest.LogCaptureFixture
) -> None:
    before = {address: status for address, (status, _text, _again) in ask(apps).items()}
    assert all(status < 500 for status in before.values()), before
    cluster.kill(with_children=True)
    try:
        assert_all_say_when_to_come_back(ask(apps))
        assert apps["public"].test_client().get("/api/health").status_code == 503
    finally:
        cluster.start()
    assert {address: status for address, (status, _text, _again) in ask(apps).items()} == before
    assert "Traceback" not in caplog.text


def test_a_server_that_hangs_is_not_waited_for_for_ever(apps: dict[str, Flask], cluster: Cluster) -> None:
    before = {address: status for address, (status, _text, _again) in ask(apps).items()}
    cluster.halt()
    began = time.monotonic()
    try:
        assert_all_say_when_to_come_back(ask(apps))
    finally:
        cluster.go_on()
    assert time.monotonic() - began < LONG_S
    assert {address: status for address, (status, _text, _again) in ask(apps).items()} == before


def test_an_answer_that_is_made_is_given_although_the_connection_died(
    app_factory: AppFactory, cluster: Cluster
) -> None:
    app = app_factory("public")

    def die(response: Response) -> Response:
        cluster.kill(with_children=True)
        return response

    app.after_request(die)
    try:
        answer = app.test_client().get("/")
        assert (answer.status_code, "</html>" in answer.text) == (200, True)
    finally:
        back_again(cluster, hangs=False)


def test_after_the_first_wait_in_vain_others_wait_less(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "_patience", database._Patience())
    database._patience.limit_s = 60.0
    assert database._patience.wait_s == 60.0
    database._patience.is_silent = True
    assert database._patience.wait_s == database.HURRY_S
    with database.all_the_time_in_the_world():
        assert database._patience.wait_s is None


@pytest.mark.parametrize("hangs", [False, True])
def test_a_finished_segment_waits_until_the_database_is_back(
    hangs: bool, app_factory: AppFactory, cluster: Cluster, tmp_path: Path
) -> None:
    app = app_factory("cli", database_timeout=LIMIT_S)
    coordinator = LocalCoordinator(app)
    with app.app_context():
        film(12.0)
        claim = must(queue.claim_next_job(ATLAS, ANY))
        db.session.remove()
    (cluster.halt if hangs else lambda: cluster.kill(with_children=True))()
    try:
        with pytest.raises(Unavailable):
            coordinator.beat(ATLAS)
        with ThreadPoolExecutor(1) as pool:
            facts, file = segment_file(tmp_path, claim, "360p", 0)
            handing_in = pool.submit(coordinator.checkpoint, claim, facts, file)
            time.sleep(1.5)
            assert not handing_in.done()
            back_again(cluster, hangs=hangs)
            assert handing_in.result(LONG_S)
    finally:
        back_again(cluster, hangs=hangs)
    with app.app_context():
        assert cells_in(db.session.get_one(Video, claim.video_id)) == {("360p", 0)}
    dispose(app)


def back_again(cluster: Cluster, *, hangs: bool) -> None:
    if hangs:
        cluster.go_on()
    elif not cluster.postgres.is_up():
        cluster.start()
