"""One rendition from two hosts with different ffmpeg builds: parameter sets differ, and nobody who plays it notices.

Needs a second ffmpeg beside the one that all tests use, of another version: the first on the PATH that is one, or the
one that VLOG_OTHER_FFMPEG names.
"""

from __future__ import annotations

import itertools
import os
import shutil
import subprocess
import threading
from pathlib import Path
from typing import Any

import av
import pytest

from encoder.model import Codec, Container
from encoder.names import playlist_name
from encoder.plan import Output, make_plan
from encoder.probe import probe
from jobs.layout import ENCODE
from jobs.runner import Tools, run_claim
from jobs.testing import MemoryCoordinator
from jobs.worker import SLOTS
from tests.conformance import check
from tests.e2e.plain_player import watch
from tests.films import CLOCK_HZ, decoder_words, number_on, numbered_film
from tests.media.published import TINY, WORKER, Published, write_playlists

pytestmark = [pytest.mark.media, pytest.mark.browser]

FORMATS: dict[str, tuple[Container, Codec]] = {
    "H.264 in MPEG-TS": ("ts", "h264"),
    "H.264 in CMAF": ("cmaf", "h264"),
    "HEVC": ("cmaf", "hevc"),
    "AV1": ("cmaf", "av1"),
}


def version(ffmpeg: str) -> str:
    said = subprocess.run([ffmpeg, "-version"], check=True, capture_output=True, text=True, timeout=20).stdout
    return said.splitlines()[0].split()[2]


@pytest.fixture(scope="module")
def other_ffmpeg(ffmpeg_path: str) -> str:
    named = os.environ.get("VLOG_OTHER_FFMPEG") or shutil.which("ffmpeg")
    if named is None or version(named) == version(ffmpeg_path):
        pytest.skip("there is only one version of ffmpeg here; VLOG_OTHER_FFMPEG may name another")
    return named


@pytest.fixture(scope="module")
def source(ffmpeg_path: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return numbered_film(ffmpeg_path, tmp_path_factory.mktemp("film") / "film.mp4", seconds=8, size="320x180")


@pytest.fixture(scope="module", params=FORMATS)
def film(
    request: pytest.FixtureRequest,
    source: Path,
    ffmpeg_path: str,
    other_ffmpeg: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Published:
    """Each chunk is made by the one that did not make the chunk before it."""
    container, codec = FORMATS[request.param]
    output = Output(container=container, codec=codec, h264_too=False)
    facts = probe(source)
    plan = make_plan(facts, segment_s=1, ladder=TINY, output=output)
    folder = tmp_path_factory.mktemp("film")
    coordinator = MemoryCoordinator(plan, source, folder, chunk_s=2, max_attempts=1)
    builds = itertools.cycle([ffmpeg_path, other_ffmpeg])
    for slot in SLOTS:
        while claim := coordinator.claim(WORKER, slot):
            build = next(builds) if claim.kind == ENCODE else ffmpeg_path
            run_claim(claim, coordinator, Tools(build, folder / "work"), threading.Event())
    published = Published(facts, plan, coordinator)
    assert not published.failed, [job.failure for job in published.failed]
    write_playlists(published)
    return published


def test_the_parameter_sets_really_differ(film: Published) -> None:
    for row in film.plan.video:
        if film.plan.container == "cmaf":
            assert len(film.coordinator.inits[row.name]) == 2
        else:
            assert len({sets_of(path) for path in film.segments(row.name)}) == 2


def sets_of(segment: Path) -> bytes:
    """The parameter sets in front of the first picture, without what the encoder says of itself."""
    with av.open(str(segment), format="mpegts") as media:
        return bytes(media.streams.video[0].codec_context.extradata or b"")


def test_every_picture_is_there_once_and_at_its_time(film: Published, tmp_path: Path) -> None:
    for row in film.plan.video:
        with av.open(str(playlist(film, row.name)), options={"allowed_extensions": "ALL"}) as media:
            frames = list(media.decode(media.streams.video[0]))
            ticks = [round(float(frame.pts * frame.time_base) * CLOCK_HZ) for frame in frames]
        assert [number_on(frame) for frame in frames] == list(range(film.plan.total_frames)), row.name
        wanted = [round(n * CLOCK_HZ / film.plan.fps) for n in range(len(ticks))]
        assert all(abs(tick - ticks[0] - want) <= 1 for tick, want in zip(ticks, wanted, strict=True))


def test_neither_build_has_a_word_to_say(film: Published, ffmpeg_path: str, other_ffmpeg: str) -> None:
    for row in film.plan.video:
        for ffmpeg in (ffmpeg_path, other_ffmpeg):
            assert decoder_words(ffmpeg, playlist(film, row.name)) == "", (row.name, version(ffmpeg))


def test_it_follows_the_rules(film: Published) -> None:
    assert [str(finding) for finding in check(film.folder)] == []


def test_a_browser_plays_over_the_seams(film: Published, browser: Any) -> None:
    if film.plan.codecs == ("hevc",):
        pytest.skip("Chromium has no HEVC here")
    for level, row in enumerate(reversed(film.plan.video)):
        seen = watch(browser, film.folder, level=level)
        assert (seen.errors, seen.frames, seen.size) == ([], film.plan.total_frames, (row.width, row.height))
        assert len(seen.buffered) == 1
        assert seen.sound > 0


def playlist(film: Published, name: str) -> Path:
    return film.folder / playlist_name(film.plan.container, name)
