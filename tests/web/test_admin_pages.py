"""The owner's pages: the table, one video, its live parts, and what the buttons do."""

from __future__ import annotations

from datetime import timedelta

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select

from jobs.states import AttemptOutcome
from tests.conftest import ADMIN_SECRET, AppFactory
from tests.factories import (
    make_failed,
    make_progress,
    make_ready,
    make_source,
    make_video,
    make_working,
    rendition_names,
    utc_now,
)
from vlog_app.extensions import db, transaction
from vlog_app.models import Encode, Video
from vlog_app.services.events import EventKind, record

pytestmark = pytest.mark.usefixtures("app")
HOSTILE = '</title><script>alert(1)</script>" onmouseover=x {{7*7}} <div hx-get=/x hx-trigger=load>'


def look_again() -> None:
    """SQLite shows a transaction what was true at its start, and the session what it read before."""
    db.session.rollback()
    db.session.expire_all()


def encode_state(video: Video) -> str:
    look_again()
    return db.session.scalars(select(Encode.state).where(Encode.video_id == video.id)).one()


def test_an_empty_list_leads_to_the_upload(admin_client: FlaskClient) -> None:
    page = admin_client.get("/videos").text
    assert "No videos here yet." in page and 'href="/upload"' in page


def test_each_state_has_its_shape_and_word(admin_client: FlaskClient) -> None:
    make_video("Waits")
    moving = make_video("Moves")
    make_progress(moving, dict.fromkeys(rendition_names(moving), 4))
    make_ready(make_video("Is ready"))
    make_failed(make_video("Failed"), "720p stopped at 12:05.")
    page = admin_client.get("/videos").text
    assert '<span class="status" data-state="waiting">Waiting</span>' in page
    assert '<span class="status" data-state="moving">40%</span>' in page
    assert '<span class="status" data-state="done">Ready</span>' in page
    assert (
        '<span class="status" data-state="failed">Stopped</span>' in page and "720p stopped at 12:05." in page
    )
    assert page.count('class="mini-grid"') == 1


def test_tabs_hold_what_they_say(admin_client: FlaskClient) -> None:
    make_video("Waits")
    moving = make_video("Moves")
    make_progress(moving, {"360p": 1})
    make_failed(make_video("Failed"))
    make_ready(make_video("Is ready"))
    for tab, title in {"encoding": "Moves", "waiting": "Waits", "look": "Failed"}.items():
        page = admin_client.get(f"/videos?show={tab}").text
        assert page.count("data-key-row") == 1 and f">{title}</a>" in page
    assert admin_client.get("/videos").text.count("data-key-row") == 4
    assert admin_client.get("/videos?show=nonsense").status_code == 404


def test_search_finds_by_title_and_treats_signs_as_letters(admin_client: FlaskClient) -> None:
    make_video("Wood firing")
    make_video("100% wool")
    assert admin_client.get("/videos?search=FIRING").text.count("data-key-row") == 1
    assert admin_client.get("/videos?search=%25").text.count("data-key-row") == 1
    assert "No title holds “_”" in admin_client.get("/videos?search=_").text


def test_the_list_comes_in_pages_of_fifty(admin_client: FlaskClient) -> None:
    for number in range(53):
        make_video(f"Film {number}", age=timedelta(minutes=number))
    first, second = admin_client.get("/videos").text, admin_client.get("/videos?page=2").text
    assert (first.count("data-key-row"), second.count("data-key-row")) == (50, 3)
    assert "1 to 50 of 53" in first and "51 to 53 of 53" in second
    assert "The list does not go this far." in admin_client.get("/videos?page=3").text


def test_words_of_the_owner_are_shown_as_text(admin_client: FlaskClient) -> None:
    video = make_video(HOSTILE, slug="hostile", description=HOSTILE)
    for path in (
        "/videos",
        f"/videos/{video.id}",
        f"/videos/{video.id}/state",
        f"/videos/{video.id}/encoding",
    ):
        page = admin_client.get(path).text
        assert "<script>alert" not in page and "hx-get=/x" not in page.replace("&lt;div hx-get=/x", "")


def test_the_grid_shows_every_rendition_in_runs(admin_client: FlaskClient) -> None:
    video = make_video()
    make_progress(video, {"360p": 4, "audio": 10}, outcome=AttemptOutcome.LOST)
    make_progress(video, {"360p": 6})
    make_working(video, "360p", 6, fraction=0.5)
    page = admin_client.get(f"/videos/{video.id}").text
    assert page.count('class="grid-row"') == 5
    assert 'data-row="360p" data-runs="kept:4:1.0 done:2:1.0 moving:1:0.5 waiting:3:1.0 "' in page
    assert '<th scope="row">360p</th><td>6</td><td>10</td><td>0:36</td>' in page


def test_a_long_film_is_binned_and_says_so(admin_client: FlaskClient) -> None:
    video = make_video(source=make_source(seconds=3877))
    make_progress(video, {"360p": 10})
    page = admin_client.get(f"/videos/{video.id}").text
    assert "one column is <br>5 segments of 6 s" in page


def test_live_parts_exist_only_while_something_moves(admin_client: FlaskClient) -> None:
    moving, ready = make_video("Moves"), make_video("Is ready")
    make_progress(moving, {"360p": 1})
    make_ready(ready)
    assert f'data-live="{moving.id}"' in admin_client.get(f"/videos/{moving.id}").text
    assert 'data-live=""' in admin_client.get(f"/videos/{ready.id}").text
    table = admin_client.get("/videos").text
    assert f'data-live="{moving.id}"' in table


