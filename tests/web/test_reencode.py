"""Encoding a film again, as its owner and its viewers see it."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient

from jobs.layout import Priority
from tests.contract.conftest import ENCODES, words_for_segments
from tests.factories import make_ready, make_video
from tests.services.shop import hand_in, pass_time, take
from tests.services.test_fail import FINAL
from tests.services.test_reencode import (
    EVERYTHING,
    encodes_of,
    files_in,
    finish,
    folder,
    reread,
)
from tests.services.test_repair import ready
from tests.services.test_repair_cmaf import make_all
from vlog_app.blueprints.public import media
from vlog_app.config import APP_KEY, settings
from vlog_app.models import Video
from vlog_app.services import queue
from vlog_app.services.reencode import encode_again
from vlog_app.services.retiring import retire_encodes
from vlog_app.storage import MARKER

__all__ = ["ready", "words_for_segments"]

pytestmark = pytest.mark.usefixtures("app")
A_YEAR = "public, max-age=31536000, immutable"


@pytest.fixture(autouse=True)
def _fresh(app: Flask) -> None:
    (settings().storage_path / MARKER).write_text("here")
    media._gates.clear()


# --- the owner's page


def test_a_finished_film_offers_to_be_encoded_again(admin_client: FlaskClient, ready: Video) -> None:
    page = admin_client.get(f"/videos/{ready.id}").text
    assert f'href="/videos/{ready.id}/reencode"' in page
    form = admin_client.get(f"/videos/{ready.id}/reencode").text
    assert re.findall(r'name="rung" value="(\w+)" checked', form) == EVERYTHING
    assert "HLS in MPEG-TS, in segments of 6 s" in form
    assert "<strong>Sound</strong>" in form


def test_the_form_begins_what_was_chosen(admin_client: FlaskClient, ready: Video) -> None:
    form = {"rung": ["720p", "480p"], "priority": "high"}
    answer = admin_client.post(f"/videos/{ready.id}/reencode", data=form)
    assert (answer.status_code, answer.location) == (303, f"/videos/{ready.id}")
    second = encodes_of(ready)[1]
    assert (second.rungs, second.priority) == (["720p", "480p"], Priority.HIGH)
    page = admin_client.get(answer.location).text
    assert "Viewers get the film as it was" in page
    assert "You had it encoded again: 720p, 480p." in page
    assert "Cancel encoding" in page and "Encode again" not in page


def test_the_form_says_what_is_wrong_and_keeps_what_was_marked(
    admin_client: FlaskClient, ready: Video
) -> None:
    nothing = admin_client.post(f"/videos/{ready.id}/reencode", data={"priority": "low"})
    assert nothing.status_code == 409
    assert "Choose at least one rung. Nothing was changed." in nothing.text
    assert 'name="rung" value="720p" checked' not in nothing.text
    assert admin_client.post(f"/videos/{ready.id}/reencode", data={"priority": "x"}).status_code == 422
    assert len(encodes_of(ready)) == 1


def test_where_rungs_would_not_join_all_are_offered(
    admin_client: FlaskClient, ready: Video, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = admin_client.application
    changed = app.extensions[APP_KEY].model_copy(update={"streaming_format": "cmaf"})
    monkeypatch.setitem(app.extensions, APP_KEY, changed)
    form = admin_client.get(f"/videos/{ready.id}/reencode").text
    assert "All rungs are encoded together: they would not join the others" in form
    assert 'name="rung"' not in form and 'name="all"' in form
    assert admin_client.post(f"/videos/{ready.id}/reencode", data={"all": "1"}).status_code == 303
    assert encodes_of(ready)[1].plan["container"] == "cmaf"


def test_without_a_source_the_page_says_so(admin_client: FlaskClient, ready: Video) -> None:
    (settings().storage_path / ready.source_path).unlink()
    answer = admin_client.get(f"/videos/{ready.id}/reencode")
    assert answer.status_code == 409
    assert "The source file is gone" in answer.text and "reencode-form" not in answer.text


def test_the_table_and_the_queue_show_it(admin_client: FlaskClient, ready: Video, tmp_path: Path) -> None:
    encode_again(ready.id, ["720p"])
    assert "waits to be encoded again" in admin_client.get("/videos?show=waiting").text
    assert "again: 720p, 2 chunks" in admin_client.get("/queue").text
    hand_in(take(ENCODES), tmp_path, ("720p", 0))
    page = admin_client.get("/videos?show=encoding").text
    assert "Ready, encoded again" in page
    assert admin_client.get(f"/api/videos/{ready.id}").json["status"] == "ready"


def test_one_that_failed_is_told_of_and_can_be_left(admin_client: FlaskClient, ready: Video) -> None:
    encode_again(ready.id)
    queue.fail_job(take(ENCODES), FINAL)
    page = admin_client.get(f"/videos/{ready.id}").text
    assert "New encode stopped" in page and "What viewers get is kept as it was" in page
    assert "Try again" in page and "Leave it as it was" in page
    assert "New encode stopped" in admin_client.get("/videos?show=look").text
    assert "What viewers get is kept as it was" in admin_client.get("/queue").text
    told = admin_client.get(f"/api/videos/{ready.id}").json["reencode"]
    assert (told["status"], told["generation"]) == ("failed", 2)
    assert admin_client.post(f"/videos/{ready.id}/cancel").status_code == 303
    page = admin_client.get(f"/videos/{ready.id}").text
    assert "New encode stopped" not in page and "Check files" in page
    assert admin_client.get(f"/api/videos/{ready.id}").json["reencode"] is None


def test_one_that_cannot_be_tried_again_leads_to_the_reason(admin_client: FlaskClient, ready: Video) -> None:
    encode_again(ready.id)
    queue.fail_job(take(ENCODES), FINAL)
    (settings().storage_path / ready.source_path).unlink()
    answer = admin_client.post(f"/videos/{ready.id}/retry")
    assert answer.location == f"/videos/{ready.id}/reencode"
    assert "The source file is gone" in admin_client.get(answer.location).text
    told = admin_client.post(f"/api/videos/{ready.id}/retry")
    assert (told.status_code, told.json["code"]) == (409, "source_missing")


def test_the_buttons_are_only_sent_when_they_are_others(admin_client: FlaskClient, ready: Video) -> None:
    page = admin_client.get(f"/videos/{ready.id}").text
    address = re.search(r'hx-get="(/videos/\d+/actions\?stands=[^"]+)"', page)
    assert address is not None
    assert admin_client.get(address[1]).status_code == 204
    encode_again(ready.id)
    answer = admin_client.get(address[1])
    assert answer.status_code == 200 and "Pause" in answer.text and "<html" not in answer.text


def test_a_paused_film_stays_live(admin_client: FlaskClient, ready: Video) -> None:
    encode_again(ready.id)
    admin_client.post(f"/queue/videos/{ready.id}/pause")
    page = admin_client.get(f"/videos/{ready.id}").text
    assert f'data-live="{ready.id}"' in page and "Resume" in page
    assert f'data-live-video="{ready.id}"' in admin_client.get(f"/videos/{ready.id}/state").text


def test_the_counts_are_there_for_scripts_that_keep_them_true(
    admin_client: FlaskClient, stranger: FlaskClient, ready: Video
) -> None:
    before = admin_client.get("/api/counts").json
    assert before["videos"] == 1 and before["queue"] == 0
    encode_again(ready.id)
    assert admin_client.get("/api/counts").json["queue"] == 1
    assert stranger.get("/api/counts").status_code == 401


# --- JSON and the command line


def test_scripts_encode_a_finished_film_again(admin_client: FlaskClient, ready: Video) -> None:
    address = f"/api/videos/{ready.id}/retranscode"
    answer = admin_client.post(address, json={"qualities": ["480p"], "priority": "low"})
    assert (answer.status_code, answer.json["status"], answer.json["video_id"]) == (200, "ok", ready.id)
    assert answer.json["qualities_queued"] == ["480p"]
    told = admin_client.get(f"/api/videos/{ready.id}").json["reencode"]
    assert told == {
        "generation": 2,
        "status": "processing",
        "qualities": ["480p"],
        "priority": "low",
        "progress_percent": told["progress_percent"],
        "error_message": None,
    }
    again = admin_client.post(address, json={"qualities": ["all"]})
    assert (again.status_code, again.json["code"]) == (409, "not_possible_now")
    for verb in ("pause", "resume", "cancel"):
        assert admin_client.post(f"/api/videos/{ready.id}/{verb}").status_code == 200, verb
    assert encodes_of(ready)[1].state == "cancelled"


def test_scripts_are_told_why_not(admin_client: FlaskClient, ready: Video) -> None:
    address = f"/api/videos/{ready.id}/retranscode"
    unknown = admin_client.post(address, json={"qualities": ["9p"]})
    assert (unknown.status_code, unknown.json["code"]) == (409, "no_such_rung")
    assert "there are 1080p, 720p, 480p, 360p, audio" in unknown.json["detail"]


def test_the_command_line_does_the_same(app: Flask, ready: Video) -> None:
    run = app.test_cli_runner().invoke
    result = run(
        args=["vlog", "reencode", ready.slug, "--rungs", "720p, 480p", "--priority", "high", "--json"]
    )
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["rungs"] == ["720p", "480p"]
    again = run(args=["vlog", "reencode", ready.slug])
    assert again.exit_code == 1 and "encoded again already" in again.output
    unknown = run(args=["vlog", "reencode", "nothing"])
    assert unknown.exit_code == 1 and "There is no video nothing" in unknown.output


# --- viewers


def test_viewers_notice_nothing_until_it_is_whole(client: FlaskClient, ready: Video, tmp_path: Path) -> None:
    before = _all_texts(client, ready)
    encode_again(ready.id)
    hand_in(take(ENCODES), tmp_path)
    assert _all_texts(client, ready) == before
    base = f"/videos/{ready.slug}"
    assert client.get(f"{base}/720p_0000.ts?g=2").status_code == 404
    assert client.get(f"{base}/720p.m3u8?g=2").status_code == 404
    assert client.get(f"/watch/{ready.slug}").status_code == 200
    assert client.get("/api/videos").json[0]["status"] == "ready"


def test_after_the_swap_both_answer_until_the_former_goes(
    client: FlaskClient, ready: Video, tmp_path: Path
) -> None:
    base = f"/videos/{ready.slug}"
    former = client.get(f"{base}/720p.m3u8?g=1").text
    encode_again(ready.id, ["720p"])
    finish(tmp_path)
    assert "720p.m3u8?g=2" in client.get(f"{base}/master.m3u8").text
    assert client.get(f"{base}/720p.m3u8?g=1").text == former, "a player that has the former master goes on"
    for generation in (1, 2):
        answer = fetch(client, f"{base}/720p_0000.ts?g={generation}")
        there = (folder(ready, generation) / "720p_0000.ts").read_bytes()
        assert answer == Fetched(200, A_YEAR, there)
    pass_time(settings().old_files_kept + 61)
    retire_encodes()
    media._gates.clear()
    assert client.get(f"{base}/720p.m3u8?g=1").status_code == 404
    assert fetch(client, f"{base}/720p_0000.ts?g=1").status == 200
    pass_time(61)
    retire_encodes()
    assert fetch(client, f"{base}/720p_0000.ts?g=1").status == 404
    assert fetch(client, f"{base}/720p_0000.ts?g=2").status == 200


def test_only_addresses_with_their_generation_are_kept_for_long(client: FlaskClient, ready: Video) -> None:
    base = f"/videos/{ready.slug}"
    assert fetch(client, f"{base}/720p_0000.ts?g=1").cached == A_YEAR
    plain = fetch(client, f"{base}/720p_0000.ts")
    assert plain.status == 200 and "immutable" not in plain.cached
    for wrong in ("3", "x", "-1", "1" * 40, ""):
        assert client.get(f"{base}/720p_0000.ts?g={wrong}").status_code == 404, wrong


@pytest.mark.parametrize("container", ["hls_ts", "cmaf"])
def test_every_address_in_every_playlist_names_its_generation(
    client: FlaskClient, app: Flask, tmp_path: Path, container: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    changed = settings().model_copy(update={"streaming_format": container})
    monkeypatch.setitem(app.extensions, APP_KEY, changed)
    video = make_video()
    source = settings().storage_path / video.source_path
    source.parent.mkdir(exist_ok=True)
    source.write_bytes(b"film")
    make = make_all if container == "cmaf" else finish
    make(tmp_path)
    encode_again(video.id, ["720p"])  # the others are taken over, their headers too
    make(tmp_path)
    assert reread(video).generation == 2
    for address, text in _all_texts(client, video).items():
        named = _uris(text) if ".m3u8" in address else re.findall(r'(?:media|initialization)="(.*?)"', text)
        assert named and all("?g=2" in each for each in named), address
    for address in _addresses(client, video):
        answer = fetch(client, address)
        assert (answer.status, answer.cached) == (200, A_YEAR), address


def test_pictures_stay_where_they_are(client: FlaskClient, ready: Video, tmp_path: Path) -> None:
    poster = folder(ready) / "thumbnail.jpg"
    poster.write_bytes(b"\xff\xd8\xff poster")
    encode_again(ready.id)
    finish(tmp_path)
    pass_time(settings().old_files_kept + 61)
    retire_encodes()
    pass_time(61)
    retire_encodes()
    kept = fetch(client, f"/videos/{ready.slug}/thumbnail.jpg?v=1")
    assert kept == Fetched(200, A_YEAR, b"\xff\xd8\xff poster")
    assert "immutable" not in fetch(client, f"/videos/{ready.slug}/thumbnail.jpg").cached
    assert "thumbnail.jpg" in files_in(folder(ready))


def test_a_film_that_was_never_made_has_nothing_to_take_over(admin_client: FlaskClient) -> None:
    video = make_video()
    make_ready(video)
    answer = admin_client.post(f"/api/videos/{video.id}/retranscode", json={"qualities": ["720p"]})
    assert (answer.status_code, answer.json["code"]) == (409, "source_missing")


# --- helpers


@dataclass(frozen=True)
class Fetched:
    status: int
    cached: str
    data: bytes


def fetch(client: FlaskClient, address: str) -> Fetched:
    """The whole of a file, which is closed then."""
    with client.get(address) as answer:
        return Fetched(answer.status_code, answer.headers.get("Cache-Control", ""), answer.data)


def _all_texts(client: FlaskClient, video: Video) -> dict[str, str]:
    """Every playlist and manifest there is, by its address."""
    base = f"/videos/{video.slug}"
    texts = {"master.m3u8": client.get(f"{base}/master.m3u8").text}
    for uri in _uris(texts["master.m3u8"]):
        texts[uri] = client.get(f"{base}/{uri}").text
    manifest = client.get(f"{base}/manifest.mpd")
    if manifest.status_code == 200:
        texts["manifest.mpd"] = manifest.text
    return texts


def _addresses(client: FlaskClient, video: Video) -> list[str]:
    """Every segment and header that the playlists name."""
    base = f"/videos/{video.slug}"
    found = []
    for address, text in _all_texts(client, video).items():
        if address.startswith("master") or not address.partition("?")[0].endswith(".m3u8"):
            continue
        here = f"{base}/{address.partition('?')[0]}".rpartition("/")[0]
        found += [f"{here}/{uri}" for uri in _uris(text)]
    return found


def _uris(text: str) -> list[str]:
    return re.findall(r"^[^#\n].*$", text, re.MULTILINE) + re.findall(r'URI="([^"]+)"', text)
