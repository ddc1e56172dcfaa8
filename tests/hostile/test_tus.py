"""tus 1.0 as the protocol says it, and as clients get it wrong."""

from __future__ import annotations

import threading
from base64 import b64encode
from hashlib import sha256
from io import BytesIO
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from werkzeug.test import TestResponse

from tests.conftest import ADMIN_SECRET, AppFactory
from tests.hostile.clips import FORM_TYPE, Clips, form_body

pytestmark = pytest.mark.media
TUS = {"Tus-Resumable": "1.0.0"}
PART = TUS | {"Content-Type": "application/offset+octet-stream"}


@pytest.fixture
def admin(app_factory: AppFactory) -> Flask:
    return app_factory("admin")


@pytest.fixture
def sender(admin: Flask) -> FlaskClient:
    return client_of(admin)


def client_of(admin: Flask) -> FlaskClient:
    client = admin.test_client()
    client.environ_base["HTTP_X_ADMIN_SECRET"] = ADMIN_SECRET
    return client


def create(client: FlaskClient, length: int, **headers: str) -> str:
    answer = client.post("/uploads", headers=TUS | {"Upload-Length": str(length)} | headers)
    assert answer.status_code == 201, answer.text
    return str(answer.headers["Location"])


def patch(client: FlaskClient, where: str, offset: int | str, data: bytes, **headers: str) -> TestResponse:
    return client.patch(where, headers=PART | {"Upload-Offset": str(offset)} | headers, data=data)


def offset_of(client: FlaskClient, where: str) -> int:
    return int(client.head(where, headers=TUS).headers["Upload-Offset"])


def body(answer: TestResponse) -> Any:
    return answer.json


def test_offer(sender: FlaskClient) -> None:
    answer = sender.options("/uploads")
    assert answer.status_code == 204
    assert answer.headers["Tus-Version"] == "1.0.0"
    assert {"creation", "checksum", "expiration", "termination"} <= set(
        answer.headers["Tus-Extension"].split(",")
    )
    assert int(answer.headers["Tus-Max-Size"]) > 10**9


def test_film_in_parts_becomes_a_video(sender: FlaskClient, clips: Clips) -> None:
    film = clips.mp4.read_bytes()
    where = create(sender, len(film), **{"Upload-Metadata": f"title {b64encode('Öl'.encode()).decode()}"})
    offset = 0
    while offset < len(film):
        answer = patch(sender, where, offset, film[offset : offset + 90_000])
        assert answer.status_code == 204
        offset = int(answer.headers["Upload-Offset"])
        assert "Upload-Expires" in answer.headers
    assert answer.headers["X-Video-Slug"] == "ol"
    again = sender.head(where, headers=TUS)
    assert (again.headers["X-Video-Id"], again.headers["Upload-Length"]) == ("1", str(len(film)))
    assert again.headers["Cache-Control"] == "no-store"


def test_creation_may_bring_the_film_along(sender: FlaskClient, clips: Clips) -> None:
    film = clips.mp4.read_bytes()
    answer = sender.post("/uploads", headers=PART | {"Upload-Length": str(len(film))}, data=film)
    assert (answer.status_code, answer.headers["Upload-Offset"], answer.headers["X-Video-Id"]) == (
        201,
        str(len(film)),
        "1",
    )


@pytest.mark.parametrize(
    ("offset", "status"),
    [
        ("0", 409),
        ("999", 409),
        ("1001", 409),
        ("-1", 400),
        ("1e3", 400),
        (str(2**64), 400),
        ("", 400),
        ("٣", 400),
    ],
)
def test_wrong_offset_changes_nothing(sender: FlaskClient, clips: Clips, offset: str, status: int) -> None:
    film = clips.mp4.read_bytes()
    where = create(sender, len(film))
    patch(sender, where, 0, film[:1000])
    assert patch(sender, where, offset.encode().decode("latin-1"), b"x").status_code == status
    assert offset_of(sender, where) == 1000


def test_other_wrong_requests(sender: FlaskClient, clips: Clips) -> None:
    film = clips.mp4.read_bytes()
    where = create(sender, len(film))
    no_version = sender.patch(where, headers={"Upload-Offset": "0"}, data=b"x")
    assert (no_version.status_code, no_version.headers["Tus-Version"]) == (412, "1.0.0")
    wrong_type = sender.patch(
        where, headers=TUS | {"Upload-Offset": "0", "Content-Type": "text/plain"}, data=b"x"
    )
    assert wrong_type.status_code == 415
    bad_sum = patch(sender, where, 0, b"x", **{"Upload-Checksum": f"sha256 {b64encode(bytes(32)).decode()}"})
    assert bad_sum.status_code == 460
    assert patch(sender, where, 0, b"x", **{"Upload-Checksum": "crc32 AAAA"}).status_code == 400
    assert patch(sender, where, 0, film + b"x").status_code == 413
    assert patch(sender, "/uploads/0123", 0, b"x").status_code == 404
    assert sender.head("/uploads/..%2fvlog.db", headers=TUS).status_code in (308, 404)
    assert offset_of(sender, where) == 0


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Upload-Length": str(2**62)}, 413),
        ({"Upload-Length": str(2**64)}, 400),
        ({"Upload-Length": "-5"}, 400),
        ({}, 400),
        ({"Upload-Length": "5", "Upload-Metadata": "filename ###"}, 400),
        ({"Upload-Length": "5", "Upload-Metadata": "filename /w=="}, 400),
        ({"Upload-Length": "5", "Idempotency-Key": "k" * 129}, 400),
        ({"Upload-Length": "0"}, 400),
    ],
)
def test_wrong_announcements(sender: FlaskClient, headers: dict[str, str], status: int) -> None:
    answer = sender.post("/uploads", headers=TUS | headers)
    assert answer.status_code == status
    assert set(body(answer)) >= {"detail", "code"}
    assert sender.get("/uploads").json == []


