"""What a player is served, and what nobody is: playlists, segments, pictures, demands."""

from __future__ import annotations

import itertools
from datetime import timedelta
from pathlib import Path

import m3u8
import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from jobs.layout import Rank
from tests.conftest import AppFactory
from tests.factories import make_progress, make_ready, make_source, make_video, utc_now
from vlog_app.config import Settings
from vlog_app.extensions import db, transaction
from vlog_app.models import Job, Video

SEGMENT = bytes(range(256)) * 100
KINDS = (
    "master.m3u8",
    "master.m3u8?timeline=full",
    "360p.m3u8",
    "360p.m3u8?timeline=full",
    "audio.m3u8",
    "360p_0000.ts",
    "360p_0009.ts",
    "audio_0000.ts",
    "thumbnail.jpg",
    "thumbnail.jpg?v=1",
    "storyboard.vtt",
    "storyboard_0.jpg",
)
_numbers = itertools.count(1)  # the state of a slug is remembered for a moment: no two tests share one

pytestmark = pytest.mark.usefixtures("app")


@pytest.fixture
def video(config: Settings) -> Video:
    """Ten segments; three of 360p and of the sound are made, the pictures too."""
    video = make_video(f"Kiln {next(_numbers)}", source=make_source(seconds=60))
    make_progress(video, {"360p": 3, "audio": 3})
    lay_out(config, video, 3)
    return video


def lay_out(config: Settings, video: Video, segments: int) -> Path:
    folder = config.videos_dir / video.slug
    folder.mkdir(parents=True)
    for name, index in itertools.product(("360p", "audio"), range(segments)):
        (folder / f"{name}_{index:04d}.ts").write_bytes(SEGMENT)
    (folder / "thumbnail.jpg").write_bytes(b"\xff\xd8poster")
    (folder / "thumbnail_candidate_5.jpg").write_bytes(b"\xff\xd8candidate")
    (folder / "storyboard_0.jpg").write_bytes(b"\xff\xd8sheet")
    (folder / "storyboard.vtt").write_text("WEBVTT\n")
    return folder


def change(video: Video, **values: object) -> None:
    with transaction() as session:
        row = session.get_one(Video, video.id)
        for name, value in values.items():
            setattr(row, name, value)


def get(client: FlaskClient, video: Video, name: str, **headers: str) -> TestResponse:
    """Buffered, here and elsewhere: the test client else leaves the file open."""
    return client.get(f"/videos/{video.slug}/{name}", headers=headers, buffered=True)


def error(response: TestResponse) -> str:
    body = response.get_json()
    assert body["detail"]
    return str(body["code"])


# --- playlists


def test_a_playlist_grows_with_the_film(client: FlaskClient, video: Video) -> None:
    response = get(client, video, "360p.m3u8")
    playlist = m3u8.loads(response.text)
    assert (len(playlist.segments), playlist.is_endlist) == (3, False)
    assert response.headers["Content-Type"].startswith("application/vnd.apple.mpegurl")
    assert response.headers["Cache-Control"] == "no-cache"


def test_our_player_gets_the_whole_timeline_at_once(client: FlaskClient, video: Video) -> None:
    master = m3u8.loads(get(client, video, "master.m3u8?timeline=full").text)
    assert len(master.playlists) == 4
    response = client.get(f"/videos/{video.slug}/{master.playlists[0].uri}", buffered=True)
    playlist = m3u8.loads(response.text)
    assert (len(playlist.segments), playlist.is_endlist) == (10, True)


def test_every_address_in_a_playlist_answers(client: FlaskClient, video: Video) -> None:
    master = m3u8.loads(get(client, video, "master.m3u8").text)
    for uri in [row.uri for row in master.playlists] + [track.uri for track in master.media]:
        playlist = m3u8.loads(client.get(f"/videos/{video.slug}/{uri}", buffered=True).text)
        assert playlist.segments
        for segment in playlist.segments:
            response = client.get(f"/videos/{video.slug}/{segment.uri}", buffered=True)
            assert (response.status_code, response.data) == (200, SEGMENT)


def test_a_playlist_that_did_not_change_is_not_sent_again(client: FlaskClient, video: Video) -> None:
    first = get(client, video, "360p.m3u8")
    again = get(client, video, "360p.m3u8", **{"If-None-Match": first.headers["ETag"]})
    assert (again.status_code, again.data) == (304, b"")
    make_progress(video, {"360p": 4})
    later = get(client, video, "360p.m3u8", **{"If-None-Match": first.headers["ETag"]})
    assert later.status_code == 200


