"""A film whose top rung is the source itself is encoded again: the source is looked at again, and copied again."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
from flask import Flask

from encoder.model import EncodePlan, Source
from encoder.probe import probe
from tests.conformance import check
from tests.conftest import AppFactory
from tests.services.test_damaged_copy import Bench, bench
from tests.services.test_reencode import encodes_of, reread
from vlog_app.config import settings
from vlog_app.extensions import transaction
from vlog_app.models import Video
from vlog_app.services import control, publish
from vlog_app.services.media_files import generation_folder, source_file
from vlog_app.services.reencode import choice_for, encode_again
from vlog_app.storage import MARKER

__all__ = ["bench"]

pytestmark = pytest.mark.media


@pytest.fixture
def app(app_factory: AppFactory) -> Iterator[Flask]:
    app = app_factory("cli", hls_segment_duration=2)
    with app.app_context():
        yield app


@pytest.fixture
def copied(bench: Bench) -> Video:
    """360p as it came; what the video keeps of its source are the facts without the key frames."""
    (settings().storage_path / MARKER).write_text("here")
    video = bench.upload("640x360", is_damaged=False)
    keep_facts(video, Source.from_json(video.source))
    bench.work()
    publish.publish_finished()
    assert [row.name for row in newest_plan(video).copied] == ["360p"]
    return reread(video)


def keep_facts(video: Video, source: Source) -> None:
    with transaction() as session:
        session.get_one(Video, video.id).source = replace(source, keyframes=None).to_json()


def newest_plan(video: Video) -> EncodePlan:
    return EncodePlan.from_json(encodes_of(video)[-1].plan)


def test_the_source_is_copied_again(copied: Video, bench: Bench) -> None:
    first = newest_plan(copied)
    encode_again(copied.id)
    bench.work()
    publish.publish_finished()
    assert newest_plan(copied) == first
    assert newest_plan(copied).notes == ("copied",)
    assert reread(copied).generation == 2
    assert [
        str(finding)
        for finding in check(generation_folder(settings().videos_dir, copied, 2), copied=["360p"])
    ] == []
    assert reread(copied).source["keyframes"] is None


def test_the_sound_is_made_again_beside_the_copy(copied: Video, bench: Bench) -> None:
    assert choice_for(copied.id).only_all == ""
    assert encode_again(copied.id, ["audio"]) == ["audio"]
    bench.work()
    publish.publish_finished()
    assert [row.name for row in newest_plan(copied).copied] == ["360p"]
    assert [
        str(finding)
        for finding in check(generation_folder(settings().videos_dir, copied, 2), copied=["360p"])
    ] == []


def test_facts_that_are_seen_otherwise_today_are_kept(copied: Video) -> None:
    source = probe(source_file(copied))
    keep_facts(copied, replace(source, bitrate_bps=1, profile="Odd"))
    encode_again(copied.id)
    assert Source.from_json(reread(copied).source) == replace(source, keyframes=None)


def test_one_that_failed_beside_is_begun_anew_as_a_copy(copied: Video) -> None:
    encode_again(copied.id)
    control.cancel_encode(encodes_of(copied)[-1].id)
    control.retry_encode(encodes_of(copied)[-1].id)
    assert [row.name for row in newest_plan(copied).copied] == ["360p"]


def test_a_source_that_cannot_be_read_any_more_does_not_stop_the_asking(copied: Video) -> None:
    source_file(copied).write_bytes(b"no film")
    assert encode_again(copied.id) == ["360p", "audio"]
