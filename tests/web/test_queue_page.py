"""The queue page without a script: what it shows, and what its buttons do."""

from __future__ import annotations

import pytest
from flask.testing import FlaskClient

from encoder.device import CPU, Device, DeviceKind, Encoder
from jobs.contract import WorkerInfo
from jobs.layout import Priority
from tests.contract.conftest import ATLAS, CELLAR
from tests.factories import make_failed, make_progress, make_video, make_working, rendition_names
from tests.services.shop import encode_of, film, take
from tests.services.test_pause import row_of
from tests.services.test_turns import BULK, long_film
from tests.web.test_admin_pages import HOSTILE, encode_state, look_again
from vlog_app.blueprints.admin.board import FILMS_SHOWN, SILENT_AFTER_S, read_board
from vlog_app.extensions import db
from vlog_app.services import control, fleet, queue, workers
from vlog_app.services.clock import database_now

pytestmark = pytest.mark.usefixtures("app")

NVENC = Device(DeviceKind.NVIDIA, encoders=(Encoder("h264", "h264_nvenc", "vbr_cq"),))
GPU = WorkerInfo("w-gpu", "gpu", {"devices": [NVENC.to_json(), CPU.to_json()]})


def columns() -> dict[str, list[tuple[str, list[str]]]]:
    """Column -> its lanes as (priority, titles)."""
    look_again()
    board = read_board(database_now(db.session()))
    return {
        column.kind.value: [
            (lane.priority.word, [each.title for each in lane.films]) for lane in column.lanes
        ]
        for column in board.columns
    }


def test_an_empty_queue_says_so_and_leads_to_the_upload(admin_client: FlaskClient) -> None:
    page = admin_client.get("/queue").text
    assert "The queue is empty." in page and 'href="/upload"' in page


def test_films_stand_in_their_priority_in_the_order_they_will_be_taken() -> None:
    one, two, three = (long_film(title) for title in ("One", "Two", "Three"))
    control.prioritise(encode_of(two).id, Priority.HIGH)
    control.prioritise(encode_of(three).id, Priority.LOW)
    control.pause_encode(encode_of(one).id)
    long_film("Four")
    assert columns() == {"cpu": [("high", ["Two"]), ("normal", ["Four", "One"]), ("low", ["Three"])]}


def test_encoding_waits_in_the_column_of_the_best_device_that_is_here() -> None:
    long_film("One")
    fleet.greet(ATLAS)
    fleet.greet(GPU)
    found = columns()
    assert list(found) == ["nvidia", "cpu"]
    assert found["nvidia"][1] == ("normal", ["One"])
    assert found["cpu"][1] == ("normal", [])


def test_a_worker_that_was_not_heard_of_for_long_has_no_column(admin_client: FlaskClient) -> None:
    from tests.services.shop import pass_time

    long_film("One")
    fleet.greet(GPU)
    pass_time(-SILENT_AFTER_S - 60)
    fleet.greet(GPU)
    pass_time(SILENT_AFTER_S + 60)
    assert list(columns()) == ["cpu"]
    assert "No worker is here." in admin_client.get("/queue").text


def test_what_runs_shows_its_worker_and_how_far_it_is(admin_client: FlaskClient) -> None:
    video = long_film("One")
    make_working(video, "360p", 3)
    page = admin_client.get("/queue").text
    assert "360p · atlas" in page
    assert 'class="figure">1</dd>' in page


def test_more_films_than_fit_are_counted(monkeypatch: pytest.MonkeyPatch, admin_client: FlaskClient) -> None:
    monkeypatch.setattr("vlog_app.blueprints.admin.board.FILMS_SHOWN", 2)
    for n in range(5):
        film(title=f"Film {n}")
    page = admin_client.get("/queue").text
    assert page.count("data-film=") == 2
    assert "and 3 more" in page
    assert FILMS_SHOWN > 2


def test_titles_are_text(admin_client: FlaskClient) -> None:
    make_video(HOSTILE, slug="hostile")
    page = admin_client.get("/queue").text
    assert "<script>alert" not in page and "onmouseover=x" not in page.replace("&#34; onmouseover=x", "")


def test_the_board_alone_is_the_same_as_on_the_page(admin_client: FlaskClient) -> None:
    film(title="One")
    board = admin_client.get("/queue/board").text
    assert board.lstrip().startswith('<div id="board"')
    assert "One" in board and "<html" not in board