@pytest.mark.parametrize("name", ["master.m3u8", "360p.m3u8", "audio.m3u8"])
def test_before_the_first_segment_there_is_no_growing_list(client: FlaskClient, name: str) -> None:
    assert get(client, make_video(f"Kiln {next(_numbers)}"), name).status_code == 404


@pytest.mark.parametrize("name", ["144p.m3u8", "144p.m3u8?timeline=full", "144p_0000.ts", "360p_0010.ts"])
def test_what_the_film_does_not_have_is_not_found(client: FlaskClient, video: Video, name: str) -> None:
    assert get(client, video, name).status_code == 404


# --- segments and pictures


@pytest.mark.parametrize(
    ("name", "content_type"),
    [
        ("360p_0000.ts", "video/mp2t"),
        ("audio_0002.ts", "video/mp2t"),
        ("thumbnail.jpg", "image/jpeg"),
        ("thumbnail_candidate_5.jpg", "image/jpeg"),
        ("storyboard_0.jpg", "image/jpeg"),
        ("storyboard.vtt", "text/vtt; charset=utf-8"),
    ],
)
def test_files_have_their_type_and_may_not_be_guessed(
    client: FlaskClient, video: Video, name: str, content_type: str
) -> None:
    response = get(client, video, name)
    assert (response.status_code, response.headers["Content-Type"]) == (200, content_type)
    assert response.headers["X-Content-Type-Options"] == "nosniff"


def test_a_segment_may_be_kept_for_ever(client: FlaskClient, video: Video) -> None:
    control = get(client, video, "360p_0000.ts?g=1").cache_control
    assert (control.max_age, control.immutable) == (31_536_000, True)


def test_a_picture_may_be_kept_when_its_address_has_a_version(client: FlaskClient, video: Video) -> None:
    assert get(client, video, "thumbnail.jpg?v=1").cache_control.immutable is True
    bare = get(client, video, "thumbnail.jpg").cache_control
    assert not bare.immutable
    assert not bare.max_age


@pytest.mark.parametrize(
    ("asked", "first", "last"),
    [("bytes=0-99", 0, 99), ("bytes=100-", 100, 25_599), ("bytes=-100", 25_500, 25_599)],
)
def test_a_part_of_a_segment_can_be_asked_for(
    client: FlaskClient, video: Video, asked: str, first: int, last: int
) -> None:
    response = get(client, video, "360p_0000.ts", Range=asked)
    assert response.status_code == 206
    assert response.data == SEGMENT[first : last + 1]
    assert response.headers["Content-Range"] == f"bytes {first}-{last}/{len(SEGMENT)}"


def test_a_part_behind_the_end_cannot(client: FlaskClient, video: Video) -> None:
    assert get(client, video, "360p_0000.ts", Range="bytes=99999-").status_code == 416


@pytest.mark.parametrize(
    "name", ["master.m3u8", "360p.m3u8", "360p_0000.ts", "thumbnail.jpg", "storyboard.vtt"]
)
def test_head_says_what_get_would_send(client: FlaskClient, video: Video, name: str) -> None:
    sent = get(client, video, name)
    head = client.head(f"/videos/{video.slug}/{name}", buffered=True)
    assert (head.status_code, head.data) == (200, b"")
    for header in ("Content-Type", "Content-Length", "ETag"):
        assert head.headers[header] == sent.headers[header]


def test_a_segment_that_the_viewer_has_is_not_sent_again(client: FlaskClient, video: Video) -> None:
    etag = get(client, video, "360p_0000.ts").headers["ETag"]
    assert get(client, video, "360p_0000.ts", **{"If-None-Match": etag}).status_code == 304


# --- who may have them


def hide(video: Video, how: str) -> None:
    ways: dict[str, dict[str, object]] = {
        "deleted": {"deleted_at": utc_now()},
        "unpublished": {"published_at": None},
        "published tomorrow": {"published_at": utc_now() + timedelta(days=1)},
    }
    change(video, **ways[how])


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("how", ["deleted", "unpublished", "published tomorrow"])
def test_nothing_of_a_hidden_film_is_served(client: FlaskClient, video: Video, how: str, name: str) -> None:
    hide(video, how)
    hidden = get(client, video, name)
    unknown = client.get(f"/videos/no-such-film/{name}", buffered=True)
    assert hidden.status_code == unknown.status_code == 404
    assert "immutable" not in hidden.headers.get("Cache-Control", "")
    assert hidden.headers["Content-Type"] == unknown.headers["Content-Type"]


