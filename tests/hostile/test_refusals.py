"""Whatever is called film.mp4 and is none: refused with its reason, by every way in, and nothing stays behind."""

from __future__ import annotations

import os
import re
from base64 import b64encode
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import func, select

from tests.conftest import ADMIN_SECRET, AppFactory
from tests.hostile.clips import FORM_TYPE, Clips, form_body
from tests.hostile.corpus import CASES, Case

pytestmark = pytest.mark.media
TUS = {"Tus-Resumable": "1.0.0"}
NOT_FOR_PEOPLE = re.compile(r"/|\\|Traceback|Errno|ffmpeg|File \"|0x")


@pytest.fixture
def admin(app_factory: AppFactory) -> Flask:
    return app_factory("admin")


@pytest.fixture
def sender(admin: Flask) -> FlaskClient:
    client = admin.test_client()
    client.environ_base["HTTP_X_ADMIN_SECRET"] = ADMIN_SECRET
    return client


def by_tus(client: FlaskClient, content: bytes) -> Any:
    facts = f"filename {b64encode(b'film.mp4').decode()}"
    created = client.post(
        "/uploads", headers=TUS | {"Upload-Length": str(len(content)), "Upload-Metadata": facts}
    )
    if created.status_code != 201:
        return created
    headers = TUS | {"Upload-Offset": "0", "Content-Type": "application/offset+octet-stream"}
    return client.patch(created.headers["Location"], headers=headers, data=content)


def by_multipart(client: FlaskClient, content: bytes) -> Any:
    body = form_body(content, title="A film", description="")
    return client.post("/api/videos", data=body, content_type=FORM_TYPE)


def listing(storage: Path) -> set[tuple[int, str]]:
    """Every file of the library by inode; the database and its journal change by themselves."""
    found = set()
    for folder, _, names in os.walk(storage):
        for name in names:
            if not name.startswith("vlog.db"):
                path = Path(folder, name)
                found.add((path.stat().st_ino, str(path.relative_to(storage))))
    return found


def rows(app: Flask) -> tuple[int, int]:
    from vlog_app.extensions import db
    from vlog_app.models import Upload, Video

    with app.app_context():
        return (
            db.session.scalar(select(func.count(Video.id))) or 0,
            db.session.scalar(select(func.count(Upload.id))) or 0,
        )


@pytest.mark.parametrize("send", [by_tus, by_multipart])
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name.replace(" ", "-"))
def test_it_is_refused_with_its_reason_and_leaves_nothing(
    case: Case, send: Any, admin: Flask, sender: FlaskClient, clips: Clips, storage: Path
) -> None:
    by_multipart(sender, b"warm up: makes the folders")
    before = listing(storage)

    answer = send(sender, case.make(clips))

    assert (answer.status_code, answer.json["code"]) == (case.status, case.code), answer.json
    assert case.words in answer.json["detail"]
    assert 1 <= len(answer.json["detail"]) <= 300
    assert not NOT_FOR_PEOPLE.search(answer.json["detail"])
    assert listing(storage) == before
    assert rows(admin) == (0, 0)


@pytest.mark.parametrize("name", ["playlist", "cut in media"])
def test_the_plain_form_says_why_on_its_own_page(name: str, sender: FlaskClient, clips: Clips) -> None:
    case = next(case for case in CASES if case.name == name)
    answer = sender.post("/upload", data=form_body(case.make(clips)), content_type=FORM_TYPE)
    assert answer.status_code == case.status
    assert case.words in answer.text
    assert 'role="alert"' in answer.text


def test_a_long_playlist_is_refused_after_its_first_64_kilobytes(sender: FlaskClient, storage: Path) -> None:
    length = 10**9
    created = sender.post("/uploads", headers=TUS | {"Upload-Length": str(length)})
    headers = TUS | {"Upload-Offset": "0", "Content-Type": "application/offset+octet-stream"}
    answer = sender.patch(created.headers["Location"], headers=headers, data=b"#EXTM3U\n" * 8192)
    assert answer.status_code == 415
    assert sender.head(created.headers["Location"], headers=TUS).status_code == 404


def test_a_header_that_promises_more_than_the_upload_is_refused_early(
    sender: FlaskClient, clips: Clips
) -> None:
    film = clips.faststart.read_bytes()
    created = sender.post("/uploads", headers=TUS | {"Upload-Length": str(len(film) - 5000)})
    headers = TUS | {"Upload-Offset": "0", "Content-Type": "application/offset+octet-stream"}
    answer = sender.patch(created.headers["Location"], headers=headers, data=film[:70_000])
    assert answer.status_code == 422
    assert '"truncated_media"' in answer.text
