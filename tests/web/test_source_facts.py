"""The owner reads what was found in a file, and what was done about it."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import pytest
from flask.testing import FlaskClient

from encoder.model import AudioTrack, Source
from tests.conftest import AppFactory
from tests.factories import make_recording, make_source, make_video
from vlog_app.blueprints.admin.decisions import describe

PHONE = replace(
    make_source(),
    video_codec="hevc",
    profile="Main 10",
    bit_depth=10,
    color_transfer="arib-std-b67",
    is_vfr=True,
    fps=Fraction(30000, 1001),
    rotation=90,
)
TAPE = replace(
    make_source(),
    video_codec="mpeg2video",
    is_interlaced=True,
    sar=Fraction(16, 11),
    audio=(
        AudioTrack(0, "ac3", 6, 48_000, "ger"),
        AudioTrack(1, "mp2", 2, 48_000, "eng"),
        AudioTrack(2, "flac", 4, 48_000),
    ),
)
SAID = [
    (
        PHONE,
        "In the file: HEVC Main 10, 10 bits a colour, HDR (HLG), shown as SDR, a frame rate that varies, shown at 30 a "
        "second, turned by 90°, sound in AAC stereo.",
    ),
    (
        TAPE,
        "In the file: mpeg2video, interlaced, made progressive, pixels of 16:11, "
        "sound in AC3 5.1 (de), MP2 stereo (en), FLAC 4 channels.",
    ),
    (make_source(has_audio=False), "In the file: H.264, no sound."),
    (make_recording(), "In the file: sound in MP3 stereo."),
]


@pytest.mark.parametrize(("source", "words"), SAID)
def test_what_is_in_a_file_is_said_in_one_line(source: Source, words: str) -> None:
    assert describe(source) == words


def test_the_owner_sees_it_on_the_page_of_the_video(
    app_factory: AppFactory, admin_client: FlaskClient
) -> None:
    with app_factory("cli").app_context():
        video_id = make_video(source=TAPE).id
    assert "interlaced, made progressive, pixels of 16:11" in admin_client.get(f"/videos/{video_id}").text
