"""Guards that every answer and every unsafe request passes, found by walking the routes."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient

from tests.conftest import ADMIN_SECRET, AppFactory
from vlog_app.blueprints.admin.auth import COOKIE, OPEN_ENDPOINTS
from vlog_app.security import CSP, HEADERS, SAFE_METHODS

ROOT = Path(__file__).parents[2] / "vlog_app"
VALUES = {
    "slug": "x",
    "name": "thumbnail.jpg",
    "video_id": "1",
    "worker_id": "x",
    "upload_id": "0" * 32,
    "filename": "favicon.svg",
}


def routes(app: Flask) -> list[tuple[str, str, str]]:
    """(endpoint, method, path) of everything the app answers."""
    found = []
    for rule in app.url_map.iter_rules():
        path = re.sub(r"<(?:\w+:)?(\w+)>", lambda match: VALUES[match[1]], rule.rule)
        found += [
            (rule.endpoint, method, path) for method in sorted((rule.methods or set()) - {"OPTIONS", "HEAD"})
        ]
    return found


@pytest.fixture
def owner(app_factory: AppFactory) -> FlaskClient:
    """Signed in by cookie, as a browser is."""
    client = app_factory("admin").test_client()
    answer = client.post("/login", data={"secret": ADMIN_SECRET}, headers={"Sec-Fetch-Site": "same-origin"})
    assert answer.status_code == 303
    return client


@pytest.mark.parametrize("surface", ["public", "admin"])
def test_every_answer_carries_the_guarding_headers(app_factory: AppFactory, surface: str) -> None:
    app = app_factory(surface)
    client = app.test_client()
    for _endpoint, method, path in [*routes(app), ("", "GET", "/no/such/page"), ("", "GET", "/api/nothing")]:
        with client.open(path, method=method) as answer:
            assert answer.headers["Content-Security-Policy"] == CSP, path
            assert {name: answer.headers.get(name) for name in HEADERS} == HEADERS, path
            assert answer.headers["X-Request-ID"], path


def test_every_admin_route_refuses_whoever_is_not_signed_in(app_factory: AppFactory) -> None:
    app = app_factory("admin")
    client = app.test_client()
    guarded = [route for route in routes(app) if route[0] not in OPEN_ENDPOINTS]
    assert len(guarded) > 15
    for endpoint, method, path in guarded:
        answer = client.open(path, method=method)
        if method == "GET" and not path.startswith(("/api/", "/uploads")):
            assert (answer.status_code, answer.location.split("?")[0]) == (303, "/login"), endpoint
        else:
            assert answer.status_code == 401, endpoint


def test_an_unknown_address_is_guarded_too(stranger: FlaskClient) -> None:
    assert stranger.get("/no/such/page").status_code == 303
    assert stranger.get("/api/no/such/thing").status_code == 401


CROSS_SITE = [
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"},
    {"Origin": "https://evil.example"},
    {"Origin": "null"},
    {"Origin": "http://localhost:9000"},
]


@pytest.mark.parametrize("headers", CROSS_SITE, ids=lambda headers: next(iter(headers.values())))
def test_every_unsafe_route_refuses_other_sites(owner: FlaskClient, headers: dict[str, str]) -> None:
    for endpoint, method, path in routes(owner.application):
        if method not in SAFE_METHODS:
            answer = owner.open(path, method=method, headers=headers)
            assert answer.status_code == 403, endpoint
            assert endpoint == "static" or b"another site" in answer.data, endpoint


@pytest.mark.parametrize("headers", CROSS_SITE, ids=lambda headers: next(iter(headers.values())))
def test_public_unsafe_routes_refuse_other_sites(client: FlaskClient, headers: dict[str, str]) -> None:
    for endpoint, method, path in routes(client.application):
        if method not in SAFE_METHODS:
            assert client.open(path, method=method, headers=headers).status_code == 403, endpoint


def test_a_cookie_without_any_word_of_origin_is_refused(owner: FlaskClient) -> None:
    assert owner.post("/logout").status_code == 403


@pytest.mark.parametrize("headers", [{"Sec-Fetch-Site": "same-origin"}, {"Origin": "http://localhost"}])
def test_our_own_pages_are_let_through(owner: FlaskClient, headers: dict[str, str]) -> None:
    assert owner.post("/logout", headers=headers).status_code == 303


def test_a_wrong_header_is_not_saved_by_a_right_cookie(owner: FlaskClient) -> None:
    answer = owner.get("/videos", headers={"X-Admin-Secret": "wrong"})
    assert answer.status_code == 403


def test_admin_answers_are_not_kept_by_caches(admin_client: FlaskClient) -> None:
    assert admin_client.get("/videos").headers["Cache-Control"] == "no-store"


def test_the_cookie_is_out_of_reach_of_scripts_and_other_sites(stranger: FlaskClient) -> None:
    answer = stranger.post("/login", data={"secret": ADMIN_SECRET})
    cookie = next(line for line in answer.headers.getlist("Set-Cookie") if line.startswith(COOKIE))
    assert "HttpOnly" in cookie and "SameSite=Lax" in cookie and "Secure" not in cookie


def test_the_cookie_is_secure_over_https(stranger: FlaskClient) -> None:
    answer = stranger.post("/login", data={"secret": ADMIN_SECRET}, base_url="https://localhost")
    assert "Secure" in answer.headers["Set-Cookie"]


def test_a_foreign_host_name_is_refused_when_names_are_set(app_factory: AppFactory) -> None:
    client = app_factory("public", trusted_hosts=("film.example",)).test_client()
    assert client.get("/", base_url="http://film.example").status_code == 200
    assert client.get("/", base_url="http://127.0.0.1:9000").status_code == 200
    assert client.get("/", base_url="http://evil.example").status_code == 400


@pytest.mark.parametrize(
    ("sender", "forwarded", "seen"),
    [
        ("10.0.0.2", "203.0.113.9", "203.0.113.9"),
        ("10.0.0.2", "1.1.1.1, 203.0.113.9", "203.0.113.9"),
        ("10.0.0.2", "203.0.113.9, 10.0.0.7", "203.0.113.9"),
        ("192.0.2.1", "203.0.113.9", "192.0.2.1"),
    ],
)
def test_only_named_proxies_say_who_the_client_is(
    app_factory: AppFactory, sender: str, forwarded: str, seen: str
) -> None:
    app = app_factory("public", trusted_proxies=("10.0.0.0/8",))
    app.add_url_rule("/whoami", "whoami", lambda: __import__("flask").request.remote_addr)
    answer = app.test_client().get(
        "/whoami", environ_base={"REMOTE_ADDR": sender}, headers={"X-Forwarded-For": forwarded}
    )
    assert answer.text == seen


@pytest.mark.parametrize("template", sorted((ROOT / "templates").rglob("*.html")), ids=lambda path: path.name)
def test_templates_hold_nothing_the_policy_forbids(template: Path) -> None:
    text = template.read_text(encoding="utf-8")
    assert not re.search(r"\|\s*safe\b|\bMarkup\b|autoescape\s+false", text)
    assert not re.search(r"\sstyle\s*=|\son[a-z]+\s*=|\shx-on|javascript:|hx-vals=.js", text)
    assert not re.search(r"<script(?![^>]*\ssrc=)|<style", text)
    assert not re.search(r"hx-trigger=\"[^\"]*\[", text), "trigger filters need eval"
