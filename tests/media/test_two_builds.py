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

from encoder.ladder import Rung
from encoder.model import Codec, Container
from encoder.names import init_name
from encoder.plan import Output, make_plan
from encoder.probe import probe
from encoder.segments import TS_DELAY
from jobs.layout import ENCODE
from jobs.runner import Tools, run_claim
from jobs.testing import MemoryCoordinator
from jobs.worker import SLOTS
from tests.conformance import check
from tests.e2e.plain_player import watch
from tests.films import decoder_words, join, numbered_film, numbers_in, ticks
from tests.media.published import WORKER, Published, write_playlists

pytestmark = [pytest.mark.media, pytest.mark.browser]

LADDER = (
    Rung("120p", 120, 300_000),
    Rung("72p", 72, 150_000),
)  # older SVT-AV1 takes no picture below 64 lines
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
    plan = make_plan(facts, segment_s=1, ladder=LADDER, output=output)
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


def pieces(film: Published, name: str, folder: Path) -> list[Path]:
    """What a decoder gets at a time: all of it in MPEG-TS, in CMAF what stands behind one header."""
    files = film.segments(name)
    if film.plan.container == "ts":
        return [join(files, folder / f"{name}.ts")]
    made, inits = [], film.coordinator.inits[name]
    numbers = [inits.index(film.coordinator.segments[name, n].init_sha256) for n in range(len(files))]
    for number, run in itertools.groupby(zip(numbers, files, strict=True), key=lambda pair: pair[0]):
        header = film.folder / init_name(name, number)
        path = folder / f"{name}-{len(made)}.mp4"
        path.write_bytes(b"".join(part.read_bytes() for part in (header, *(file for _n, file in run))))
        made.append(path)
    return made


def test_every_picture_is_there_once_and_at_its_time(film: Published, tmp_path: Path) -> None:
    zero = TS_DELAY if film.plan.container == "ts" else 0
    wanted = [zero + ticks(n / film.plan.fps) for n in range(film.plan.total_frames)]
    for row in film.plan.video:
        numbers, times = [], []
        for piece in pieces(film, row.name, tmp_path):
            found = numbers_in(piece)
            numbers += found.numbers
            times += found.times
        assert (numbers, times) == (list(range(film.plan.total_frames)), wanted), row.name


def test_neither_build_has_a_word_to_say(
    film: Published, ffmpeg_path: str, other_ffmpeg: str, tmp_path: Path
) -> None:
    for row in film.plan.video:
        for piece in pieces(film, row.name, tmp_path):
            for ffmpeg in (ffmpeg_path, other_ffmpeg):
                assert decoder_words(ffmpeg, piece) == "", (row.name, version(ffmpeg))


def test_it_follows_the_rules(film: Published) -> None:
    assert [str(finding) for finding in check(film.folder)] == []


def test_a_browser_plays_over_the_seams(film: Published, browser: Any) -> None:
    if film.plan.codecs == ("hevc",):
        pytest.skip("Chromium has no HEVC here")
    for level, row in enumerate(reversed(film.plan.video)):
        seen = watch(browser, film.folder, level=level)
        assert (seen.errors, seen.size) == ([], (row.width, row.height))
        assert seen.frames - film.plan.total_frames in (
            0,
            1,
        )  # the one on show before it plays may come twice
        assert len(seen.buffered) == 1
        assert seen.sound > 0
