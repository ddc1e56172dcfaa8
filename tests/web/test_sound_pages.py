"""Pages of a film without picture: what they say, show and leave out."""

from __future__ import annotations

from dataclasses import replace

import pytest
from flask.testing import FlaskClient

from tests.factories import make_progress, make_ready, make_recording, make_source, make_video
from vlog_app.extensions import transaction
from vlog_app.formats import recording
from vlog_app.models import Video

pytestmark = pytest.mark.usefixtures("app")


@pytest.fixture
def song() -> Video:
    return make_video("Harbour song", source=replace(make_recording(), has_cover=True))


def give_poster(video: Video) -> None:
    with transaction() as session:
        session.get_one(Video, video.id).poster_version = 3


def test_the_watch_page_plays_it_behind_its_poster(client: FlaskClient, song: Video) -> None:
    make_ready(song)
    give_poster(song)
    page = client.get("/watch/harbour-song").text
    assert "data-sound-only" in page
    assert 'data-cover src="/videos/harbour-song/thumbnail.jpg?v=3"' in page
    assert "No picture, sound: MP3, stereo, 44.1\u00a0kHz, with a cover" in page
    assert "192\u00a0kb/s, 128\u00a0kb/s, 64\u00a0kb/s" in page
    assert 'data-do="pip"' not in page
    assert "to play this recording." in page


def test_a_film_with_picture_has_no_cover_and_keeps_its_buttons(client: FlaskClient) -> None:
    make_ready(make_video("Film"))
    page = client.get("/watch/film").text
    assert "data-sound-only" not in page
    assert "data-cover" not in page
    assert 'data-do="pip"' in page
    assert "to play this video." in page


def test_while_it_is_made_the_page_speaks_of_hearing(client: FlaskClient, song: Video) -> None:
    assert "This recording is being made." in client.get("/watch/harbour-song").text
    make_progress(song, {"64k": 4})
    page = client.get("/watch/harbour-song").text
    assert "Playable up to 0:24." in page
    assert "data-cover hidden" in page
    make_progress(song, {"64k": 10})
    assert (
        "All of it can be heard.</strong> 192\u00a0kb/s is still encoding"
        in client.get("/watch/harbour-song").text
    )


def test_cards_say_that_there_is_nothing_to_watch(client: FlaskClient, song: Video) -> None:
    make_ready(make_video("Film"))
    make_progress(song, {"64k": 4})
    page = client.get("/").text
    assert "Audio · 1:00" in page
    assert page.count("Audio ·") == 1
    assert "playable, 192\u00a0kb/s still encoding" in page
    assert "watchable" not in page


def test_the_newest_recording_is_listened_to(client: FlaskClient, song: Video) -> None:
    make_ready(song)
    assert 'aria-label="Listen to Harbour song"' in client.get("/").text


def test_the_owner_reads_what_it_is(admin_client: FlaskClient, song: Video) -> None:
    make_progress(song, {"64k": 4, "192k": 1})
    page = admin_client.get(f"/videos/{song.id}").text
    assert "No picture, sound: MP3, stereo, 44.1\u00a0kHz, with a cover" in page
    assert "Playable from 0:00 to 0:06 at 192\u00a0kb/s" in page
    assert '<th scope="row">64k</th><td>4</td><td>10</td><td>0:24</td>' in page
    assert "H.264" not in page


def test_machines_get_its_rates_as_qualities(client: FlaskClient, song: Video) -> None:
    make_progress(song, {"64k": 4})
    give_poster(song)
    body = client.get("/api/videos/harbour-song").get_json()
    assert [(row["quality"], row["bitrate"]) for row in body["qualities"]] == [
        ("192k", 192),
        ("128k", 128),
        ("64k", 64),
    ]
    progress = client.get("/api/videos/harbour-song/progress").get_json()
    assert next((row["name"], row["kind"], row["rung"]) for row in progress["renditions"]) == (
        "192k",
        "audio",
        True,
    )
    assert progress["poster"] == "/videos/harbour-song/thumbnail.jpg?v=3"


def test_a_seek_ahead_is_answered_and_moves_nothing(client: FlaskClient, song: Video) -> None:
    make_progress(song, {"64k": 4})
    answer = client.post("/api/videos/harbour-song/demand", json={"segment": 8})
    assert (answer.status_code, answer.get_json()) == (202, {"ready": False, "eta_s": None})
    assert client.post("/api/videos/harbour-song/demand", json={"segment": 2}).get_json()["ready"] is True
    missing = client.get("/videos/harbour-song/64k_0008.ts?g=1")
    assert (missing.status_code, missing.headers["Retry-After"]) == (503, "1")


def test_the_upload_page_names_what_is_taken(admin_client: FlaskClient) -> None:
    page = admin_client.get("/upload").text
    assert page.count("sound alone as MP3, M4A, FLAC, Ogg or WAV") == 2
    assert page.count('accept="video/*,audio/*,') == 2


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        ({"channels": 1, "tracks": 1}, "No picture, sound: MP3, mono, 44.1\u00a0kHz"),
        ({"channels": 6, "tracks": 2}, "No picture, sound: 2 tracks, MP3, 5.1, 44.1\u00a0kHz"),
        ({"channels": 3, "tracks": 1}, "No picture, sound: MP3, 3 channels, 44.1\u00a0kHz"),
    ],
)
def test_a_recording_in_words(facts: dict[str, int], words: str) -> None:
    assert recording(make_recording(**facts)) == words


def test_raw_samples_are_called_pcm() -> None:
    [track] = make_source().audio
    raw = replace(make_recording(), audio=(replace(track, codec="pcm_s24le"),))
    assert "PCM, stereo, 48\u00a0kHz" in recording(raw)
