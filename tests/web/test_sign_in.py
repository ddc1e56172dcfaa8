"""Signing in: the secret, the tries, the one-time link, the session and its end."""

from __future__ import annotations

import hashlib
import json
import time
from datetime import timedelta
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient

from tests.conftest import ADMIN_SECRET, AppFactory
from tests.factories import utc_now
from vlog_app.blueprints.admin.auth import COOKIE
from vlog_app.extensions import db
from vlog_app.models import AdminSession
from vlog_app.services import admin_sessions

SAME = {"Sec-Fetch-Site": "same-origin"}


def sign_in(client: FlaskClient, secret: str = ADMIN_SECRET, **form: str) -> int:
    return client.post("/login", data={"secret": secret, **form}, headers=SAME).status_code


def write_link(storage: Path, token: str, *, expires_in_s: float = 900) -> None:
    link = {"sha256": hashlib.sha256(token.encode()).hexdigest(), "expires_at": time.time() + expires_in_s}
    (storage / "login-link").write_text(json.dumps(link), encoding="utf-8")


def test_the_right_secret_opens_the_admin(stranger: FlaskClient) -> None:
    assert sign_in(stranger) == 303
    assert stranger.get("/videos").status_code == 200


def test_a_wrong_secret_says_how_many_tries_are_left(stranger: FlaskClient) -> None:
    answer = stranger.post("/login", data={"secret": "guess"})
    assert answer.status_code == 422
    assert "That secret does not match. Nothing was changed. 4 tries left before a 5 min wait." in answer.text


def test_after_five_wrong_secrets_even_the_right_one_waits(stranger: FlaskClient) -> None:
    assert [sign_in(stranger, "guess") for _ in range(6)] == [422] * 5 + [429]
    answer = stranger.post("/login", data={"secret": ADMIN_SECRET}, headers=SAME)
    assert answer.status_code == 429
    assert stranger.get("/videos").status_code == 303


def test_wrong_secrets_in_headers_count_as_tries(stranger: FlaskClient) -> None:
    answers = [stranger.get("/api/videos", headers={"X-Admin-Secret": str(n)}).status_code for n in range(6)]
    assert answers == [403] * 5 + [429]


def test_one_address_waiting_does_not_lock_out_another(stranger: FlaskClient) -> None:
    for _ in range(6):
        sign_in(stranger, "guess")
    answer = stranger.post("/login", data={"secret": ADMIN_SECRET}, environ_base={"REMOTE_ADDR": "10.9.8.7"})
    assert answer.status_code == 303


def test_the_right_secret_forgets_earlier_slips(stranger: FlaskClient) -> None:
    for _ in range(4):
        sign_in(stranger, "guess")
    assert sign_in(stranger) == 303
    stranger.post("/logout", headers=SAME)
    assert "4 tries left" in stranger.post("/login", data={"secret": "guess"}).text


@pytest.mark.parametrize(
    ("target", "lands"),
    [("/videos/7", "/videos/7"), ("https://evil.example", "/videos"), ("//evil.example", "/videos"),
     ("/\\evil", "/videos"), ("/%09/evil", "/%09/evil"), ("/\t/evil.example", "/videos"), ("", "/videos")],
)  # fmt: skip
def test_after_signing_in_nobody_is_sent_to_another_site(
    stranger: FlaskClient, target: str, lands: str
) -> None:
    answer = stranger.post("/login", data={"secret": ADMIN_SECRET, "next": target})
    assert answer.location == lands


def test_only_a_hash_of_the_session_is_kept(app: Flask, stranger: FlaskClient) -> None:
    sign_in(stranger)
    cookie = stranger.get_cookie(COOKIE)
    assert cookie is not None
    assert cookie.value not in {row.token_sha256 for row in db.session.query(AdminSession)}


def test_signing_out_ends_the_session_on_the_server(stranger: FlaskClient) -> None:
    sign_in(stranger)
    cookie = stranger.get_cookie(COOKIE)
    assert cookie is not None
    stranger.post("/logout", headers=SAME)
    stranger.set_cookie(COOKIE, cookie.value)
    assert stranger.get("/videos").status_code == 303


def test_signing_in_again_ends_the_session_before(app: Flask, stranger: FlaskClient) -> None:
    sign_in(stranger)
    sign_in(stranger)
    db.session.expire_all()
    assert db.session.query(AdminSession).count() == 1