@pytest.mark.parametrize("how", ["deleted", "unpublished", "published tomorrow"])
def test_a_hidden_film_takes_no_demands_and_tells_no_progress(
    client: FlaskClient, video: Video, how: str
) -> None:
    hide(video, how)
    assert client.post(f"/api/videos/{video.slug}/demand", json={"segment": 5}).status_code == 404
    assert client.get(f"/api/videos/{video.slug}/progress").status_code == 404
    assert client.get(f"/api/videos/{video.slug}").status_code == 404


def test_a_deleted_film_is_hidden_from_its_owner_too(admin_client: FlaskClient, video: Video) -> None:
    hide(video, "deleted")
    assert get(admin_client, video, "360p_0000.ts").status_code == 404


@pytest.mark.parametrize("name", ["master.m3u8", "360p.m3u8", "360p_0000.ts", "thumbnail.jpg"])
def test_the_owner_sees_a_film_before_it_is_published(
    admin_client: FlaskClient, video: Video, name: str
) -> None:
    hide(video, "unpublished")
    assert get(admin_client, video, name).status_code == 200


@pytest.mark.parametrize("name", ["master.m3u8", "360p_0000.ts", "thumbnail.jpg"])
def test_a_stranger_on_the_admin_site_gets_no_media(stranger: FlaskClient, video: Video, name: str) -> None:
    assert get(stranger, video, name).status_code in (302, 303, 401)


# --- not made yet


def encode_jobs(video: Video) -> list[tuple[int, int, int]]:
    db.session.rollback()
    db.session.expire_all()
    jobs = db.session.scalars(db.select(Job).where(Job.video_id == video.id, Job.kind == "encode"))
    return sorted((job.rank, job.first_segment, job.end_segment) for job in jobs)


def test_a_segment_that_is_not_made_yet_is_promised_and_brought_forward(
    client: FlaskClient, video: Video, config: Settings
) -> None:
    response = get(client, video, "720p_0006.ts?g=1")
    assert (response.status_code, error(response)) == (503, "not_encoded_yet")
    assert response.headers["Retry-After"] == "1"
    assert response.headers["Cache-Control"] == "no-store"
    assert (Rank.DEMAND, 6, 10) in encode_jobs(video)
    assert (config.storage_path / ".bell").exists()


def test_asking_again_changes_nothing_more(client: FlaskClient, video: Video) -> None:
    get(client, video, "720p_0006.ts")
    before = encode_jobs(video)
    for _ in range(3):
        assert get(client, video, "720p_0006.ts").status_code == 503
    assert encode_jobs(video) == before


def test_sound_that_is_not_made_yet_moves_nothing(client: FlaskClient, video: Video) -> None:
    """It is made in one run, faster than anyone listens."""
    before = encode_jobs(video)
    response = get(client, video, "audio_0006.ts")
    assert (response.status_code, error(response)) == (503, "not_encoded_yet")
    assert encode_jobs(video) == before


def test_a_segment_missing_from_a_finished_film_is_not_promised(client: FlaskClient, video: Video) -> None:
    make_ready(video)
    assert get(client, video, "360p_0009.ts").status_code == 404


def test_a_failed_film_still_shows_what_it_has(client: FlaskClient, video: Video) -> None:
    change(video, state="failed")
    assert get(client, video, "360p_0000.ts").status_code == 200
    assert get(client, video, "360p.m3u8").status_code == 200


@pytest.mark.parametrize(
    "body",
    [None, [], {}, {"segment": "5"}, {"segment": 1.5}, {"segment": True}, {"segment": None}, "5", 5],
)
def test_a_demand_that_names_no_segment_is_refused(client: FlaskClient, video: Video, body: object) -> None:
    response = client.post(f"/api/videos/{video.slug}/demand", json=body)
    assert (response.status_code, error(response)) == (422, "bad_segment")


def test_a_demand_that_is_no_json_is_refused(client: FlaskClient, video: Video) -> None:
    response = client.post(f"/api/videos/{video.slug}/demand", data="segment=5")
    assert response.status_code == 422


