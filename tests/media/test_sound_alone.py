"""Music and talk without a picture, the whole way: probe, plan, pipeline, playlists, poster."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import pytest

from encoder.errors import SourceUnreadable
from encoder.plan import Output
from encoder.probe import probe
from tests.conformance import check
from tests.conformance.sync import beeps
from tests.films import join
from tests.media.published import publish
from tests.media.scene import AAC, Kitchen, picture, sound

pytestmark = pytest.mark.media
SECONDS = 4.6  # four beeps, and no whole number of segments
TS_DELAY_S = 1.4  # of ffmpeg's MPEG-TS muxer
SYNC_S = 0.020
MP3 = ("-c:a", "libmp3lame", "-b:a", "128k")
OPUS = ("-c:a", "libopus")


@dataclass(frozen=True, slots=True)
class Recording:
    """What is written, and what must become of it. `rungs`: names of the rates, highest first."""

    name: str
    codec: tuple[str, ...]
    container: str
    rungs: tuple[str, ...]
    layout: str = "stereo"
    late_s: float = 0.0  # an encoder's delay that the file does not tell


RECORDINGS = (
    Recording("talk.mp3", MP3, "mp3", ("128k", "64k")),
    Recording(
        "vbr.mp3", ("-c:a", "libmp3lame", "-q:a", "4", "-write_xing", "0"), "mp3", ("64k",), late_s=0.025
    ),
    Recording("talk.m4a", (*AAC,), "mp4", ("64k",)),
    Recording("talk.mka", (*AAC,), "mkv", ("64k",)),
    Recording("mono.m4a", (*AAC,), "mp4", ("48k",), layout="mono"),
    Recording("talk.webm", (*OPUS, "-b:a", "160k"), "webm", ("192k", "128k", "64k")),
    Recording("talk.opus", (*OPUS, "-b:a", "96k"), "ogg", ("128k", "64k")),
    Recording("talk.ogg", ("-c:a", "libvorbis"), "ogg", ("128k", "64k")),
    Recording("talk.flac", ("-c:a", "flac"), "flac", ("128k", "64k")),
    Recording("mono.wav", ("-c:a", "pcm_s16le"), "wav", ("96k", "48k"), layout="mono"),
    Recording("surround.wav", ("-c:a", "pcm_s24le"), "wav", ("192k", "128k", "64k"), layout="5.1"),
    Recording("old.avi", MP3, "avi", ("128k", "64k"), late_s=0.025),
    Recording("talk.mov", ("-c:a", "pcm_s16be"), "mov", ("192k", "128k", "64k")),
    Recording("radio.ts", ("-c:a", "mp2", "-b:a", "192k"), "ts", ("192k", "128k", "64k")),
)


def record(kitchen: Kitchen, recording: Recording) -> Path:
    return kitchen.run(recording.name, *sound(SECONDS, layout=recording.layout), *recording.codec)


@pytest.mark.parametrize("recording", RECORDINGS, ids=lambda recording: recording.name)
def test_it_becomes_a_film_of_sound_alone(recording: Recording, kitchen: Kitchen, folder: Path) -> None:
    published = publish(kitchen.ffmpeg, record(kitchen, recording), folder)

    assert [(job.draft.kind, job.failure) for job in published.failed] == []
    assert published.source.container == recording.container
    assert not published.source.has_picture
    plan = published.plan
    assert (plan.fps, plan.segment_s, plan.video) == (Fraction(25), 1.0, ())
    assert tuple(row.name for row in plan.rungs) == recording.rungs
    assert plan.duration_s == pytest.approx(SECONDS, abs=0.08)
    assert [str(finding) for finding in check(folder)] == []
    heard = beeps(join(published.segments(plan.lowest.name), folder / "sound.ts"))
    assert heard == pytest.approx([TS_DELAY_S + recording.late_s + n for n in (1, 2, 3, 4)], abs=SYNC_S)
    assert published.coordinator.stills == ["thumbnail.jpg"]


def test_several_tracks_stay_selectable(kitchen: Kitchen, folder: Path) -> None:
    names = ("-metadata:s:a:0", "language=deu", "-metadata:s:a:1", "language=eng")
    both = kitchen.run(
        "two.mka", *sound(SECONDS), *sound(SECONDS, layout="stereo"), "-map", "0", "-map", "1", *AAC, *names
    )
    published = publish(kitchen.ffmpeg, both, folder)
    assert [(row.name, row.language) for row in published.plan.renditions] == [
        ("96k", "deu"),
        ("audio2", "eng"),
    ]
    assert [str(finding) for finding in check(folder)] == []
    master = (folder / "master.m3u8").read_text()
    assert 'NAME="Track 2",LANGUAGE="en",DEFAULT=NO' in master
    assert master.count("#EXT-X-STREAM-INF") == 1


def test_in_cmaf_the_rates_are_one_set_of_the_manifest(kitchen: Kitchen, folder: Path) -> None:
    published = publish(kitchen.ffmpeg, record(kitchen, RECORDINGS[0]), folder, output=Output("cmaf"))
    assert not published.failed
    assert [str(finding) for finding in check(folder)] == []
    manifest = (folder / "manifest.mpd").read_text()
    assert manifest.count("<AdaptationSet ") == 1
    assert re.findall(r'<Representation id="(\w+)"', manifest) == ["128k", "64k"]


def test_a_recorder_that_was_never_stopped_is_counted_through(kitchen: Kitchen) -> None:
    """What a browser's recorder writes: no duration."""
    path = kitchen.folder / "live.webm"
    argv = [kitchen.ffmpeg, "-v", "error", *sound(SECONDS), *OPUS, "-f", "webm", "-live", "1", "-"]
    with path.open("wb") as out:
        subprocess.run(argv, stdout=out, check=True, timeout=60)
    assert probe(path).duration_s == pytest.approx(SECONDS, abs=0.02)


