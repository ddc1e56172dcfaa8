"""What a growing master promises holds for everything that comes later (RFC 8216, 4.3.4.2)."""

from __future__ import annotations

from dataclasses import replace

import m3u8
import pytest

from encoder.ladder import Rung
from encoder.plan import Output
from encoder.playlist import peak_bps
from tests.hostile.clips import H264, Clips
from tests.media.published import Published, availability_of, publish
from vlog_app.services.playlists import Availability, Row, master_text

pytestmark = pytest.mark.media

# Black, then noise that needs several times the rate: the encoder saves up its buffer and spends it.
SUDDEN = "color=black:s=320x180:r=25:d=6,noise=alls=40:allf=t:enable='gt(t,3)'"
LOUD = "aevalsrc='if(gt(t\\,3)\\,random(0)*2-1\\,0)':s=48000:d=6"
LADDER = (Rung("180p", 180, 400_000), Rung("90p", 90, 100_000))


@pytest.fixture(scope="module", params=["ts", "cmaf"])
def film(
    request: pytest.FixtureRequest, clips: Clips, ffmpeg_path: str, tmp_path_factory: pytest.TempPathFactory
) -> Published:
    source = clips.make(
        "sudden.mp4", "-f", "lavfi", "-i", SUDDEN, "-f", "lavfi", "-i", LOUD, *H264, "-c:a", "aac"
    )
    folder = tmp_path_factory.mktemp("growing")
    output = Output(container=request.param)
    published = publish(ffmpeg_path, source, folder, ladder=LADDER, segment_s=1, output=output)
    assert not published.failed
    return published


def grown_to(made: Availability, count: int) -> Availability:
    rows = tuple(_first(row, count) for row in made.rows)
    return replace(made, rows=rows, is_whole=False)


def _first(row: Row, count: int) -> Row:
    def cut(values: dict[int, float]) -> dict[int, float]:
        return {index: value for index, value in values.items() if index < count}

    return replace(row, durations=cut(row.durations), sizes=cut(row.sizes), inits=cut(row.inits))  # type: ignore[arg-type]


def test_no_later_segment_needs_more_than_was_promised(film: Published) -> None:
    made = availability_of(film)
    sound = max(row.peak_bps for row in made.rows if row.rendition.kind == "audio")
    peaks = {row.rendition.name: row.peak_bps + sound for row in made.rows if row.rendition.kind == "video"}
    assert peaks["90p"] > 1.2 * LADDER[1].max_bitrate_bps, "the film is too easy to show anything"
    for count in range(2, film.plan.segment_count):
        master = m3u8.loads(master_text(grown_to(made, count), timeline=None))
        for variant in master.playlists:
            name = variant.uri.replace("/", ".").partition(".")[0]
            assert variant.stream_info.bandwidth >= peaks[name], (count, name)


def test_rungs_stay_within_what_their_buffer_allows(film: Published) -> None:
    """Elementary rates: the rung's rate and one buffer, over any time."""
    for row in film.plan.video:
        segments = [film.coordinator.segments[row.name, n] for n in range(film.plan.segment_count)]
        sizes = [(segment.duration_s, segment.size_bytes) for segment in segments]
        wrapping = 1.10 if film.plan.container == "ts" else 1.03
        assert peak_bps(sizes) <= row.max_bitrate_bps * 3 * wrapping
        total = sum(size for _s, size in sizes) * 8
        assert total <= (film.plan.duration_s + 2) * row.max_bitrate_bps * wrapping
