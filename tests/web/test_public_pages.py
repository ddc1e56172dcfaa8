"""The public pages: what is listed, what is hidden, and what each state of a video looks like."""

from __future__ import annotations

from datetime import timedelta

import pytest
from flask import Flask
from flask.testing import FlaskClient

from tests.factories import (
    make_failed,
    make_progress,
    make_ready,
    make_source,
    make_video,
    rendition_names,
    utc_now,
)
from vlog_app.extensions import transaction
from vlog_app.models import Video

pytestmark = pytest.mark.usefixtures("app")
HOSTILE = '</title><script>alert(1)</script>" onmouseover=x {{7*7}}'


def change(video: Video, **values: object) -> None:
    with transaction() as session:
        row = session.get_one(Video, video.id)
        for name, value in values.items():
            setattr(row, name, value)


def test_an_empty_site_says_what_to_do(client: FlaskClient) -> None:
    page = client.get("/").text
    assert "No videos here yet." in page
    assert "Is this your site?" in page


def test_a_first_video_in_the_making_is_announced(client: FlaskClient) -> None:
    make_video()
    assert "The first video is being made." in client.get("/").text


def test_the_newest_ready_video_leads(client: FlaskClient) -> None:
    make_ready(make_video("Older", age=timedelta(days=2)))
    make_ready(make_video("Newest", age=timedelta(minutes=1)))
    page = client.get("/").text
    assert 'id="lead-title">Newest</h1>' in page
    assert page.index("Newest") < page.index("Older")


def test_a_video_that_is_still_encoding_says_so_on_its_card(client: FlaskClient) -> None:
    make_ready(make_video("Lead"))
    video = make_video("Half made", age=timedelta(days=1), source=make_source(width=3840, height=2160))
    make_progress(video, rendition_names(video) | {"2160p": 3})
    page = client.get("/").text
    assert "watchable, 4K still encoding" in page
    assert 'data-state="moving"' in page


@pytest.mark.parametrize(
    "hidden",
    [{"published_at": None}, {"published_at": utc_now() + timedelta(hours=1)}, {"deleted_at": utc_now()}],
    ids=["unpublished", "later", "deleted"],
)
def test_hidden_videos_are_neither_listed_nor_found(client: FlaskClient, hidden: dict[str, object]) -> None:
    video = make_video("Secret film")
    make_ready(video)
    change(video, **hidden)
    assert "Secret film" not in client.get("/").text
    answer = client.get(f"/watch/{video.slug}")
    assert answer.status_code == 404
    assert answer.text.replace(answer.headers["X-Request-ID"], "") == _missing(client)
    assert client.get(f"/watch/{video.slug}/state").status_code == 404


def _missing(client: FlaskClient) -> str:
    answer = client.get("/watch/never-was")
    assert answer.status_code == 404
    return answer.text.replace(answer.headers["X-Request-ID"], "")


def test_a_ready_video_has_a_player_and_its_facts(client: FlaskClient) -> None:
    video = make_video(description="Two nights at the kiln.")
    make_ready(video)
    page = client.get(f"/watch/{video.slug}").text
    assert "data-player" in page and "timeline=full" in page
    assert "Two nights at the kiln." in page
    assert "1920 × 1080, 25 fps, 60 MB" in page.replace("\u00a0", " ")
    assert "1080p, 720p, 480p, 360p" in page
    assert "hx-get" not in page, "nothing to poll for"


def test_a_video_before_its_first_seconds_waits_and_asks_again(client: FlaskClient) -> None:
    video = make_video()
    page = client.get(f"/watch/{video.slug}").text
    assert "This video is being made." in page
    assert "data-player" not in page
    assert f"/watch/{video.slug}/state?waiting=1" in page
    assert '<noscript><meta http-equiv="refresh"' in page


def test_the_waiting_page_reloads_itself_once_there_is_something_to_watch(client: FlaskClient) -> None:
    video = make_video()
    assert "HX-Refresh" not in client.get(f"/watch/{video.slug}/state?waiting=1").headers
    make_progress(video, dict.fromkeys(rendition_names(video), 1))
    assert client.get(f"/watch/{video.slug}/state?waiting=1").headers["HX-Refresh"] == "true"


