"""The owner looks after workers on the command line, over the worker API."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator

import pytest
from click.testing import Result

from tests.conftest import AppFactory
from tests.contract.worker_api import WORKER_SECRET, running_worker_api

Run = Callable[..., Result]


@pytest.fixture
def run(app_factory: AppFactory) -> Iterator[Run]:
    """`flask vlog worker ...` beside a worker API."""
    server = app_factory("worker_api", worker_admin_secret=WORKER_SECRET)
    with running_worker_api(server) as url:

        def invoke(*words: str, **settings: str | None) -> Result:
            values = {"worker_api_url": url, "worker_admin_secret": WORKER_SECRET} | settings
            app = app_factory("cli", **values)
            return app.test_cli_runner().invoke(args=["vlog", "worker", *words])

        yield invoke


def registered(run: Run, name: str) -> dict[str, str]:
    done = run("register", name, "--json")
    assert done.exit_code == 0, done.output
    facts: dict[str, str] = json.loads(done.stdout)
    return facts


def statuses(run: Run) -> dict[str, str]:
    listed = json.loads(run("list", "--json").stdout)["workers"]
    return {worker["worker_name"]: worker["status"] for worker in listed}


def test_a_worker_is_registered_and_told_how_to_begin(run: Run) -> None:
    done = run("register", "atlas")
    assert done.exit_code == 0
    assert "Key     vlw_" in done.output
    assert "python -m jobs work --api http://127.0.0.1:" in done.output
    assert "atlas" in run("list").output


def test_no_workers_says_what_to_do(run: Run) -> None:
    assert run("list").output == "No workers yet. Register one: flask vlog worker register NAME\n"


def test_a_worker_is_found_by_name_or_id(run: Run) -> None:
    worker = registered(run, "atlas")
    for word in ("atlas", worker["worker_id"]):
        shown = json.loads(run("status", word, "--json").stdout)
        assert (shown["worker_id"], shown["status"]) == (worker["worker_id"], "offline")
    assert "offline" in run("status", "atlas").output


def test_a_name_that_two_have_needs_an_id(run: Run) -> None:
    ids = [registered(run, "twin")["worker_id"] for _ in range(2)]
    done = run("revoke", "twin")
    assert done.exit_code == 1
    assert all(each in done.output for each in ids)
    assert run("revoke", ids[0]).exit_code == 0


def test_draining_disabling_and_revoking(run: Run) -> None:
    registered(run, "atlas")
    assert (
        run("drain", "atlas").output
        == "atlas: It gives back what it has at the next segment and gets nothing new until it starts again.\n"
    )
    assert run("drain", "atlas", "--off").output == "atlas: It gets work again.\n"
    assert run("disable", "atlas").exit_code == 0
    assert statuses(run) == {"atlas": "disabled"}
    assert run("disable", "atlas", "--off").exit_code == 0
    assert statuses(run) == {"atlas": "offline"}
    assert json.loads(run("revoke", "atlas", "--json").stdout)["status"] == "ok"
    assert statuses(run) == {"atlas": "disabled"}


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        (
            {"worker_admin_secret": None},
            "Error: Set VLOG_WORKER_ADMIN_SECRET to the secret that the worker API has.",
        ),
        ({"worker_admin_secret": "guess"}, "Error: That secret does not match. Nothing was changed."),
        (
            {"worker_api_url": "http://127.0.0.1:1"},
            "Error: Nothing answers at http://127.0.0.1:1; start VLog, or set VLOG_WORKER_API_URL.",
        ),
    ],
)
def test_what_is_wrong_is_one_sentence(run: Run, settings: dict[str, str | None], sentence: str) -> None:
    done = run("list", **settings)
    assert (done.exit_code, done.output.strip()) == (1, sentence)


def test_an_unknown_worker_is_one_sentence(run: Run) -> None:
    done = run("status", "nobody")
    assert (done.exit_code, done.output.strip()) == (
        1,
        "Error: There is no worker nobody; see: flask vlog worker list",
    )


def test_a_name_that_is_too_long_is_said_so(run: Run) -> None:
    done = run("register", "x" * 101)
    assert done.exit_code == 1
    assert "worker_name: String should have at most 100 characters" in done.output


def test_a_remote_worker_without_a_key_says_where_it_belongs(run: Run) -> None:
    done = run("run", "--api", "http://127.0.0.1:1")
    assert done.exit_code == 1
    assert "Set VLOG_WORKER_API_KEY, or VLOG_WORKER_API_KEY_FILE, to the key of this worker." in done.output
