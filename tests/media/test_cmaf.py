"""Films in CMAF, and in the newer codecs: exact like those in MPEG-TS, from the first try or after a crash."""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import replace
from itertools import product
from pathlib import Path

import pytest

from encoder.command import Work, video_command
from encoder.errors import OutputInvalid
from encoder.names import segment_name
from encoder.plan import Output, make_plan
from encoder.probe import probe
from encoder.process import Limits, run_to_end
from encoder.segments import measure
from encoder.verify import Sample, sampled_segments, sound_start_s, verify
from tests.conformance import check
from tests.films import audio_times, decoder_words, join, numbered_film, shown
from tests.media.published import TINY, Published, publish, write_playlists
from tests.media.studio import Studio, add_storyboard

pytestmark = pytest.mark.media

OUTPUTS = {
    "h264": Output(container="cmaf"),
    "hevc": Output(codec="hevc"),
    "av1": Output(codec="av1"),
    "hevc alone": Output(codec="hevc", h264_too=False),
}


@pytest.fixture(scope="module")
def source(ffmpeg_path: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five seconds at 29.97 pictures a second, each with its number on it."""
    return numbered_film(ffmpeg_path, tmp_path_factory.mktemp("film") / "film.mp4", seconds=5, size="320x180")


@pytest.fixture(scope="module", params=OUTPUTS, ids=str)
def film(
    request: pytest.FixtureRequest, source: Path, ffmpeg_path: str, tmp_path_factory: pytest.TempPathFactory
) -> Published:
    folder = tmp_path_factory.mktemp("cmaf")
    published = publish(ffmpeg_path, source, folder, output=OUTPUTS[request.param])
    assert not published.failed, [job.failure for job in published.failed]
    return published


def test_the_film_follows_the_rules(film: Published) -> None:
    assert [str(finding) for finding in check(film.folder)] == []


def test_every_picture_is_there_once_on_every_rung(film: Published, tmp_path: Path) -> None:
    for row in film.plan.video:
        found = shown(film.segments(row.name), tmp_path / "joined.mp4")
        assert found.numbers == list(range(film.plan.total_frames)), row.name
        assert [round(n * 90_000 / film.plan.fps) for n in range(len(found.times))] == found.times


def test_sound_goes_on_without_a_gap(film: Published, tmp_path: Path) -> None:
    times = audio_times(film.segments("audio"), tmp_path / "audio.mp4")
    assert times == [n * 1024 for n in range(len(times))]


def test_a_strict_decoder_has_nothing_to_say(film: Published, ffmpeg_path: str, tmp_path: Path) -> None:
    for row in film.plan.renditions:
        whole = join(film.segments(row.name), tmp_path / "joined.mp4")
        assert decoder_words(ffmpeg_path, whole) == "", row.name


def samples_of(film: Published) -> list[Sample]:
    """As publishing takes them: three of each rendition, with what was handed in."""
    found = []
    for row, index in product(film.plan.renditions, sampled_segments(film.plan)):
        before = [film.coordinator.segments[row.name, n].duration_s for n in range(index)]
        start_s = float(film.plan.start_of(index)) if row.is_video else sound_start_s(row, before)
        segment = film.coordinator.segments[row.name, index]
        init = film.folder / row.name / "init.mp4"
        path = film.folder / segment_name("cmaf", row.name, index)
        found.append(
            Sample(row.name, index, str(path), start_s, segment.sha256, str(init), segment.init_sha256)
        )
    return found


def test_samples_of_a_good_film_decode_at_their_time(film: Published) -> None:
    assert verify(samples_of(film), film.plan) == []


@pytest.mark.parametrize("shift_s", [-0.05, 0.05])
def test_sound_apart_from_the_picture_is_found(film: Published, shift_s: float) -> None:
    sounds = [
        replace(each, start_s=each.start_s + shift_s)
        for each in samples_of(film)
        if each.rendition == "audio"
    ]
    assert [finding.code for finding in verify(sounds, film.plan)] == ["out_of_sync"] * 3


def test_a_header_that_changed_on_the_disk_is_found(film: Published, tmp_path: Path) -> None:
    sample = next(each for each in samples_of(film) if each.rendition == film.plan.lowest.name)
    header = bytearray(Path(sample.init_path).read_bytes())
    header[-1] ^= 1
    (tmp_path / "init.mp4").write_bytes(header)
    damaged = replace(sample, init_path=str(tmp_path / "init.mp4"))
    assert [finding.code for finding in verify([damaged], film.plan)] == ["changed"]


def test_h264_is_the_lowest_rung_beside_a_newer_codec(source: Path, tmp_path: Path) -> None:
    plan = make_plan(probe(source), ladder=TINY, output=Output(codec="av1"))
    assert [row.name for row in plan.video] == ["120p-av1", "120p", "60p-av1", "60p"]
    assert plan.lowest.codec == "h264"


@pytest.mark.parametrize("codec", ["h264", "hevc", "av1"])
def test_what_a_crash_left_out_is_made_with_the_same_header(
    codec: str, source: Path, ffmpeg_path: str, tmp_path: Path
) -> None:
    output = replace(OUTPUTS[codec], h264_too=False)
    published = publish(ffmpeg_path, source, tmp_path / "film", output=output, chunk_s=0)
    row = published.plan.video[0]
    for path in published.segments(row.name)[3:]:
        del published.coordinator.segments[row.name, int(path.stem.removeprefix("seg_"))]
        path.unlink()
    again = replace(published.coordinator, jobs=[])
    Studio(ffmpeg_path, tmp_path).finish(again)
    assert len(again.inits[row.name]) == 1
    found = shown(published.segments(row.name), tmp_path / "joined.mp4")
    assert found.numbers == list(range(published.plan.total_frames))
    assert decoder_words(ffmpeg_path, tmp_path / "joined.mp4") == ""


def test_chunks_of_encoders_that_differ_bring_their_own_headers(
    source: Path, ffmpeg_path: str, tmp_path: Path
) -> None:
    """As when one host has another version: the playlist changes the header where the encoder changes."""
    published = publish(ffmpeg_path, source, tmp_path / "film", output=OUTPUTS["h264"])
    row, plan = published.plan.video[0], published.plan
    other = tmp_path / "other"
    other.mkdir()
    argv = video_command(ffmpeg_path, source, plan, Work({row.name: 2}, plan.segment_count), other)
    argv[argv.index("-crf") : argv.index("-crf")] = ["-refs", "3"]  # other parameter sets
    run_to_end(argv, Limits())
    coordinator = published.coordinator
    init = other / f"{row.name}_init.mp4"
    for index in range(2, plan.segment_count):
        segment = measure(other / f"{row.name}_{index:05d}.m4s", plan, row, index, init)
        shutil.copy(other / f"{row.name}_{index:05d}.m4s", published.segments(row.name)[index])
        coordinator.segments[row.name, index] = segment
        coordinator.keep_init(segment, init)
    assert len(coordinator.inits[row.name]) == 2
    write_playlists(published)
    assert [str(finding) for finding in check(published.folder)] == []
    text = (published.folder / row.name / "stream.m3u8").read_text()
    assert text.count("#EXT-X-MAP") == 2
    assert f'id="{row.name}"' not in (published.folder / "manifest.mpd").read_text()


def test_a_storyboard_is_made_of_segments_in_cmaf(source: Path, ffmpeg_path: str, tmp_path: Path) -> None:
    studio = Studio(ffmpeg_path, tmp_path)
    coordinator = studio.make(source, output=OUTPUTS["h264"])
    add_storyboard(coordinator)
    studio.finish(coordinator)
    assert "storyboard.vtt" in coordinator.stills


def test_a_fragment_in_the_wrong_place_is_refused(film: Published) -> None:
    row = film.plan.lowest
    init = film.folder / row.name / "init.mp4"
    with pytest.raises(OutputInvalid) as refused:
        measure(film.segments(row.name)[1], film.plan, row, 2, init)
    assert refused.value.code == "timestamp"


def test_a_cut_fragment_is_refused_wherever_it_is_cut(film: Published, tmp_path: Path) -> None:
    row = film.plan.lowest
    init, data = film.folder / row.name / "init.mp4", film.segments(row.name)[0].read_bytes()
    for length in (0, 1, 8, 100, 600, len(data) // 2, len(data) - 1):
        (tmp_path / "cut.m4s").write_bytes(data[:length])
        with pytest.raises(OutputInvalid):
            measure(tmp_path / "cut.m4s", film.plan, row, 0, init)


def test_a_player_of_dash_gets_every_picture_of_the_best_rung(film: Published, ffmpeg_path: str) -> None:
    argv = [ffmpeg_path, "-nostdin", "-v", "error", "-i", "manifest.mpd", "-map", "0:v:0", "-map", "0:a:0"]
    done = subprocess.run(
        [*argv, "-progress", "pipe:1", "-f", "null", "-"],
        cwd=film.folder,
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    frames = [int(count) for count in re.findall(r"^frame=(\d+)$", done.stdout, re.MULTILINE)]
    assert frames[-1] == film.plan.total_frames
    assert done.stderr == ""
