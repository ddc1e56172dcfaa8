"""What a player is served of a film in CMAF: folders for renditions, headers, fragments, the DASH manifest."""

from __future__ import annotations

import itertools
import xml.etree.ElementTree as ET
from pathlib import Path

import m3u8
import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select

from tests.conftest import AppFactory
from tests.factories import make_progress, make_ready, make_source, make_video, rendition_names
from vlog_app.config import Settings
from vlog_app.extensions import transaction
from vlog_app.models import Encode, Rendition, Segment, Video

HEADER, OTHER_HEADER, FRAGMENT = b"header", b"another header", bytes(range(256)) * 10
_numbers = itertools.count(1)  # the state of a slug is remembered for a moment: no two tests share one


@pytest.fixture
def app(app_factory: AppFactory):  # type: ignore[no-untyped-def]
    app: Flask = app_factory("cli", streaming_format="cmaf")
    with app.app_context():
        yield app


@pytest.fixture
def video(app: Flask, config: Settings) -> Video:
    """Ten segments; three of 360p and of the sound are made. The third of 360p needs another header."""
    video = make_video(f"Kiln in fragments {next(_numbers)}", source=make_source(seconds=60))
    make_progress(video, {"360p": 3, "audio": 3})
    folder = config.videos_dir / video.slug
    for name in ("360p", "audio"):
        (folder / name).mkdir(parents=True)
        (folder / name / "init.mp4").write_bytes(HEADER)
        for index in range(3):
            (folder / name / f"seg_{index:04d}.m4s").write_bytes(FRAGMENT)
    (folder / "360p" / "init_1.mp4").write_bytes(OTHER_HEADER)
    set_headers(video, "360p", ["a" * 64, "b" * 64], second_from=2)
    set_headers(video, "audio", ["c" * 64])
    return video


def set_headers(video: Video, name: str, inits: list[str], second_from: int | None = None) -> None:
    with transaction() as session:
        query = select(Rendition).join(Encode).where(Encode.video_id == video.id, Rendition.name == name)
        rendition = session.scalars(query).one()
        rendition.inits = inits
        for segment in session.scalars(select(Segment).where(Segment.rendition_id == rendition.id)):
            segment.init = int(second_from is not None and segment.index >= second_from)


def get(client: FlaskClient, video: Video, name: str):  # type: ignore[no-untyped-def]
    return client.get(f"/videos/{video.slug}/{name}", buffered=True)


def test_every_address_of_a_growing_film_answers(client: FlaskClient, video: Video) -> None:
    master = m3u8.loads(get(client, video, "master.m3u8").text)
    uris = [row.uri for row in master.playlists] + [track.uri for track in master.media]
    assert [uri.partition("?")[0] for uri in uris] == ["360p/stream.m3u8", "audio/stream.m3u8"]
    for uri in uris:
        folder = uri.partition("/")[0]
        playlist = m3u8.loads(get(client, video, uri).text)
        assert not playlist.is_endlist
        for segment in playlist.segments:
            assert get(client, video, f"{folder}/{segment.uri}").data == FRAGMENT or "i=" in segment.uri
            assert get(client, video, f"{folder}/{segment.init_section.uri}").status_code == 200


def test_the_playlist_changes_the_header_where_the_encoder_changed(client: FlaskClient, video: Video) -> None:
    lines = get(client, video, "360p/stream.m3u8").text.splitlines()
    maps = [line for line in lines if line.startswith("#EXT-X-MAP")]
    assert maps == ['#EXT-X-MAP:URI="init.mp4?g=1"', '#EXT-X-MAP:URI="init_1.mp4?g=1"']


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("360p/init.mp4", "video/mp4"),
        ("360p/init_1.mp4", "video/mp4"),
        ("360p/seg_0000.m4s", "video/iso.segment"),
        ("360p/stream.m3u8", "application/vnd.apple.mpegurl"),
    ],
)
def test_files_say_what_they_are(client: FlaskClient, video: Video, name: str, kind: str) -> None:
    answer = get(client, video, name)
    assert (answer.status_code, answer.mimetype) == (200, kind)
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


def test_a_segment_that_needs_another_header_than_was_promised_brings_it(
    client: FlaskClient, video: Video
) -> None:
    """A player that read the whole timeline before the third segment was made believes in the first header."""
    assert get(client, video, "360p/seg_0002.m4s?g=1&i=0").data == OTHER_HEADER + FRAGMENT
    assert get(client, video, "360p/seg_0002.m4s?g=1&i=1").data == FRAGMENT
    assert get(client, video, "360p/seg_0001.m4s?g=1&i=0").data == FRAGMENT


@pytest.mark.parametrize("name", ["720p/seg_0003.m4s", "360p/seg_0009.m4s", "720p/init.mp4"])
def test_what_is_not_made_yet_is_asked_for_again(client: FlaskClient, video: Video, name: str) -> None:
    answer = get(client, video, name)
    assert (answer.status_code, answer.get_json()["code"]) == (503, "not_encoded_yet")


@pytest.mark.parametrize(
    "name",
    [
        "360p.m3u8",  # of a film in MPEG-TS
        "360p_0009.ts",
        "144p/seg_0000.m4s",
        "144p/init.mp4",
        "360p/seg_0010.m4s",
        "360p/../../secret.mp4",
        "360p/init_1000.mp4",
        "360p/seg_0000.ts",
        "360p//init.mp4",
        "manifest.mpd",  # not before the film is whole
    ],
)
def test_there_is_nothing_else(client: FlaskClient, video: Video, name: str) -> None:
    assert get(client, video, name).status_code in (308, 404)


def test_a_film_in_mpeg_ts_has_no_fragments(app_factory: AppFactory, client: FlaskClient) -> None:
    with app_factory("cli").app_context():
        video = make_video(f"Kiln {next(_numbers)}")
    for name in ("360p/seg_0000.m4s", "360p/init.mp4", "360p/stream.m3u8?timeline=full", "manifest.mpd"):
        assert get(client, video, name).status_code == 404


def test_a_finished_film_has_a_dash_manifest(client: FlaskClient, video: Video) -> None:
    make_ready(video)
    for name in rendition_names(video):
        if name not in ("360p", "audio"):
            set_headers(video, name, ["d" * 64])
    answer = get(client, video, "manifest.mpd")
    assert answer.mimetype == "application/dash+xml"
    space = "{urn:mpeg:dash:schema:mpd:2011}"
    found = {each.get("id"): each for each in ET.fromstring(answer.text).iter(f"{space}Representation")}
    assert set(found) == {"1080p", "720p", "480p", "audio"}, "360p has two headers, which DASH cannot say"
    template = found["1080p"].find(f"{space}SegmentTemplate")
    assert template is not None
    assert template.get("media") == "1080p/seg_$Number%04d$.m4s?g=1"
    timeline = template.find(f"{space}SegmentTimeline")
    assert timeline is not None
    assert sum(int(s.get("r", "0")) + 1 for s in timeline) == 10


def test_a_hidden_film_hides_its_fragments(client: FlaskClient, app: Flask, config: Settings) -> None:
    video = make_video(f"Private {next(_numbers)}", is_published=False)
    folder: Path = config.videos_dir / video.slug / "360p"
    folder.mkdir(parents=True)
    (folder / "init.mp4").write_bytes(HEADER)
    assert get(client, video, "360p/init.mp4").status_code == 404
