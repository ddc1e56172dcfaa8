"""Errors as people and programs see them."""

from __future__ import annotations

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.exceptions import HTTPException

from tests.conftest import AppFactory
from vlog_app.errors import Problem


@pytest.fixture
def broken(app_factory: AppFactory) -> FlaskClient:
    app: Flask = app_factory("public")

    def crash() -> None:
        raise RuntimeError("/secret/path and more")

    def refuse() -> None:
        raise Problem(507, "storage_low", "31 GB needed, 12 GB free.", headers={"Retry-After": "9"})

    app.add_url_rule("/crash", "crash", crash)
    app.add_url_rule("/api/crash", "api_crash", crash)
    app.add_url_rule("/api/refuse", "refuse", refuse)
    app.add_url_rule("/refuse", "refuse_page", refuse)
    return app.test_client()


def test_a_crash_shows_a_page_without_a_trace(broken: FlaskClient) -> None:
    answer = broken.get("/crash")
    assert answer.status_code == 500
    assert "Something went wrong on the server" in answer.text
    assert "secret" not in answer.text and "Traceback" not in answer.text
    assert answer.headers["X-Request-ID"] in answer.text


def test_a_crash_of_the_api_is_json(broken: FlaskClient) -> None:
    answer = broken.get("/api/crash", headers={"X-Request-ID": "abc-1.2_3"})
    assert answer.json == {
        "detail": "It was written to the log. What was saved is safe. Try again.",
        "code": "internal",
        "request_id": "abc-1.2_3",
    }


def test_a_problem_keeps_its_code_words_and_headers(broken: FlaskClient) -> None:
    answer = broken.get("/api/refuse")
    assert (answer.status_code, answer.json["code"]) == (507, "storage_low")
    assert answer.headers["Retry-After"] == "9"
    assert "31 GB needed, 12 GB free." in broken.get("/refuse").text


@pytest.mark.parametrize("given", ["", "a b", "x" * 129, "ä", "a\tb"])
def test_a_request_id_that_is_none_is_replaced(client: FlaskClient, given: str) -> None:
    answered = client.get("/", headers={"X-Request-ID": given}).headers["X-Request-ID"]
    assert answered != given and len(answered) == 16


def test_a_good_request_id_is_echoed(client: FlaskClient) -> None:
    assert client.get("/", headers={"X-Request-ID": "k6.run-1"}).headers["X-Request-ID"] == "k6.run-1"


@pytest.mark.parametrize(
    ("accept", "mimetype"),
    [
        ("text/html,application/xhtml+xml,*/*;q=0.8", "text/html"),
        ("application/json", "application/json"),
        ("*/*", "text/html"),
    ],
)
def test_who_asks_for_json_gets_json(client: FlaskClient, accept: str, mimetype: str) -> None:
    assert client.get("/watch/nothing", headers={"Accept": accept}).mimetype == mimetype


def test_a_wrong_method_says_which_are_right(client: FlaskClient) -> None:
    answer = client.delete("/", headers={"Sec-Fetch-Site": "same-origin"})
    assert answer.status_code == 405
    assert "GET" in answer.headers["Allow"]


def test_a_problem_is_an_http_exception() -> None:
    assert isinstance(Problem(404, "x", "y"), HTTPException)