def test_a_button_moves_a_film(admin_client: FlaskClient) -> None:
    video = long_film("One")
    answer = admin_client.post(f"/queue/videos/{video.id}/priority", data={"priority": "high"})
    assert (answer.status_code, answer.location) == (303, "/queue")
    assert columns()["cpu"][0] == ("high", ["One"])
    assert admin_client.post(f"/queue/videos/{video.id}/priority", data={"priority": "x"}).status_code == 422
    assert admin_client.post("/queue/videos/999/priority", data={"priority": "low"}).status_code == 404


def test_buttons_pause_and_resume_a_film_and_come_back_where_they_were_pressed(
    admin_client: FlaskClient,
) -> None:
    video = long_film("One")
    home = f"/videos/{video.id}"
    answer = admin_client.post(f"/queue/videos/{video.id}/pause", data={"next": home})
    assert answer.location == home
    assert encode_of(video).paused_at is not None
    assert "<strong>Paused</strong> at" in admin_client.get(home).text
    late = admin_client.post(f"/queue/videos/{video.id}/pause", data={"next": home})
    assert late.location == f"{home}?late=1"
    admin_client.post(f"/queue/videos/{video.id}/resume")
    assert encode_of(video).paused_at is None


def test_a_button_never_leads_off_the_site(admin_client: FlaskClient) -> None:
    video = long_film("One")
    answer = admin_client.post(f"/queue/videos/{video.id}/pause", data={"next": "https://evil.example/"})
    assert answer.location == "/queue"


def test_the_queue_is_paused_and_let_go(admin_client: FlaskClient) -> None:
    film()
    admin_client.post("/queue/pause")
    assert "Paused since" in admin_client.get("/queue").text
    look_again()
    assert queue.claim_next_job(ATLAS, BULK) is None
    admin_client.post("/queue/resume")
    assert "Paused since" not in admin_client.get("/queue").text
    look_again()
    assert queue.claim_next_job(ATLAS, BULK) is not None


def test_a_worker_is_held_and_let_go_with_its_reason_shown(admin_client: FlaskClient) -> None:
    film()
    fleet.greet(ATLAS)
    for verb, words in {"pause": workers.BY_OWNER, "drain": "It may be switched off."}.items():
        admin_client.post(f"/queue/workers/{verb}", data={"worker_id": ATLAS.id})
        assert words in admin_client.get("/queue").text
        admin_client.post("/queue/workers/resume", data={"worker_id": ATLAS.id})
        assert words not in admin_client.get("/queue").text
    assert row_of(ATLAS.id).paused_at is None
    assert admin_client.post("/queue/workers/pause", data={"worker_id": "w-nobody"}).status_code == 404


def test_failed_films_are_listed_and_go_on_with_one_button(admin_client: FlaskClient) -> None:
    videos = [make_video(f"Failed {n}") for n in range(2)]
    for video in videos:
        make_progress(video, dict.fromkeys(rendition_names(video), 1))
        make_failed(video, "720p stopped at 12:05.")
    page = admin_client.get("/queue").text
    assert "Carry on with failed, 2" in page and "720p stopped at 12:05." in page
    admin_client.post("/queue/retry-failed")
    assert {encode_state(video) for video in videos} == {"viewable"}


def test_the_way_to_the_queue_counts_films_that_are_not_finished(admin_client: FlaskClient) -> None:
    film(title="One")
    film(title="Two")
    assert 'id="nav-queue">2</span>' in admin_client.get("/videos").text


def test_a_paused_film_that_still_runs_says_when_it_stops(admin_client: FlaskClient) -> None:
    video = long_film("One")
    take(BULK, CELLAR)
    control.pause_encode(encode_of(video).id)
    assert "stops at the next segment" in admin_client.get("/queue").text


@pytest.mark.parametrize("path", ["/queue", "/queue/board"])
def test_strangers_see_nothing(stranger: FlaskClient, path: str) -> None:
    assert stranger.get(path).status_code in (302, 303, 401)


def test_the_table_of_videos_has_the_same_menu_for_what_is_not_finished(admin_client: FlaskClient) -> None:
    from tests.factories import make_ready

    video = long_film("One")
    make_ready(make_video("Is ready"))
    page = admin_client.get("/videos?show=all").text
    assert page.count("data-menu") == 1
    assert 'name="next" value="/videos?show=all"' in page
    control.pause_encode(encode_of(video).id)
    page = admin_client.get("/videos").text
    assert "Resume" in page and '<span class="status" data-state="held">Paused</span>' in page
