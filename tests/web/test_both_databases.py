"""The queries behind the pages, on SQLite and on PostgreSQL."""

from __future__ import annotations

import pytest
from flask import Flask
from flask.testing import FlaskClient

from tests.factories import make_failed, make_progress, make_ready, make_video, make_working, rendition_names


@pytest.fixture
def library(database: str, app: Flask) -> None:
    moving = make_video("Moves")
    make_progress(moving, dict.fromkeys(rendition_names(moving), 4))
    make_working(moving, "1080p", 4)
    make_ready(make_video("Is ready"))
    make_failed(make_video("Failed"))
    make_video("Waits")


@pytest.mark.usefixtures("library")
@pytest.mark.parametrize(
    "path", ["/", "/watch/moves", "/watch/is-ready", "/watch/waits", "/watch/moves/state"]
)
def test_public_pages_answer(client: FlaskClient, path: str) -> None:
    assert client.get(path).status_code == 200


@pytest.mark.usefixtures("library")
def test_owner_pages_answer(admin_client: FlaskClient) -> None:
    table = admin_client.get("/videos").text
    assert [table.count(f'data-state="{state}">') for state in ("moving", "waiting", "failed")] == [1, 1, 1]
    assert admin_client.get("/videos?search=MOVE").text.count("data-key-row") == 1
    assert [
        admin_client.get(f"/videos?show={tab}").text.count("data-key-row")
        for tab in ("encoding", "waiting", "look")
    ] == [1] * 3
    for number in range(1, 5):
        assert admin_client.get(f"/videos/{number}").status_code == 200
        assert admin_client.get(f"/videos/{number}/encoding").status_code == 200
    assert admin_client.get("/login").status_code == 200


@pytest.mark.usefixtures("library")
def test_a_sign_in_works(stranger: FlaskClient) -> None:
    from tests.conftest import ADMIN_SECRET

    assert stranger.post("/login", data={"secret": ADMIN_SECRET}).status_code == 303
    assert stranger.get("/videos").status_code == 200
