"""The workers page without a script: what it says of each state, and what its buttons do."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from flask.testing import FlaskClient

from jobs.contract import WorkerInfo
from jobs.states import JobState
from tests.conftest import AppFactory
from tests.factories import make_video, utc_now
from tests.services.shop import film, jobs_of, take
from tests.services.test_pause import row_of
from tests.web.crew import (
    ARC,
    card,
    change,
    employ,
    facts,
    fail_once,
    long_film,
    make_crew,
    past_attempts,
    start,
)
from tests.web.test_admin_pages import HOSTILE, look_again
from vlog_app.extensions import db
from vlog_app.models import Worker
from vlog_app.services import fleet, worker_keys

pytestmark = pytest.mark.usefixtures("app")
KEY = re.compile(r"vlw_[0-9a-f]{8}_[\w-]{43}_[0-9a-f]{8}")


def panel(client: FlaskClient, worker_id: str) -> str:
    """The part of the page that is about one worker, as text with its tags."""
    page = client.get("/workers").text
    found = re.search(rf'<article class="worker" id="worker-{re.escape(worker_id)}".*?</article>', page, re.S)
    assert found, f"{worker_id} is not on the page"
    return found[0]


def test_without_any_worker_the_page_says_how_to_get_one(admin_client: FlaskClient) -> None:
    page = admin_client.get("/workers").text
    assert "No worker has been here yet." in page
    assert "vlog worker run" in page and 'href="/workers/new"' in page


@pytest.mark.parametrize(
    ("name", "words"),
    [
        (
            "atlas",
            [
                "At work",
                "NVIDIA GeForce RTX 4090 1",
                "H.264, HEVC, AV1",
                "driver 570.86.10",
                "ffmpeg 7.1.1",
                "up 3",
            ],
        ),
        ("borealis", ["Idle", "data-late", "Intel Arc B580", "0 of 2 jobs"]),
        ("cellar", ["Not heard", "No heartbeat for", "9 segments", "Hand over now", "data-stale", "3.2×"]),
        ("dormer", ["Paused", "You paused it.", "Let it work"]),
        (
            "eaves",
            ["Paused by itself", "It failed on 3 videos", "It may try one job in about", "Last failure"],
        ),
        ("forge", ["Drained", "may be switched off"]),
        ("garage", ["Disabled", "until you enable it", "Enable"]),
        ("hall", ["Offline", "Last heard 2\u00a0h ago", "1.1×", "2\u00a0h old"]),
        ("icehouse", ["Stopped", "It left 14\u00a0min ago", "Remove"]),
        ("jetty", ["Not started yet", "Start it on its host", "never"]),
        ("kiln", ["Idle", "Quadro P4000", "H.264, HEVC"]),
        ("loft", ["Key revoked", "add it as a new worker"]),
        ("nas", ["At work", "beside the site", "segment 2 of 118", "1 of 1 job"]),
    ],
)
def test_each_state_says_what_it_is_and_why(admin_client: FlaskClient, name: str, words: list[str]) -> None:
    crew = make_crew()
    shown = panel(admin_client, crew[name])
    assert [word for word in words if word not in shown] == []


def test_who_is_not_here_stands_apart(admin_client: FlaskClient) -> None:
    make_crew()
    here, away = admin_client.get("/workers").text.split('id="fleet-away"')
    for name in ("garage", "hall", "icehouse", "loft"):
        assert f">{name}</a></h3>" in away and f">{name}</a></h3>" not in here


def test_totals_count_what_is_heard_and_name_what_is_not(database: str, admin_client: FlaskClient) -> None:
    make_crew()
    page = admin_client.get("/workers").text
    total = re.search(r'<div id="total-nvidia">.*?</div>', page, re.S)
    assert total and "6.4×" in total[0] and "1 more not heard" in total[0] and "2 of 3 at work" in total[0]
    hour = re.search(r'<div id="total-hour">.*?</div>', page, re.S)
    assert hour and "1 attempt failed" in hour[0]


def test_two_workers_of_one_host_share_a_panel(admin_client: FlaskClient) -> None:
    one = start("one", facts=facts("big"))
    two = start("two", facts=facts("big", ARC))
    page = admin_client.get("/workers").text
    assert page.count('class="panel host"') == 1 and "Host big" in page
    assert f"worker-{one}" in page and f"worker-{two}" in page


def test_the_last_hour_is_drawn_from_attempts(admin_client: FlaskClient) -> None:
    worker_id = start("atlas", facts=facts("atlas", card(0)))
    assert "<path" not in panel(admin_client, worker_id)
    past_attempts(worker_id, long_film("Owls"), "nvidia:0", [2.0, 4.0])
    shown = panel(admin_client, worker_id)
    drawn = re.search(r'<path d="M0 24L(.*?)L120 24Z"', shown)
    assert drawn is not None
    heights = [float(point.split()[1]) for point in drawn[1].split("L")]
    assert len(heights) == 30
    assert heights[0] == 24.0 and heights[-1] < heights[-2] < 24.0, (
        "4x stands higher than 2x, and both above nothing"
    )


def test_an_idle_device_shows_no_speed_and_one_at_work_does(admin_client: FlaskClient) -> None:
    worker_id, video = start("atlas", facts=facts("atlas", card(0))), long_film("Owls")
    past_attempts(worker_id, video, "nvidia:0", [2.0, 4.0])
    idle = panel(admin_client, worker_id)
    assert "Nothing" in idle and "×" not in idle
    employ(worker_id, video, "1080p", 1, "nvidia:0")
    assert "3.2×" in panel(admin_client, worker_id)


def test_sound_does_not_count_as_speed(admin_client: FlaskClient) -> None:
    worker_id, video = start("atlas"), long_film("Owls")
    employ(worker_id, video, "audio", 1)
    shown = panel(admin_client, worker_id)
    assert "sound, segment 2" in shown and "3.2×" not in shown


def test_facts_that_make_no_sense_are_left_out(admin_client: FlaskClient) -> None:
    odd = {
        "host": 7,
        "ffmpeg": ["x"],
        "cores": "many",
        "devices": [1, {"kind": "x"}],
        "encode_slots": "all",
        "refused": [3],
    }
    worker_id = start(
        "odd", facts=odd, about={"node_name": {}}, capabilities={"gpu_name": 3, "supported_codecs": 1}
    )
    assert "CPU" in panel(admin_client, worker_id)
    assert admin_client.get(f"/workers/{worker_id}").status_code == 200


def test_names_and_facts_are_text(admin_client: FlaskClient) -> None:
    worker_id = start("x", facts=facts(HOSTILE) | {"ffmpeg": HOSTILE}, code_version=HOSTILE[:100])
    change(worker_id, name=HOSTILE[:100], pause_reason=HOSTILE, paused_at=utc_now())
    fail_once(worker_id, make_video("Owls"), HOSTILE)
    for path in ("/workers", f"/workers/{worker_id}", f"/workers/{worker_id}/revoke"):
        page = admin_client.get(path).text
        assert "<script>alert" not in page and "hx-get=/x" not in page.replace("&lt;div hx-get=/x", "")


def test_the_board_alone_is_the_same_as_on_the_page(admin_client: FlaskClient) -> None:
    start("atlas")
    board = admin_client.get("/workers/board").text
    assert board.lstrip().startswith('<div id="fleet"')
    assert ">atlas</a>" in board and "<html" not in board


def test_the_way_to_the_page_counts_who_is_up(admin_client: FlaskClient) -> None:
    start("atlas")
    start("hall", 9000)
    start("garage", is_disabled=True)
    assert 'id="nav-workers">1</span>' in admin_client.get("/videos").text


def test_a_worker_is_added_and_its_key_is_shown_once_with_the_commands(admin_client: FlaskClient) -> None:
    answer = admin_client.post(
        "/workers/new", data={"name": " attic\u202e "}, base_url="http://films.example:9001"
    )
    assert answer.status_code == 200 and answer.headers["Cache-Control"] == "no-store"
    key = KEY.search(answer.text)
    assert key is not None
    assert "attic is registered" in answer.text
    assert "python -m jobs work --api http://films.example:9002" in answer.text
    assert "-e VLOG_WORKER_API_URL=http://films.example:9002" in answer.text
    known = worker_keys.find(key[0])
    assert known is not None and known.name == "attic"
    for path in ("/workers", f"/workers/{known.id}", "/workers/new", "/api/workers"):
        assert key[0] not in admin_client.get(path).text


@pytest.mark.parametrize("name", ["", "  ", "\u200b", "x" * 101, "atlas"])
def test_a_name_that_cannot_be_is_refused_with_the_reason(admin_client: FlaskClient, name: str) -> None:
    start("atlas")
    answer = admin_client.post("/workers/new", data={"name": name})
    assert answer.status_code == 422
    assert 'id="name-error"' in answer.text and not KEY.search(answer.text)
    look_again()
    assert db.session.query(Worker).count() == 1


def test_the_address_for_other_hosts_is_the_one_that_is_set(app_factory: AppFactory) -> None:
    client = app_factory("admin", worker_api_url="https://work.example/", admin_api_secret="").test_client()
    page = client.post("/workers/new", data={"name": "attic"}).text
    assert "--api https://work.example<" in page
    assert "listens on this machine only" in page


def test_disable_takes_the_jobs_away_and_enable_gives_work_again(admin_client: FlaskClient) -> None:
    film()
    atlas = WorkerInfo(start("atlas"), "atlas")
    claim = take(worker=atlas)
    answer = admin_client.post(f"/workers/{atlas.id}/disable", data={"next": f"/workers/{atlas.id}"})
    assert (answer.status_code, answer.location) == (303, f"/workers/{atlas.id}")
    assert row_of(atlas.id).is_disabled
    look_again()
    assert fleet.member(atlas.id).job_id is None and claim.job_id
    admin_client.post(f"/workers/{atlas.id}/enable")
    assert not row_of(atlas.id).is_disabled


def test_hand_over_frees_the_jobs_of_a_silent_worker_at_once(admin_client: FlaskClient) -> None:
    video = long_film("Owls")
    silent = start("cellar", 96)
    employ(silent, video, "360p", 1)
    assert "Hand over now" in panel(admin_client, silent)
    admin_client.post(f"/workers/{silent}/hand-over")
    assert not [job for job in jobs_of(video) if job.state == JobState.LEASED]
    assert "It had no job" in panel(admin_client, silent)


def test_pause_and_resume_come_back_to_this_page(admin_client: FlaskClient) -> None:
    worker_id = start("atlas")
    answer = admin_client.post("/queue/workers/pause", data={"worker_id": worker_id, "next": "/workers"})
    assert answer.location == "/workers"
    assert "You paused it." in panel(admin_client, worker_id)


def test_revoke_asks_by_name_and_then_the_key_is_worth_nothing(admin_client: FlaskClient) -> None:
    new = fleet.register("atlas", "remote", {}, {})
    asked = admin_client.get(f"/workers/{new.worker_id}/revoke").text
    assert "Revoke the key of atlas?" in asked and "Keep it" in asked
    assert worker_keys.find(new.api_key) is not None
    assert admin_client.post(f"/workers/{new.worker_id}/revoke").status_code == 303
    assert worker_keys.find(new.api_key) is None
    assert "Key revoked" in panel(admin_client, new.worker_id)


def test_remove_asks_and_forgets_the_worker_and_its_key(admin_client: FlaskClient) -> None:
    new = fleet.register("atlas", "remote", {}, {})
    assert "Remove atlas?" in admin_client.get(f"/workers/{new.worker_id}/remove").text
    admin_client.post(f"/workers/{new.worker_id}/remove")
    assert worker_keys.find(new.api_key) is None
    assert admin_client.get(f"/workers/{new.worker_id}").status_code == 404


def test_a_local_worker_that_runs_cannot_be_removed(admin_client: FlaskClient) -> None:
    fleet.greet(WorkerInfo("local:nas", "nas", facts("nas")))
    assert "/remove" not in panel(admin_client, "local:nas")
    refused = admin_client.post("/workers/local:nas/remove")
    assert refused.status_code == 409 and "Stop it first" in refused.text
    change("local:nas", heartbeat_at=utc_now() - timedelta(hours=1))
    assert admin_client.post("/workers/local:nas/remove").status_code == 303


def test_the_page_of_a_worker_shows_devices_facts_and_what_it_made(admin_client: FlaskClient) -> None:
    crew = make_crew()
    page = admin_client.get(f"/workers/{crew['atlas']}").text
    for words in ("H.264 by h264_nvenc", "(nvidia:1)", "this ffmpeg does not know it", "x86_64", "Finished"):
        assert words in page
    assert "Failed" in admin_client.get(f"/workers/{crew['eaves']}").text


def test_an_unknown_worker_is_not_found(admin_client: FlaskClient) -> None:
    for path in ("/workers/x", "/workers/x/revoke", "/workers/x/remove"):
        assert admin_client.get(path).status_code == 404
    for verb in ("disable", "enable", "hand-over", "revoke", "remove"):
        assert admin_client.post(f"/workers/x/{verb}").status_code == 404


@pytest.mark.parametrize(
    "path", ["/workers", "/workers/board", "/workers/new", "/workers/x", "/workers/x/revoke"]
)
def test_strangers_see_nothing(stranger: FlaskClient, path: str) -> None:
    assert stranger.get(path).status_code in (302, 303, 401)


@pytest.mark.parametrize("path", ["/workers/new", "/workers/x/revoke", "/workers/x/disable"])
def test_strangers_change_nothing(stranger: FlaskClient, path: str) -> None:
    assert stranger.post(path, data={"name": "x"}).status_code == 401
    assert db.session.query(Worker).count() == 0
