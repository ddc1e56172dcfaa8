"""Real segments, measured; and the same bytes after somebody dropped them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from encoder.errors import OutputInvalid
from encoder.model import EncodePlan, RenditionPlan
from encoder.segments import PACKET, measure, read_ts
from tests.films import numbered_film
from tests.media.studio import Studio

pytestmark = pytest.mark.media


@dataclass(frozen=True, slots=True)
class Made:
    """Three segments of pictures and of sound: 2 s, 2 s, 1 s."""

    plan: EncodePlan
    folder: Path

    @property
    def rung(self) -> RenditionPlan:
        return self.plan.lowest

    def file(self, name: str, index: int) -> Path:
        return self.folder / f"{name}_{index:04d}.ts"


@pytest.fixture(scope="module")
def made(ffmpeg_path: str, tmp_path_factory: pytest.TempPathFactory) -> Made:
    studio = Studio(ffmpeg_path, tmp_path_factory.mktemp("studio"))
    source = numbered_film(ffmpeg_path, studio.root / "film.mp4", seconds=5, size="854x480", fps="25")
    return Made(studio.make(source).plan, studio.folder)


def code_of(made: Made, path: Path, index: int, row: RenditionPlan | None = None) -> str:
    with pytest.raises(OutputInvalid) as refused:
        measure(path, made.plan, row or made.rung, index)
    return refused.value.code


@pytest.mark.parametrize(("index", "frames", "seconds"), [(0, 50, 2.0), (1, 50, 2.0), (2, 25, 1.0)])
def test_a_segment_is_what_its_plan_says(made: Made, index: int, frames: int, seconds: float) -> None:
    path = made.file("360p", index)
    segment = measure(path, made.plan, made.rung, index)
    assert (segment.rendition, segment.index, segment.frames) == ("360p", index, frames)
    assert segment.duration_s == seconds
    assert segment.size_bytes == path.stat().st_size
    assert segment.codecs.startswith("avc1.")


def test_sound_adds_up_to_the_length_of_the_film(made: Made) -> None:
    row = made.plan.audio[0]
    total = sum(measure(made.file("audio", n), made.plan, row, n).duration_s for n in range(3))
    assert total == pytest.approx(5, abs=0.1)


def test_a_segment_in_the_wrong_place_is_refused(made: Made) -> None:
    assert code_of(made, made.file("360p", 0), 1) == "timestamp"


def test_a_short_segment_in_the_place_of_a_long_one_is_refused(made: Made) -> None:
    assert code_of(made, made.file("360p", 2), 0) == "frame_count"


def test_a_cut_segment_is_refused_wherever_it_is_cut(made: Made, tmp_path: Path) -> None:
    """Also on a packet's edge, where it still looks like MPEG-TS."""
    data = made.file("360p", 0).read_bytes()
    cut = tmp_path / "cut.ts"
    for length in (0, 1, PACKET, len(data) // 2, len(data) // 2 // PACKET * PACKET, len(data) - 1):
        cut.write_bytes(data[:length])
        assert code_of(made, cut, 0) in ("not_mpegts", "empty_segment", "frame_count")


def test_pictures_are_not_taken_for_sound_nor_sound_for_pictures(made: Made) -> None:
    assert code_of(made, made.file("audio", 0), 0) in ("frame_count", "timestamp")


def test_damaged_sound_is_refused(made: Made, tmp_path: Path) -> None:
    data = bytearray(made.file("audio", 0).read_bytes())
    middle = len(data) // 2 // PACKET * PACKET
    for packet in range(middle, middle + 4 * PACKET, PACKET):  # more than one AAC packet, so a header is hit
        data[packet + 4 : packet + PACKET] = bytes(PACKET - 4)
    path = tmp_path / "damaged.ts"
    path.write_bytes(bytes(data))
    with pytest.raises(OutputInvalid):
        measure(path, made.plan, made.plan.audio[0], 0)


def test_both_rungs_call_themselves_what_their_bytes_say(made: Made) -> None:
    for row in made.plan.video:
        codecs = {read_ts(made.file(row.name, n).read_bytes()).codecs for n in range(3)}
        assert len(codecs) == 1
