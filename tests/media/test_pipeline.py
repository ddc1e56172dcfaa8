"""Real films through the real pipeline: every frame once, in its place, at its time."""

from __future__ import annotations

import threading
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import pytest

from encoder.command import CLOCK_HZ
from encoder.model import EncodePlan
from encoder.probe import probe
from encoder.segments import TS_DELAY
from jobs.contract import Slot
from jobs.layout import AUDIO, ENCODE
from jobs.states import JobState
from tests.films import audio_times, decoder_words, numbered_film, shown
from tests.media.studio import ATLAS, Studio

pytestmark = pytest.mark.media
ENCODES = Slot("encodes", (ENCODE,))


@pytest.fixture
def studio(ffmpeg_path: str, tmp_path: Path) -> Studio:
    return Studio(ffmpeg_path, tmp_path)


def film(studio: Studio, *, seconds: float = 9, size: str = "854x480", fps: str = "25") -> Path:
    return numbered_film(studio.ffmpeg, studio.root / "film.mp4", seconds=seconds, size=size, fps=fps)


def check_times(times: list[int], plan: EncodePlan) -> None:
    """Ticks of 90 kHz; a time between two ticks may be rounded either way."""
    wanted = [TS_DELAY + n / plan.fps * CLOCK_HZ for n in range(plan.total_frames)]
    assert len(times) == len(wanted)
    assert all(abs(got - want) <= 1 for got, want in zip(times, wanted, strict=True))


@pytest.mark.parametrize("fps", ["25", "30000/1001", "24000/1001"])
def test_no_frame_is_lost_doubled_or_moved_at_any_seam(studio: Studio, fps: str) -> None:
    plan = studio.make(film(studio, fps=fps)).plan
    assert plan.fps == Fraction(fps)
    assert plan.segment_count >= 4
    for row in plan.video:
        joined = studio.root / f"{row.name}.ts"
        found = shown(studio.files(plan, row.name), joined)
        assert found.numbers == list(range(plan.total_frames)), row.name
        check_times(found.times, plan)
        assert decoder_words(studio.ffmpeg, joined) == ""
    check_sound(studio, plan)


def check_sound(studio: Studio, plan: EncodePlan) -> None:
    joined = studio.root / "audio.ts"
    times = audio_times(studio.files(plan, "audio"), joined)
    gaps = [later - earlier for earlier, later in pairwise(times)]
    assert all(abs(gap - 1024) <= 1 for gap in gaps)
    assert abs(times[-1] / 48_000 - plan.duration_s) < 0.05
    assert decoder_words(studio.ffmpeg, joined) == ""


def test_a_film_held_upright_is_stored_upright(studio: Studio) -> None:
    lying = numbered_film(studio.ffmpeg, studio.root / "lying.mp4", seconds=3, size="640x360", fps="25")
    source = studio.shoot("upright.mp4", "-display_rotation", "90", "-i", str(lying), "-c", "copy")
    plan = studio.make(source).plan
    assert (plan.lowest.width, plan.lowest.height) == (360, 640)
    with av.open(str(studio.files(plan, "360p")[0])) as container:
        frame = next(container.decode(video=0))
        assert (frame.width, frame.height, frame.rotation) == (360, 640, 0)
    assert len(shown(studio.files(plan, "360p"), studio.root / "joined.ts").numbers) == 75


def test_a_film_without_sound_has_pictures_only(studio: Studio) -> None:
    source = studio.shoot("silent.mp4", "-i", str(film(studio, seconds=3)), "-an", "-c", "copy")
    coordinator = studio.make(source)
    assert coordinator.plan.audio == ()
    assert {name for name, _ in coordinator.segments} == {"480p", "360p"}
    numbers = shown(studio.files(coordinator.plan, "360p"), studio.root / "joined.ts").numbers
    assert numbers == list(range(75))


def test_a_film_with_a_variable_rate_shows_at_each_time_what_it_showed(studio: Studio) -> None:
    """Two of five frames are missing: each is replaced by the one before it, also behind a seam."""
    keep = r"select='lt(mod(n\,5)\,3)'"
    filters = ("-vf", keep, "-fps_mode", "vfr", "-c:v", "libx264", "-preset", "ultrafast", "-c:a", "copy")
    source = studio.shoot("vfr.mp4", "-i", str(film(studio)), *filters)
    assert probe(source).is_vfr
    plan = studio.make(source).plan
    assert plan.warmup_frames > 0
    found = shown(studio.files(plan, "360p"), studio.root / "joined.ts")
    check_times(found.times, plan)
    for n, number in enumerate(found.numbers):
        at = min(round(float(n / plan.fps) * 25), 224)
        before = at - max(0, at % 5 - 2)
        assert abs(number - before) <= 1 or number == min(before + 3, 222), (n, number, before)