def test_a_session_expires(app: Flask) -> None:
    signed = admin_sessions.sign_in(utc_now(), keep=False)
    assert admin_sessions.is_signed_in(signed.token, utc_now() + timedelta(hours=23))
    assert not admin_sessions.is_signed_in(signed.token, utc_now() + timedelta(hours=25))


def test_keep_me_signed_in_lasts_fourteen_days(stranger: FlaskClient) -> None:
    answer = stranger.post("/login", data={"secret": ADMIN_SECRET, "keep": "on"})
    assert "Expires=" in answer.headers["Set-Cookie"]
    assert (
        "Expires="
        not in stranger.post("/login", data={"secret": ADMIN_SECRET}, headers=SAME).headers["Set-Cookie"]
    )


def test_a_changed_secret_ends_every_session(app_factory: AppFactory) -> None:
    client = app_factory("admin").test_client()
    sign_in(client)
    cookie = client.get_cookie(COOKIE)
    assert cookie is not None
    other = app_factory("admin", admin_api_secret="changed").test_client()
    other.set_cookie(COOKIE, cookie.value)
    assert other.get("/videos").status_code == 303


def test_a_generated_secret_is_read_from_the_storage(app_factory: AppFactory, storage: Path) -> None:
    (storage / "admin-secret").write_text("generated-one\n", encoding="utf-8")
    client = app_factory("admin", admin_api_secret=None).test_client()
    assert sign_in(client, "generated-one") == 303


def test_without_any_secret_nobody_gets_in_and_the_page_says_why(app_factory: AppFactory) -> None:
    client = app_factory("admin", admin_api_secret=None).test_client()
    answer = client.post("/login", data={"secret": ""})
    assert answer.status_code == 503
    assert "VLOG_ADMIN_API_SECRET" in answer.text


def test_an_empty_secret_on_purpose_asks_for_no_login(app_factory: AppFactory) -> None:
    client = app_factory("admin", admin_api_secret="").test_client()
    assert client.get("/videos").status_code == 200
    assert client.get("/api/auth/check").json == {"authenticated": True, "auth_required": False}


def test_a_login_link_shows_a_button_and_works_once(stranger: FlaskClient, storage: Path) -> None:
    write_link(storage, "token")
    assert "This link signs you in once." in stranger.get("/login?link=token").text
    assert stranger.get("/login?link=token").status_code == 200, "looking does not use it up"
    assert stranger.post("/login/link", data={"link": "token"}, headers=SAME).status_code == 303
    assert stranger.get("/videos").status_code == 200
    stranger.delete_cookie(COOKIE)
    assert stranger.post("/login/link", data={"link": "token"}, headers=SAME).status_code == 422


@pytest.mark.parametrize(("token", "expires_in_s"), [("other", 900), ("token", -1)])
def test_a_wrong_or_old_link_opens_nothing(
    stranger: FlaskClient, storage: Path, token: str, expires_in_s: float
) -> None:
    write_link(storage, "token", expires_in_s=expires_in_s)
    assert "used already or is too old" in stranger.get(f"/login?link={token}").text
    assert stranger.post("/login/link", data={"link": token}).status_code == 422
    assert stranger.get("/videos").status_code == 303


def test_a_wrong_link_does_not_spoil_the_right_one(stranger: FlaskClient, storage: Path) -> None:
    write_link(storage, "token")
    stranger.post("/login/link", data={"link": "guess"})
    assert stranger.post("/login/link", data={"link": "token"}, headers=SAME).status_code == 303


def test_programs_sign_in_by_json(stranger: FlaskClient) -> None:
    assert stranger.get("/api/auth/check").json == {"authenticated": False, "auth_required": True}
    answer = stranger.post("/api/auth/login", json={"secret": ADMIN_SECRET})
    assert (answer.status_code, answer.json["authenticated"]) == (200, True)
    assert stranger.get("/api/auth/check").json["authenticated"] is True
    stranger.post("/api/auth/logout", headers=SAME)
    assert stranger.get("/api/auth/check").json["authenticated"] is False


@pytest.mark.parametrize("body", [{"secret": "no"}, {}, [], None])
def test_a_wrong_json_sign_in_is_401(stranger: FlaskClient, body: object) -> None:
    answer = stranger.post("/api/auth/login", json=body)
    assert answer.status_code == 401
    assert answer.json["code"] == "wrong_secret"