@pytest.mark.parametrize("segment", [-1, 10, 10**18])
def test_a_demand_behind_the_end_is_not_found(client: FlaskClient, video: Video, segment: int) -> None:
    assert client.post(f"/api/videos/{video.slug}/demand", json={"segment": segment}).status_code == 404


@pytest.mark.parametrize(("segment", "is_ready"), [(0, True), (2, True), (3, False), (9, False)])
def test_a_demand_says_whether_the_segment_is_there(
    client: FlaskClient, video: Video, segment: int, is_ready: bool
) -> None:
    response = client.post(f"/api/videos/{video.slug}/demand", json={"segment": segment})
    eta_s = 0 if is_ready else None  # nothing was encoded yet that the wait could be judged by
    assert (response.status_code, response.get_json()) == (202, {"ready": is_ready, "eta_s": eta_s})


def test_a_demand_brings_its_segment_forward(client: FlaskClient, video: Video) -> None:
    client.post(f"/api/videos/{video.slug}/demand", json={"segment": 7})
    assert (Rank.DEMAND, 7, 10) in encode_jobs(video)


# --- tricks

TRICKS = (
    "..%2fvlog.db",
    "..%2f..%2fvlog.db",
    "%2e%2e%2fvlog.db",
    "..%252fvlog.db",
    "..%5cvlog.db",
    "..\\vlog.db",
    "../vlog.db",
    "../../vlog.db",
    "vlog.db",
    ".env",
    "%2eenv",
    "secret.ts",
    "360p_0000.ts%00.jpg",
    "thumbnail.jpg%00",
    "thumbnail.jpg%0a",
    "360p_0000.ts%0a",
    "360p_00000000000000000000.ts",
    "360p_0000.ts.tmp",
    ".360p_0000.ts",
    "360P_0000.ts",
    "360p_٠٠٠٠.ts",  # digits, but not ours
    "storyboard_-1.jpg",
    "storyboard_%2e%2e.jpg",
    "C:%5cvlog.db",
    "%c0%ae%c0%ae%2fvlog.db",
    "~root",
    "",
    ".",
    "..",
    "x" * 5000,
)


@pytest.fixture
def treasure(config: Settings, video: Video) -> bytes:
    """Files that lie where media lie, and must never be served."""
    secret = b"the crown jewels"
    folder = config.videos_dir / video.slug
    for path in (folder / ".env", folder / "secret.ts", folder / "vlog.db", folder / ".360p_0000.ts"):
        path.write_bytes(secret)
    (folder / "360p_0000.ts.tmp").write_bytes(secret)
    (config.videos_dir / ".env").write_bytes(secret)
    return secret


@pytest.mark.parametrize("name", TRICKS, ids=lambda name: name[:24] or "nothing")
def test_no_name_reaches_anything_but_media(
    client: FlaskClient, video: Video, treasure: bytes, name: str
) -> None:
    response = client.get(f"/videos/{video.slug}/{name}", buffered=True)
    assert response.status_code in (301, 308, 404, 405)
    assert treasure not in response.data
    assert b"SQLite format" not in response.data


@pytest.mark.parametrize("slug", ["..", "%2e%2e", "..%2f..", ".", "%00", "videos%2f..", "x" * 5000])
@pytest.mark.parametrize("name", ["vlog.db", "360p_0000.ts", "thumbnail.jpg", "master.m3u8"])
def test_no_slug_reaches_anything_but_films(client: FlaskClient, slug: str, name: str) -> None:
    assert client.get(f"/videos/{slug}/{name}", buffered=True).status_code in (301, 308, 404)


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
def test_media_can_only_be_read(client: FlaskClient, video: Video, method: str) -> None:
    assert client.open(f"/videos/{video.slug}/360p_0000.ts", method=method).status_code == 405


def test_no_error_tells_where_files_lie(client: FlaskClient, video: Video, config: Settings) -> None:
    for name in ("360p_0009.ts", "nothing.jpg", "720p_0006.ts", "144p.m3u8"):
        assert str(config.storage_path) not in get(client, video, name).text


def test_media_are_never_slowed_down_by_the_rate_limit(app_factory: AppFactory, video: Video) -> None:
    app: Flask = app_factory("public", rate_limit_enabled=True, rate_limit_public_default="2 per minute")
    client = app.test_client()
    assert {get(client, video, "360p_0000.ts").status_code for _ in range(10)} == {200}
