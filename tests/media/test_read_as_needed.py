"""A source that is fetched as ffmpeg reads it gives the same segments as a file, and a part fetches what it needs."""

from __future__ import annotations

import socket
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from encoder.command import Work, audio_command, copy_command, video_command
from encoder.errors import EncodeFailed
from encoder.inputs import Origin
from encoder.model import Chunk, EncodePlan
from encoder.plan import make_plan
from encoder.poster import peek_command
from encoder.probe import probe
from encoder.process import Limits, Process
from jobs.contract import Claim
from jobs.sources import Sources
from tests.films import numbered_film
from tests.jobs.source_lines import CountingLine

pytestmark = pytest.mark.media

SECONDS = 60.0
# For a tenth of its length: that tenth, the index, the first look, and a lead of 2 MiB. MPEG-TS has no index: its
# first and last megabytes are looked at as well, however long the film is.
MOST_OF_A_FILM, MOST_OF_A_STREAM = 0.25, 0.40

CONTAINERS = {
    "index in front.mp4": ("-movflags", "+faststart"),
    "index at the end.mp4": (),
    "matroska.mkv": (),
    "transport.ts": (),
    "quicktime.mov": (),
    "old.avi": (),
}


@pytest.fixture(scope="module")
def film(ffmpeg_path: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A minute of numbered pictures, 60 MB."""
    path = tmp_path_factory.mktemp("film") / "numbered.mp4"
    return numbered_film(ffmpeg_path, path, seconds=SECONDS, size="640x360", filled_to="8M")


@pytest.fixture(params=sorted(CONTAINERS))
def source(request: pytest.FixtureRequest, film: Path, ffmpeg_path: str, tmp_path: Path) -> Path:
    path = tmp_path / str(request.param)
    ask = [ffmpeg_path, "-nostdin", "-v", "error", "-i", str(film), "-c", "copy"]
    subprocess.run([*ask, *CONTAINERS[str(request.param)], str(path)], check=True, timeout=60)
    return path


@pytest.fixture
def sources(tmp_path: Path) -> Iterator[Sources]:
    sources = Sources(tmp_path / "films", 1 << 30, threading.Event())
    yield sources
    sources.close()


def claim_on(plan: EncodePlan) -> Claim:
    return Claim(1, "f" * 32, 60.0, 1, "encode", 1, plan, Chunk(0, plan.segment_count), ("360p",))


def middle(ffmpeg: str, origin: Origin, plan: EncodePlan, out: Path) -> dict[str, bytes]:
    """One segment of ten, from the middle."""
    return made(video_command(ffmpeg, origin, plan, Work({"360p": 5}, 6), out), out)


def made(argv: list[str], out: Path) -> dict[str, bytes]:
    out.mkdir(exist_ok=True)
    with Process(argv, Limits(), out) as process:
        while not process.wait(0.1):
            pass
    return {path.name: path.read_bytes() for path in sorted(out.iterdir()) if path.suffix != ".m3u8"}


def test_a_part_from_the_middle_is_the_same_and_fetches_little_more_than_itself(
    source: Path, sources: Sources, ffmpeg_path: str, tmp_path: Path
) -> None:
    plan = make_plan(probe(source))
    line = CountingLine(source.read_bytes())
    opened = sources.open(claim_on(plan), line)
    from_line = middle(ffmpeg_path, opened.address, plan, tmp_path / "line")
    assert list(from_line) == ["360p_00005.ts"]
    assert from_line == middle(ffmpeg_path, source, plan, tmp_path / "file")
    most = MOST_OF_A_STREAM if source.suffix == ".ts" else MOST_OF_A_FILM
    assert line.sent_bytes < most * len(line.data), f"{line.sent_bytes / len(line.data):.0%}"


def test_the_next_part_finds_what_the_one_before_it_has_fetched(
    film: Path, sources: Sources, ffmpeg_path: str, tmp_path: Path
) -> None:
    plan = make_plan(probe(film))
    line = CountingLine(film.read_bytes())
    opened = sources.open(claim_on(plan), line)
    out = tmp_path / "out"
    for index in (4, 5, 6):
        work = Work({"360p": index}, index + 1)
        made(video_command(ffmpeg_path, opened.address, plan, work, out), out)
    assert len(set(line.sent)) == len(line.sent), "something was fetched twice"
    assert line.sent_bytes < 0.45 * len(line.data)


def test_sound_posters_and_copies_read_the_same_too(
    film: Path, sources: Sources, ffmpeg_path: str, tmp_path: Path
) -> None:
    plan = make_plan(probe(film))
    sound = next(row for row in plan.renditions if row.kind == "audio")
    opened = sources.open(claim_on(plan), CountingLine(film.read_bytes()))
    results = []
    for name, origin in (("line", opened.address), ("file", film)):
        out = tmp_path / name
        files = made(audio_command(ffmpeg_path, origin, plan, sound, out), out)
        files |= made(copy_command(ffmpeg_path, origin, plan, plan.video[-1], out), out)
        files |= made(peek_command(ffmpeg_path, origin, plan, 0.5, out), out)
        results.append(files)
    assert results[0] == results[1]
    assert len(results[0]) > 20


def test_webm_reads_the_same(sources: Sources, ffmpeg_path: str, tmp_path: Path) -> None:
    path = tmp_path / "x.webm"
    ask = [ffmpeg_path, "-nostdin", "-v", "error", "-f", "lavfi", "-i", "testsrc2=s=320x180:r=30:d=20"]
    how = ["-c:v", "libvpx", "-deadline", "realtime", "-cpu-used", "8", "-b:v", "1M", "-g", "60"]
    subprocess.run([*ask, *how, str(path)], check=True, timeout=120)
    plan = make_plan(probe(path))
    opened = sources.open(claim_on(plan), CountingLine(path.read_bytes()))
    work = Work({plan.lowest.name: 2}, 3)
    from_line, from_file = (
        made(video_command(ffmpeg_path, origin, plan, work, tmp_path / name), tmp_path / name)
        for name, origin in (("line", opened.address), ("file", path))
    )
    assert from_line == from_file
    assert len(from_line) == 1


@pytest.mark.parametrize(
    "words",
    [
        "#EXTM3U\n#EXT-X-TARGETDURATION:6\n#EXTINF:6,\n{url}\n#EXT-X-ENDLIST\n",
        "#EXTM3U\n#EXTINF:6,\nfile:///etc/hostname\n#EXT-X-ENDLIST\n",
        "ffconcat version 1.0\nfile '{url}'\n",
        "ffconcat version 1.0\nfile 'file:/etc/hostname'\n",
    ],
)
def test_a_source_that_names_others_reaches_nobody(
    words: str, film: Path, sources: Sources, ffmpeg_path: str, tmp_path: Path
) -> None:
    plan = make_plan(probe(film))
    with socket.create_server(("127.0.0.1", 0)) as canary:
        canary.settimeout(0.2)
        url = f"http://127.0.0.1:{canary.getsockname()[1]}/x.ts"
        opened = sources.open(claim_on(plan), CountingLine(words.format(url=url).encode()))
        with pytest.raises(EncodeFailed):
            middle(ffmpeg_path, opened.address, plan, tmp_path / "out")
        with pytest.raises(TimeoutError):
            canary.accept()
