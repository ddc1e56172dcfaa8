"""Do sound and picture belong together, from the first second to the last? Measured by decoding what viewers get."""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

import pytest

from encoder.model import Container
from encoder.names import init_name, segment_name
from encoder.plan import Output
from encoder.verify import Sample, examine, sampled_segments, sound_start_s
from tests.conformance.sync import apart, beeps, flashes
from tests.films import join
from tests.hostile.clips import H264, Clips
from tests.media.published import Published, publish
from tests.media.test_conformance import later_by

pytestmark = pytest.mark.media

EVENTS = 9
SYNC_S = 0.020
RATES = {"25": 25, "30000/1001": 30}  # pictures a second -> pictures from one flash to the next
SOUNDS = {"AAC": ("mp4", "aac"), "PCM": ("mov", "pcm_s16le"), "Opus": ("mkv", "libopus")}


@dataclass(frozen=True, slots=True)
class Case:
    fps: str
    container: Container
    sound: str = "AAC"

    @property
    def period_s(self) -> Fraction:
        return RATES[self.fps] / Fraction(self.fps)


CASES = [
    *(Case(fps, container) for fps in RATES for container in ("ts", "cmaf")),  # type: ignore[arg-type]
    Case("30000/1001", "ts", "PCM"),
    Case("25", "cmaf", "Opus"),
]


def shoot(clips: Clips, case: Case) -> Path:
    """White and a tone for three pictures, again and again, first after a third of the period."""
    every, begin = RATES[case.fps], RATES[case.fps] // 3
    seconds = EVENTS * every / Fraction(case.fps)
    flash = f"geq=lum='if(lt(mod(N+{every - begin}\\,{every})\\,3)\\,235\\,16)':cb=128:cr=128"
    picture = f"color=black:s=214x120:r={case.fps}:d={float(seconds):.6f},{flash}"
    late, period = float(begin / Fraction(case.fps)), float(case.period_s)
    tone = f"sin(2*PI*1000*t)*gte(t\\,{late:.9f})*lt(mod(t-{late:.9f}\\,{period:.9f})\\,0.1)"
    suffix, codec = SOUNDS[case.sound]
    return clips.make(
        f"sync-{case.sound}-{every}.{suffix}",
        *(
            "-f",
            "lavfi",
            "-i",
            picture,
            "-f",
            "lavfi",
            "-i",
            f"aevalsrc='{tone}':s=48000:d={float(seconds):.6f}",
        ),
        *(*H264, "-c:a", codec),
    )


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.fps} {case.container} {case.sound}")
def test_each_flash_comes_with_its_beep(case: Case, clips: Clips, ffmpeg_path: str, tmp_path: Path) -> None:
    film = make(case, clips, ffmpeg_path, tmp_path)
    suffix = "ts" if case.container == "ts" else "mp4"
    heard = beeps(join(film.segments("audio"), tmp_path / f"sound.{suffix}"))
    for row in film.plan.video:
        seen = flashes(join(film.segments(row.name), tmp_path / f"picture.{suffix}"))
        between = apart(seen, heard)
        assert (len(seen), len(heard)) == (EVENTS, EVENTS)
        assert max(map(abs, between)) < SYNC_S, [round(each * 1000, 1) for each in between]
        assert max(between) - min(between) < 0.003, "they drift"


def make(case: Case, clips: Clips, ffmpeg: str, folder: Path) -> Published:
    output = Output(container=case.container)
    film = publish(ffmpeg, shoot(clips, case), folder, segment_s=2, chunk_s=4, output=output)
    assert not film.failed, [job.failure for job in film.failed]
    return film


# --- what is looked into before viewers get a film


@pytest.fixture(scope="module", params=["ts", "cmaf"])
def film(
    request: pytest.FixtureRequest, clips: Clips, ffmpeg_path: str, tmp_path_factory: pytest.TempPathFactory
) -> Published:
    return make(Case("30000/1001", request.param), clips, ffmpeg_path, tmp_path_factory.mktemp("sync"))


def sound_samples(film: Published) -> list[Sample]:
    """As publishing takes them, without the checksum that would tell of any change."""
    plan, row, found = film.plan, film.plan.audio[0], []
    for index in sampled_segments(plan):
        before = [film.coordinator.segments["audio", n].duration_s for n in range(index)]
        path = film.folder / segment_name(plan.container, "audio", index)
        sample = Sample("audio", index, str(path), sound_start_s(row, before))
        if plan.container == "cmaf":
            init = film.folder / init_name("audio", 0)
            sha256 = film.coordinator.segments["audio", index].init_sha256
            sample = replace(sample, init_path=str(init), init_sha256=sha256)
        found.append(sample)
    return found


def fragment_later_by(ticks: int) -> Callable[[bytes], bytes]:
    """All of a fragment of 48 kHz sound is due later, in ticks of 90 kHz."""

    def move(data: bytes) -> bytes:
        at = data.index(b"tfdt") + 4
        form = ">Q" if data[at] else ">I"
        (time,) = struct.unpack_from(form, data, at + 4)
        moved = struct.pack(form, time + round(ticks * 48_000 / 90_000))
        return data[: at + 4] + moved + data[at + 4 + len(moved) :]

    return move


@pytest.mark.parametrize("place", [0, 1, 2], ids=["start", "middle", "end"])
@pytest.mark.parametrize(("late_ms", "is_found"), [(19, False), (25, True), (-19, False), (-25, True)])
def test_sound_that_is_apart_at_one_place_alone_is_found_there(
    film: Published, tmp_path: Path, place: int, late_ms: int, is_found: bool
) -> None:
    samples = sound_samples(film)
    assert [sample.index for sample in samples] == [0, 2, 4]
    move = (fragment_later_by if film.plan.container == "cmaf" else later_by)(late_ms * 90)
    if film.plan.container == "cmaf" and place == 0 and late_ms < 0:
        pytest.skip("a fragment cannot be due before its film")
    moved = tmp_path / Path(samples[place].path).name
    moved.write_bytes(move(Path(samples[place].path).read_bytes()))
    samples[place] = replace(samples[place], path=str(moved))
    found = [(each.index, each.code) for answer in examine(samples, film.plan) for each in answer]
    assert found == ([(samples[place].index, "out_of_sync")] if is_found else [])