def test_checksum_that_fits_is_taken(sender: FlaskClient, clips: Clips) -> None:
    part = clips.mp4.read_bytes()[:5000]
    where = create(sender, 10**6)
    checksum = f"sha256 {b64encode(sha256(part).digest()).decode()}"
    assert patch(sender, where, 0, part, **{"Upload-Checksum": checksum}).status_code == 204


def test_silent_sender_loses_nothing(sender: FlaskClient, clips: Clips) -> None:
    film = clips.mp4.read_bytes()
    where = create(sender, len(film))
    answer = sender.patch(
        where,
        headers=PART | {"Upload-Offset": "0"},
        input_stream=Broken(film[:1000]),
        environ_overrides={"CONTENT_LENGTH": "2000"},
    )
    assert answer.status_code in (400, 408)
    assert (
        "X-Video-Id"
        in patch(sender, where, offset_of(sender, where), film[offset_of(sender, where) :]).headers
    )


def test_parts_are_not_counted_against_the_rate(app_factory: AppFactory) -> None:
    sender = client_of(app_factory("admin", rate_limit_enabled=True, rate_limit_admin_default="3/minute"))
    where = create(sender, 10**6)
    for offset in range(10):
        assert patch(sender, where, offset, b"\0").status_code == 204
        assert offset_of(sender, where) == offset + 1


def test_announcements_are_counted(app_factory: AppFactory) -> None:
    sender = client_of(app_factory("admin", rate_limit_enabled=True, rate_limit_admin_upload="2/hour"))
    for _ in range(2):
        create(sender, 10**6)
    answer = sender.post("/uploads", headers=TUS | {"Upload-Length": "5"})
    assert answer.status_code == 429


def test_end_of_an_upload(sender: FlaskClient) -> None:
    where = create(sender, 10**6)
    assert sender.delete(where, headers=TUS).status_code == 204
    assert sender.delete(where, headers=TUS).status_code == 404
    assert sender.head(where, headers=TUS).status_code == 404


def test_title_may_change_on_the_way(sender: FlaskClient, clips: Clips) -> None:
    film = clips.mp4.read_bytes()
    where = create(sender, len(film))
    assert sender.post(f"{where}/title", json={"title": "  New\nname "}).status_code == 204
    assert sender.post(f"{where}/title", json=[]).status_code == 422
    assert patch(sender, where, 0, film).headers["X-Video-Slug"] == "new-name"
    assert body(sender.get("/api/videos/1"))["title"] == "New name"


def test_strangers_may_do_nothing(stranger: FlaskClient) -> None:
    for method in ("post", "get", "options"):
        assert getattr(stranger, method)("/uploads", headers=TUS).status_code == 401
    assert stranger.patch("/uploads/x", headers=PART).status_code == 401
    assert stranger.post("/api/videos").status_code == 401


