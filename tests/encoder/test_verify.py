"""Samples of a real film, whole and after somebody damaged them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from encoder import verify as room
from encoder.model import EncodePlan
from encoder.plan import make_plan
from encoder.segments import PACKET, measure
from encoder.verify import Finding, Sample, examine, sampled_segments, sound_start_s, verify
from tests.factories import make_source
from tests.films import numbered_film
from tests.media.studio import Studio


@pytest.mark.parametrize(
    ("seconds", "expected"), [(1, [0]), (7, [0, 1]), (18, [0, 1, 2]), (61, [0, 5, 10]), (3600, [0, 300, 599])]
)
def test_the_first_the_middle_and_the_last_segment_are_looked_into(
    seconds: float, expected: list[int]
) -> None:
    assert sampled_segments(make_plan(make_source(seconds=seconds))) == expected


def test_sound_is_due_one_packet_early_and_without_a_gap() -> None:
    row = make_plan(make_source(seconds=60)).audio[0]
    assert sound_start_s(row, []) == pytest.approx(-1024 / 48_000)
    assert sound_start_s(row, [6.0, 6.016]) == pytest.approx(12.016 - 1024 / 48_000)


@dataclass(frozen=True, slots=True)
class Made:
    """Two rungs and sound; segments of 2, 2 and 1 s."""

    plan: EncodePlan
    folder: Path

    def file(self, name: str, index: int) -> Path:
        return self.folder / f"{name}_{index:04d}.ts"

    def sample(self, name: str, index: int) -> Sample:
        row = self.plan.rendition(name)
        facts = [measure(self.file(name, n), self.plan, row, n) for n in range(index + 1)]
        start_s = float(self.plan.start_of(index))
        if not row.is_video:
            start_s = sound_start_s(row, [each.duration_s for each in facts[:index]])
        return Sample(name, index, str(self.file(name, index)), start_s, facts[index].sha256)

    def samples(self) -> list[Sample]:
        indexes = sampled_segments(self.plan)
        return [self.sample(row.name, index) for row in self.plan.renditions for index in indexes]


@pytest.fixture(scope="module")
def made(ffmpeg_path: str, tmp_path_factory: pytest.TempPathFactory) -> Made:
    studio = Studio(ffmpeg_path, tmp_path_factory.mktemp("studio"))
    source = numbered_film(ffmpeg_path, studio.root / "film.mp4", seconds=5, size="854x480", fps="25")
    return Made(studio.make(source).plan, studio.folder)


def codes(sample: Sample, plan: EncodePlan) -> list[str]:
    (findings,) = examine([sample], plan)
    assert all((finding.rendition, finding.index) == (sample.rendition, sample.index) for finding in findings)
    return [finding.code for finding in findings]


def flipped(path: Path, out: Path, part: float) -> str:
    """The same film with 64 bytes turned over, in the same size."""
    data = bytearray(path.read_bytes())
    at = int(len(data) * part)
    data[at : at + 64] = bytes(byte ^ 0x55 for byte in data[at : at + 64])
    out.write_bytes(data)
    return str(out)


@pytest.mark.media
def test_an_untouched_film_has_nothing_wrong(made: Made) -> None:
    assert len(made.samples()) == 9
    assert verify(made.samples(), made.plan) == []


@pytest.mark.media
@pytest.mark.parametrize("name", ["480p", "360p", "audio"])
@pytest.mark.parametrize("part", [0.0, 0.05, 0.5, 0.99])
def test_bytes_that_changed_are_found_wherever_they_are(
    made: Made, tmp_path: Path, name: str, part: float
) -> None:
    sample = made.sample(name, 1)
    damaged = replace(sample, path=flipped(made.file(name, 1), tmp_path / "x.ts", part))
    assert verify([sample, damaged], made.plan) == [
        Finding(
            name,
            1,
            "changed",
            f"Part 2 of {name} is damaged: its bytes are not those that were handed in.",
        )
    ]


@pytest.mark.media
def test_pictures_that_cannot_be_decoded_are_found_without_a_checksum(made: Made, tmp_path: Path) -> None:
    sample = replace(
        made.sample("360p", 0), path=str(scratched(made.file("360p", 0), tmp_path / "x.ts")), sha256=None
    )
    assert codes(sample, made.plan) == ["undecodable"]


@pytest.mark.media
def test_a_copied_picture_may_have_the_faults_of_its_source(made: Made, tmp_path: Path) -> None:
    """Encoding is judged strictly; what a camera wrote would be the same if it were copied again."""
    path = scratched(made.file("480p", 0), tmp_path / "x.ts")
    sample = replace(made.sample("480p", 0), path=str(path), sha256=None)
    copied, encoded = (with_top(made.plan, is_copy=is_copy) for is_copy in (True, False))
    assert (codes(sample, copied), codes(sample, encoded)) == ([], ["undecodable"])
    gone = replace(sample, path=str(made.file("audio", 0)))
    assert codes(gone, copied) == ["undecodable"]


def with_top(plan: EncodePlan, *, is_copy: bool) -> EncodePlan:
    top, *rest = plan.renditions
    return replace(plan, renditions=(replace(top, is_copy=is_copy), *rest))


def scratched(path: Path, out: Path) -> Path:
    """One byte of a picture's coded data changed in each of a few packets behind the first key frame."""
    data = bytearray(path.read_bytes())
    for packet in range(len(data) // PACKET // 20 * PACKET, len(data) // PACKET // 10 * PACKET, PACKET):
        data[packet + 100] ^= 0xFF
    out.write_bytes(data)
    return out


@pytest.mark.media
def test_a_segment_that_is_something_else_is_called_what_it_is(made: Made, tmp_path: Path) -> None:
    first, sound = made.sample("480p", 0), made.sample("audio", 0)
    nothing = tmp_path / "nothing.ts"
    nothing.write_bytes(b"")
    text = tmp_path / "text.ts"
    text.write_text("words")
    stray: dict[str, Sample] = {
        "picture_size": replace(first, path=str(made.file("360p", 0))),
        "timestamp": replace(first, path=str(made.file("480p", 1))),
        "out_of_sync": replace(sound, path=str(made.file("audio", 1))),
        "undecodable": replace(first, path=str(made.file("audio", 0))),
        "unreadable": replace(first, path=str(tmp_path / "gone.ts")),
    }
    for code, sample in stray.items():
        assert codes(replace(sample, sha256=None), made.plan) == [code]
    for path in (nothing, text):
        assert codes(replace(first, path=str(path), sha256=None), made.plan) == ["undecodable"]
        assert codes(replace(sound, path=str(path), sha256=None), made.plan) == ["undecodable"]


@pytest.mark.media
@pytest.mark.parametrize(
    ("late_s", "expected"), [(0.015, []), (0.025, ["out_of_sync"]), (-0.025, ["out_of_sync"])]
)
@pytest.mark.parametrize("index", [0, 1, 2])
def test_sound_may_be_20_ms_apart(made: Made, index: int, late_s: float, expected: list[str]) -> None:
    sample = made.sample("audio", index)
    assert codes(replace(sample, start_s=sample.start_s - late_s), made.plan) == expected


@pytest.mark.media
@pytest.mark.parametrize(("late_s", "expected"), [(0.0, []), (0.001, ["timestamp"])])
def test_a_picture_may_not_be_late_at_all(made: Made, late_s: float, expected: list[str]) -> None:
    sample = made.sample("360p", 2)
    assert codes(replace(sample, start_s=sample.start_s - late_s), made.plan) == expected


@pytest.mark.media
def test_sound_of_another_shape_is_found(made: Made) -> None:
    mono = tuple(replace(row, channels=2 if row.channels == 1 else 1) for row in made.plan.audio)
    plan = replace(made.plan, renditions=(*made.plan.video, *mono))
    assert codes(made.sample("audio", 0), plan) == ["sound_format"]


@pytest.mark.media
def test_a_sample_that_kills_the_decoder_is_blamed_and_the_rest_looked_into(
    made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The child reads a pipe that never ends, so it runs into its time; the sample after it is damaged too."""
    import os

    fifo = tmp_path / "endless.ts"
    os.mkfifo(fifo)
    monkeypatch.setattr(room, "TIMEOUT_S", 2.0)
    deadly = replace(made.sample("480p", 1), path=str(fifo))
    damaged = replace(made.sample("360p", 1), path=flipped(made.file("360p", 1), tmp_path / "x.ts", 0.5))
    findings = verify([made.sample("480p", 0), deadly, damaged, made.sample("audio", 0)], made.plan)
    assert [(each.rendition, each.index, each.code) for each in findings] == [
        ("480p", 1, "undecodable"),
        ("360p", 1, "changed"),
    ]