def test_while_encoding_the_page_says_how_far_it_can_be_watched(client: FlaskClient) -> None:
    video = make_video(source=make_source(seconds=708))
    make_progress(video, rendition_names(video) | {"1080p": 2, "720p": 2, "480p": 81, "360p": 81})
    for path in (f"/watch/{video.slug}", f"/watch/{video.slug}/state"):
        assert "<strong>Watchable up to 8:06.</strong> The rest is encoding" in client.get(path).text


def test_without_sound_nothing_counts_as_watchable(client: FlaskClient) -> None:
    video = make_video()
    make_progress(video, rendition_names(video) | {"audio": 0})
    assert "This video is being made." in client.get(f"/watch/{video.slug}").text


def test_when_a_lower_rung_is_whole_all_of_it_can_be_watched(client: FlaskClient) -> None:
    video = make_video()
    make_progress(video, rendition_names(video) | {"1080p": 3})
    assert (
        "<strong>All of it can be watched.</strong> 1080p is still encoding"
        in client.get(f"/watch/{video.slug}").text
    )


def test_a_failed_video_plays_what_there_is(client: FlaskClient) -> None:
    video = make_video()
    make_progress(video, dict.fromkeys(rendition_names(video), 4))
    make_failed(video)
    page = client.get(f"/watch/{video.slug}").text
    assert "data-player" in page and 'data-tone="bad"' in page


def test_a_failed_video_with_nothing_to_play_says_so(client: FlaskClient) -> None:
    video = make_video()
    make_failed(video)
    page = client.get(f"/watch/{video.slug}").text
    assert "This video cannot be played." in page
    assert "data-player" not in page


def test_words_of_the_owner_are_shown_as_text(client: FlaskClient) -> None:
    video = make_video(HOSTILE, slug="hostile", description=HOSTILE)
    make_ready(video)
    for path in ("/", "/watch/hostile"):
        page = client.get(path).text
        assert "<script>alert" not in page and '" onmouseover' not in page
        assert "{{7*7}}" in page


def test_everything_can_be_reached_by_pages(client: FlaskClient) -> None:
    for number in range(30):
        make_ready(make_video(f"Film {number}", age=timedelta(days=number)))
    first, second = client.get("/").text, client.get("/?page=2").text
    assert 'rel="next"' in first and 'rel="next"' not in second
    assert all(f">Film {number}<" in first + second for number in range(30))
    assert client.get("/?page=3").status_code == 404


@pytest.mark.parametrize("page", ["0", "-1", "99999999"])
def test_pages_that_cannot_be_are_404(client: FlaskClient, page: str) -> None:
    assert client.get(f"/?page={page}").status_code == 404


def test_the_first_html_stays_small(client: FlaskClient) -> None:
    for number in range(26):
        make_ready(
            make_video(f"A film with a rather ordinary title, number {number}", age=timedelta(days=number))
        )
    for path in ("/", "/watch/a-film-with-a-rather-ordinary-title-number-0"):
        answer = client.get(path)
        assert answer.status_code == 200
        assert len(answer.data) <= 40_000, path


def test_the_scheme_is_kept_without_javascript(client: FlaskClient) -> None:
    answer = client.post(
        "/theme", data={"theme": "dark", "next": "/?page=1"}, headers={"Sec-Fetch-Site": "same-origin"}
    )
    assert (answer.status_code, answer.location) == (303, "/?page=1")
    assert '<html lang="en" data-theme="dark">' in client.get("/").text


@pytest.mark.parametrize("theme", ["<script>", "", "blue"])
def test_only_known_schemes_are_kept(client: FlaskClient, theme: str) -> None:
    client.post("/theme", data={"theme": theme, "next": "/"}, headers={"Sec-Fetch-Site": "same-origin"})
    assert "data-theme" not in client.get("/").text.split("<body")[0]


def test_static_files_change_their_address_with_their_content(app: Flask, client: FlaskClient) -> None:
    page = client.get("/").text
    address = page.split('rel="stylesheet" href="')[1].split('"')[0]
    with client.get(address) as answer:
        assert "?v=" in address and "immutable" in answer.headers["Cache-Control"]
    with client.get(address.split("?")[0]) as answer:
        assert "immutable" not in answer.headers.get("Cache-Control", "")