def test_a_header_that_knows_only_its_first_part_is_not_believed(kitchen: Kitchen) -> None:
    """Two MP3 files in a row: the first one's header tells its own length."""
    once = record(kitchen, RECORDINGS[0])
    twice = kitchen.folder / "twice.mp3"
    twice.write_bytes(once.read_bytes() * 2)
    assert probe(twice).duration_s == pytest.approx(2 * SECONDS, abs=0.15)


def test_what_is_cut_off_is_refused_where_the_header_tells(kitchen: Kitchen) -> None:
    whole = record(kitchen, next(one for one in RECORDINGS if one.name == "talk.flac"))
    cut = kitchen.folder / "cut.flac"
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size // 4])
    with pytest.raises(SourceUnreadable) as refusal:
        probe(cut)
    assert refusal.value.code == "truncated_media"


def test_theora_in_ogg_is_a_film(kitchen: Kitchen, folder: Path) -> None:
    film = kitchen.run("film.ogv", *picture(), *sound(), "-c:v", "libtheora", "-c:a", "libvorbis")
    published = publish(kitchen.ffmpeg, film, folder)
    assert not published.failed
    assert published.source.has_picture
    assert [str(finding) for finding in check(folder)] == []


def moved_segment(folder: Path) -> None:
    """A segment of the lowest rate is another one."""
    (folder / "64k_0001.ts").write_bytes((folder / "64k_0002.ts").read_bytes())


def picture_promised(folder: Path) -> None:
    master = folder / "master.m3u8"
    master.write_text(master.read_text().replace('CODECS="', 'RESOLUTION=2x2,CODECS="'))


def other_codec(folder: Path) -> None:
    master = folder / "master.m3u8"
    master.write_text(master.read_text().replace("mp4a.40.2", "mp4a.40.5"))