def test_many_last_bytes_at_once_make_one_video(admin: Flask, clips: Clips) -> None:
    film = clips.mp4.read_bytes()
    where = create(client_of(admin), len(film))
    answers: list[TestResponse] = []
    threads = [
        threading.Thread(target=lambda: answers.append(patch(client_of(admin), where, 0, film)))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert 204 in {answer.status_code for answer in answers}
    assert {answer.status_code for answer in answers} <= {204, 409, 423}
    assert len(body(client_of(admin).get("/api/videos"))) == 1


class Broken(BytesIO):
    """A connection that breaks after its bytes."""

    def read(self, size: int | None = -1) -> bytes:
        data = super().read(size)
        if not data:
            raise ConnectionResetError
        return data


steps = st.lists(
    st.tuples(st.sampled_from(["part", "broken", "again", "ahead", "head"]), st.integers(1, 200_000)),
    max_size=12,
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=steps)
def test_any_course_of_events_ends_in_the_same_film(
    steps: list[tuple[str, int]], sender: FlaskClient, clips: Clips, storage: Any
) -> None:
    """A model of an upload is one number. Whatever comes, server and model agree, and the file is whole at the end."""
    film = clips.mp4.read_bytes()
    where, model = create(sender, len(film)), 0
    for step, size in steps:
        part = film[model : model + size]
        if step == "part":
            assert patch(sender, where, model, part).status_code == 204
            model += len(part)
        elif step == "broken":
            sender.patch(
                where,
                headers=PART | {"Upload-Offset": str(model)},
                input_stream=Broken(part),
                environ_overrides={"CONTENT_LENGTH": str(len(part) + 1)},
            ) if model + len(part) < len(film) else None
            model = offset_of(sender, where)
        elif step == "again" and 0 < model < len(film):
            assert patch(sender, where, model - 1, b"x").status_code == 409
        elif step == "ahead" and model < len(film):
            assert patch(sender, where, model + 1, b"x").status_code == 409
        assert offset_of(sender, where) == model
        if model == len(film):
            break
    video_id = patch(sender, where, model, film[model:]).headers["X-Video-Id"]
    assert (storage / f"uploads/{video_id}.mp4").read_bytes() == film


# -- the same by multipart ----------------------------------------------------------------------------------------


def post_raw(
    client: FlaskClient, body: bytes, content_type: str = "multipart/form-data; boundary=b"
) -> TestResponse:
    return client.post("/api/videos", data=body, content_type=content_type)


def file_part(content: bytes, name: bytes = b"film.mp4") -> bytes:
    head = b'--b\r\nContent-Disposition: form-data; name="file"; filename="' + name + b'"\r\n\r\n'
    return head + content + b"\r\n"


def test_fields_may_come_before_or_after_the_file(sender: FlaskClient, clips: Clips) -> None:
    title = b'--b\r\nContent-Disposition: form-data; name="title"\r\n\r\nNamed\r\n'
    film = file_part(clips.mp4.read_bytes())
    first = post_raw(sender, title + film + b"--b--\r\n")
    second = post_raw(sender, film + title + b"--b--\r\n")
    assert (body(first)["slug"], body(second)["slug"]) == ("named", "named-1")
    assert body(first).keys() == {"status", "video_id", "slug", "message"}


@pytest.mark.parametrize(
    ("body", "content_type", "status"),
    [
        (b"", "multipart/form-data; boundary=b", 400),
        (b"x" * 1000, "multipart/form-data; boundary=b", 400),
        (b"x", "multipart/form-data", 400),
        (b"{}", "application/json", 400),
        (
            b'--b\r\nContent-Disposition: form-data; name="title"\r\n\r\nT\r\n--b--\r\n',
            "multipart/form-data; boundary=b",
            400,
        ),
        (
            b'--b\r\nContent-Disposition: form-data; name="title"\r\n\r\n'
            + b"t" * 600_000
            + b"\r\n--b--\r\n",
            "multipart/form-data; boundary=b",
            413,
        ),
        (
            b'--b\r\nContent-Disposition: form-data; name="x"\r\n\r\n1\r\n' * 1001 + b"--b--\r\n",
            "multipart/form-data; boundary=b",
            413,
        ),
        (file_part(b"x", name=b"n" * 70_000) + b"--b--\r\n", "multipart/form-data; boundary=b", 415),
    ],
    ids=["nothing", "no parts", "no boundary", "json", "no file", "long field", "many parts", "long name"],
)
def test_wrong_forms(sender: FlaskClient, body: bytes, content_type: str, status: int) -> None:
    answer = post_raw(sender, body, content_type)
    assert answer.status_code == status, answer.text
    assert sender.get("/api/videos").json == []


def test_form_that_breaks_off_leaves_nothing(sender: FlaskClient, clips: Clips, storage: Any) -> None:
    assert post_raw(sender, file_part(clips.mp4.read_bytes())).status_code == 400
    assert [path for path in (storage / "uploads").rglob("*") if path.is_file()] == []


def test_form_larger_than_the_limit_is_refused(app_factory: AppFactory, clips: Clips, storage: Any) -> None:
    sender = client_of(app_factory("admin", max_upload_size=200_000))
    answer = post_raw(sender, file_part(clips.mp4.read_bytes()) + b"--b--\r\n")
    assert (answer.status_code, body(answer)["code"]) == (413, "upload_too_large")
    assert [path for path in (storage / "uploads").rglob("*") if path.is_file()] == []


def test_too_long_a_title_and_an_unknown_category_are_refused(sender: FlaskClient, clips: Clips) -> None:
    film = clips.mp4.read_bytes()
    for field in ({"title": "t" * 256}, {"category_id": "7"}, {"category_id": "x"}):
        assert post_raw(sender, form_body(film, **field), FORM_TYPE).status_code == 400
    assert sender.get("/api/videos").json == []


def test_same_key_twice_is_one_video(sender: FlaskClient, clips: Clips) -> None:
    form = file_part(clips.mp4.read_bytes()) + b"--b--\r\n"
    answers = [
        sender.post(
            "/api/videos",
            data=form,
            content_type="multipart/form-data; boundary=b",
            headers={"Idempotency-Key": "k"},
        )
        for _ in range(2)
    ]
    assert [body(answer)["video_id"] for answer in answers] == [1, 1]