def test_an_interlaced_film_is_made_progressive_without_losing_a_frame(studio: Studio) -> None:
    options = ("-vf", "setfield=tff", "-c:v", "libx264", "-flags", "+ildct+ilme", "-x264opts", "tff=1")
    source = studio.shoot("comb.mp4", "-i", str(film(studio, seconds=5)), *options, "-an")
    assert probe(source).is_interlaced
    plan = studio.make(source).plan
    assert plan.deinterlace
    with av.open(str(studio.files(plan, "480p")[-1])) as container:
        assert not any(frame.interlaced_frame for frame in container.decode(video=0))
    assert shown(studio.files(plan, "480p"), studio.root / "joined.ts").numbers == list(range(125))


def test_a_film_with_odd_sides_becomes_even(studio: Studio) -> None:
    picture = ("-f", "lavfi", "-i", "testsrc2=s=321x181:r=25:d=3", "-c:v", "ffv1", "-pix_fmt", "yuv444p")
    plan = studio.make(studio.shoot("odd.mkv", *picture)).plan
    assert (plan.lowest.width, plan.lowest.height) == (320, 180)
    assert len(shown(studio.files(plan, "360p"), studio.root / "joined.ts").times) == 75


def test_sound_that_goes_on_after_the_picture_is_heard_to_its_end(studio: Studio) -> None:
    inputs = ("-f", "lavfi", "-i", "testsrc2=s=320x180:r=25:d=3", "-f", "lavfi", "-i", "sine=r=48000:d=6")
    source = studio.shoot("long-sound.mp4", *inputs, "-c:v", "libx264", "-preset", "ultrafast", "-c:a", "aac")
    plan = studio.make(source).plan
    assert abs(plan.duration_s - 6) < 0.1
    assert len(shown(studio.files(plan, "360p"), studio.root / "joined.ts").times) == plan.total_frames
    check_sound(studio, plan)


def test_a_film_that_ends_before_it_said_keeps_everything_until_then(studio: Studio) -> None:
    """The plan promises twenty seconds; the file has nine."""
    source = film(studio)
    coordinator = studio.open(source)
    coordinator = type(coordinator)(
        promised(coordinator.plan, 20 * 25), source, studio.folder, chunk_s=0, max_attempts=1
    )
    studio.finish(coordinator)
    failed = [job for job in coordinator.jobs if job.state is JobState.FAILED]
    assert failed
    assert {job.failure.code for job in failed if job.failure} == {"source_ends_early"}
    assert {index for name, index in coordinator.segments if name == "360p"} >= {0, 1, 2, 3}


def promised(plan: EncodePlan, frames: int) -> EncodePlan:
    data = plan.to_json()
    return EncodePlan.from_json(data | {"total_frames": frames})


def test_a_worker_that_leaves_lets_the_running_segment_land(studio: Studio) -> None:
    coordinator = studio.open(film(studio, seconds=40, size="854x480"), chunk_s=0)
    while (bulk := coordinator.claim(ATLAS, ENCODES)) and bulk.chunk.count <= 2:
        studio.carry_out(bulk, coordinator)
    assert bulk is not None
    drain = threading.Event()
    drain.set()
    studio.carry_out(bulk, coordinator, drain)
    job = next(job for job in coordinator.jobs if job.id == bulk.job_id)
    landed = [index for name, index in coordinator.segments if index in bulk.chunk and name == "360p"]
    assert job.state is JobState.QUEUED
    assert 1 <= len(landed) < bulk.chunk.count
    assert job.attempts_used == 0


def test_the_next_worker_goes_on_where_each_rung_stands(studio: Studio) -> None:
    """One rung was a segment ahead when the first attempt ended."""
    coordinator = studio.open(film(studio, fps="30000/1001"), chunk_s=0)
    plan = coordinator.plan
    studio.finish(coordinator)
    kept = {path: path.stat().st_mtime_ns for path in studio.folder.glob("*.ts")}
    rungs = [row.name for row in plan.encoded]
    again = studio.open(studio.root / "film.mp4", chunk_s=0)
    gone = {(name, index) for name in rungs for index in range(3, plan.segment_count)} | {(rungs[-1], 2)}
    again.segments = {cell: facts for cell, facts in coordinator.segments.items() if cell not in gone}
    studio.finish(again)
    assert set(again.segments) == set(coordinator.segments)
    for name, index in coordinator.segments.keys() - gone:
        path = studio.folder / f"{name}_{index:04d}.ts"
        assert path.stat().st_mtime_ns == kept[path], f"{path.name} was made again"
    for name in rungs:
        found = shown(studio.files(plan, name), studio.root / "joined.ts")
        assert found.numbers == list(range(plan.total_frames)), name
        assert decoder_words(studio.ffmpeg, studio.root / "joined.ts") == ""


def test_sound_made_again_gives_the_same_bytes(studio: Studio) -> None:
    source = film(studio, seconds=5)
    facts = []
    for _ in range(2):
        coordinator = studio.open(source)
        claim = coordinator.claim(ATLAS, Slot("sound", (AUDIO,)))
        assert claim is not None
        studio.carry_out(claim, coordinator)
        facts.append({cell: segment.sha256 for cell, segment in coordinator.segments.items()})
    assert facts[0] == facts[1] != {}