@pytest.mark.parametrize(
    ("rule", "damage"),
    [("alignment", moved_segment), ("picture_promised", picture_promised), ("codecs", other_codec)],
)
def test_the_checker_finds_faults_in_sound_alone(
    rule: str, damage: Callable[[Path], None], kitchen: Kitchen, folder: Path
) -> None:
    publish(kitchen.ffmpeg, record(kitchen, RECORDINGS[0]), folder)
    damage(folder)
    assert rule in {finding.rule for finding in check(folder)}


# --- posters


def cover(kitchen: Kitchen, name: str, size: str, *codec: str) -> Path:
    """Red, with a green square in its middle."""
    art = f"color=red:s={size},drawbox=iw/2-ih/4:ih/4:ih/2:ih/2:green:fill"
    return kitchen.run(name, "-f", "lavfi", "-i", art, "-frames:v", "1", *codec)


def with_cover(kitchen: Kitchen, name: str, art: Path, *codec: str) -> Path:
    marks = ("-c:v", "copy", "-disposition:v", "attached_pic")
    return kitchen.run(name, *sound(SECONDS), "-i", str(art), "-map", "0", "-map", "1", *codec, *marks)


def colours(poster: Path) -> dict[str, tuple[int, int, int]]:
    with av.open(str(poster)) as media:
        frame = next(media.decode(video=0)).reformat(format="rgb24")
    assert (frame.width, frame.height) == (1280, 720)
    data, line = bytes(frame.planes[0]), frame.planes[0].line_size
    places = {"left": (20, 360), "middle": (640, 360), "above": (640, 60), "beside": (340, 360)}
    return {name: tuple(data[y * line + 3 * x : y * line + 3 * x + 3]) for name, (x, y) in places.items()}  # type: ignore[misc]


GROUND = pytest.approx((0x12, 0x39, 0x3A), abs=12)
RED, GREEN = pytest.approx((255, 0, 0), abs=25), pytest.approx((0, 128, 0), abs=25)


@pytest.mark.parametrize(
    ("name", "art", "codec"),
    [("cover.mp3", "png", MP3), ("cover.m4a", "jpg", AAC), ("cover.flac", "png", ("-c:a", "flac"))],
)
def test_the_cover_is_the_poster_and_is_not_stretched(
    name: str, art: str, codec: tuple[str, ...], kitchen: Kitchen, folder: Path
) -> None:
    song = with_cover(kitchen, name, cover(kitchen, f"square.{art}", "300x300"), *codec)
    assert probe(song).has_cover
    published = publish(kitchen.ffmpeg, song, folder)
    assert not published.failed
    seen = colours(folder / "thumbnail.jpg")
    assert (seen["left"], seen["beside"], seen["middle"], seen["above"]) == (GROUND, RED, GREEN, RED)


def test_without_cover_the_waveform_is_drawn(kitchen: Kitchen, folder: Path) -> None:
    assert not publish(kitchen.ffmpeg, record(kitchen, RECORDINGS[0]), folder).failed
    with av.open(str(folder / "thumbnail.jpg")) as media:
        frame = next(media.decode(video=0)).reformat(format="gray")
    row = bytes(frame.planes[0])[360 * frame.planes[0].line_size :][: frame.width]
    bars = sum(before < 110 <= after for before, after in pairwise(row))
    assert 4 <= bars <= 96


def test_a_cover_that_cannot_be_decoded_gives_way_to_the_waveform(kitchen: Kitchen, folder: Path) -> None:
    song = with_cover(kitchen, "broken.mp3", cover(kitchen, "noise.png", "64x64"), *MP3)
    data = bytearray(song.read_bytes())
    at = data.index(b"\x89PNG\r\n\x1a\n") + 8
    data[at : at + 60] = bytes(60)
    song.write_bytes(data)
    assert not publish(kitchen.ffmpeg, song, folder).failed
    assert colours(folder / "thumbnail.jpg")["left"] == GROUND
    assert (folder / "thumbnail.jpg").stat().st_size > 5000