@pytest.mark.parametrize("part", ["state", "encoding"])
def test_a_fragment_is_the_same_as_in_the_page(admin_client: FlaskClient, part: str) -> None:
    video = make_video()
    make_progress(video, {"360p": 4, "audio": 10}, age_s=7200)
    page = admin_client.get("/videos" if part == "state" else f"/videos/{video.id}").text
    fragment = admin_client.get(f"/videos/{video.id}/{part}").text

    def squeezed(html: str) -> str:
        return " ".join(html.split("<noscript>")[0].split())

    assert (
        squeezed(fragment) in squeezed(page)
        if part == "state"
        else squeezed(fragment) in " ".join(page.split())
    )


def test_what_happened_is_told_in_sentences(admin_client: FlaskClient) -> None:
    video = make_video()
    with transaction() as session:
        record(session, video.id, EventKind.LOST, utc_now(), worker="cellar", kept=73)
        record(
            session,
            video.id,
            EventKind.TROUBLE,
            utc_now(),
            worker="atlas",
            message="It came out short.",
            wait_s=8,
        )
        record(session, video.id, EventKind.PROGRESS, utc_now())
    page = admin_client.get(f"/videos/{video.id}").text.replace("\u00a0", " ")
    assert "<strong>cellar</strong> vanished. Its 73 finished segments are kept" in page
    assert "<strong>atlas</strong> had trouble: It came out short. It is tried again in 8 s." in page
    assert page.count('<li id="event-') == 3


@pytest.mark.parametrize("kind", list(EventKind))
def test_every_kind_of_event_has_words_or_is_left_out_on_purpose(kind: EventKind) -> None:
    from vlog_app.blueprints.admin.words import _sentence

    sentence = _sentence(kind, {})
    assert (sentence is None) == (kind is EventKind.PROGRESS)


def test_cancel_stops_and_carry_on_goes_on(admin_client: FlaskClient) -> None:
    video = make_video()
    make_progress(video, {"360p": 4})
    answer = admin_client.post(f"/videos/{video.id}/cancel")
    assert (answer.status_code, answer.location) == (303, f"/videos/{video.id}")
    assert encode_state(video) == "cancelled"
    page = admin_client.get(f"/videos/{video.id}").text
    assert "Cancelled" in page and "Carry on" in page and "Cancel encoding" not in page
    admin_client.post(f"/videos/{video.id}/retry")
    assert encode_state(video) == "encoding"


def test_a_button_pressed_too_late_says_so_and_changes_nothing(admin_client: FlaskClient) -> None:
    video = make_video()
    make_ready(video)
    answer = admin_client.post(f"/videos/{video.id}/cancel", follow_redirects=True)
    assert "already done or no longer possible" in answer.text
    assert encode_state(video) == "done"


def test_title_and_description_can_be_changed(app: Flask, admin_client: FlaskClient) -> None:
    video = make_video(slug="stays")
    answer = admin_client.post(f"/videos/{video.id}", data={"title": " New ", "description": "a\r\nb"})
    assert answer.status_code == 303
    look_again()
    changed = db.session.get_one(Video, video.id)
    assert (changed.title, changed.description, changed.slug) == ("New", "a\nb", "stays")


@pytest.mark.parametrize("title", ["", "   ", "x" * 256, "a\0b", "\ud800"])
def test_a_title_that_cannot_be_is_refused_beside_its_field(
    app: Flask, admin_client: FlaskClient, title: str
) -> None:
    video = make_video("Stays")
    form = {"title": title.encode("utf-8", "surrogatepass"), "description": "kept words"}
    answer = admin_client.post(f"/videos/{video.id}", data=form)
    if title == "\ud800":  # does not survive the wire as a surrogate
        assert answer.status_code in (303, 422)
        return
    assert answer.status_code == 422
    assert 'id="title-error"' in answer.text and "kept words" in answer.text
    look_again()
    assert db.session.get_one(Video, video.id).title == "Stays"


@pytest.mark.parametrize("path", ["/videos/999", "/videos/999/state", "/videos/999/encoding", "/videos/x"])
def test_an_unknown_video_is_404(admin_client: FlaskClient, path: str) -> None:
    assert admin_client.get(path).status_code == 404


def test_the_shell_points_at_the_public_site(admin_client: FlaskClient) -> None:
    page = admin_client.get("/videos", base_url="http://192.168.1.5:9001").text
    assert 'href="http://192.168.1.5:9000/"' in page
    assert 'href="https://film.example/"' in admin_client.get("/videos", base_url="https://film.example").text


def test_every_page_says_that_redis_is_away(app_factory: AppFactory) -> None:
    away = {"job_queue_mode": "hybrid", "redis_url": "unix:///nowhere/at-all"}
    client = app_factory("admin", rate_limit_storage_url="memory://", **away).test_client()
    client.environ_base["HTTP_X_ADMIN_SECRET"] = ADMIN_SECRET
    said = "Redis is not answering. Jobs still run; new ones start up to 10 s later."
    assert said in client.get("/videos").text
    assert said in client.get("/upload").text


def test_no_page_speaks_of_a_redis_that_nobody_asked_for(admin_client: FlaskClient) -> None:
    assert "Redis" not in admin_client.get("/videos").text


def test_the_grid_names_the_codec_of_each_rung(app_factory: AppFactory, admin_client: FlaskClient) -> None:
    with app_factory("cli", hwaccel_preferred_codec="av1").app_context():
        video = make_video(source=make_source(width=640, height=360))
    page = admin_client.get(f"/videos/{video.id}").text
    assert '<th scope="row">360p AV1</th>' in page
    assert '<th scope="row">360p</th>' in page
    assert "360p is encoded and not copied" in page
