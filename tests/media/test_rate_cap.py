"""Hard films stay under their rungs' rates: no window of any length costs more than rate x time and one buffer."""

from __future__ import annotations

from pathlib import Path

import av
import pytest

from encoder.ladder import LADDER, Rung
from encoder.plan import Output
from encoder.rates import BUFFER_S
from tests.films import join
from tests.hostile.clips import Clips
from tests.media.published import Published, publish

pytestmark = pytest.mark.media

SMALL = (Rung("180p", 180, 400_000), Rung("90p", 90, 150_000))
CODECS = {
    "H.264 in MPEG-TS": Output(),
    "H.264 in CMAF": Output(container="cmaf"),
    "HEVC": Output(codec="hevc", h264_too=False),
    "AV1": Output(codec="av1", h264_too=False),
}


def hard(size: str, seconds: float) -> str:
    """Two seconds of noise, where nothing can be foretold, around each join of chunks; between them it moves a
    little, so that an encoder saves up for them.
    """
    noise = "noise=alls=70:allf=t:enable='lt(mod(t+1,12),2)'"
    return f"testsrc2=s={size}:r=25:d={seconds},{noise},format=yuv420p"


@pytest.fixture(scope="module")
def small(clips: Clips) -> Path:
    return clips.make("hard.mkv", "-f", "lavfi", "-i", hard("320x180", 36), "-c:v", "ffv1")


@pytest.mark.parametrize("codec", CODECS)
def test_no_window_of_a_hard_film_exceeds_its_rate_and_buffer(
    codec: str, small: Path, ffmpeg_path: str, tmp_path: Path
) -> None:
    film = publish(ffmpeg_path, small, tmp_path, ladder=SMALL, segment_s=6, chunk_s=12, output=CODECS[codec])
    check(film, tmp_path)


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("codec", CODECS)
def test_no_window_exceeds_the_real_ladder(
    codec: str, clips: Clips, ffmpeg_path: str, tmp_path: Path
) -> None:
    argv = ("-f", "lavfi", "-i", hard("1920x1080", 20), "-c:v", "mpeg4", "-q:v", "2")
    film = publish(
        ffmpeg_path,
        clips.make("hard1080.mkv", *argv),
        tmp_path,
        ladder=LADDER,
        segment_s=6,
        chunk_s=12,
        output=CODECS[codec],
    )
    check(film, tmp_path)


def check(film: Published, folder: Path) -> None:
    assert not film.failed, [job.failure for job in film.failed]
    worst = {}
    for row in film.plan.video:
        bits = picture_bits(join(film.segments(row.name), folder / f"joined.{film.plan.container}"))
        assert len(bits) == film.plan.total_frames
        burst = most_above(bits, row.max_bitrate_bps / float(film.plan.fps))
        worst[row.name] = round(burst / (BUFFER_S * row.max_bitrate_bps), 2)
        assert sum(bits) > 0.2 * row.max_bitrate_bps * film.plan.duration_s, (
            "not hard enough to test anything"
        )
    assert max(worst.values()) <= 1, f"parts of the buffer: {worst}"


def picture_bits(film: Path) -> list[int]:
    """In decoding order."""
    with av.open(str(film)) as media:
        return [packet.size * 8 for packet in media.demux(media.streams.video[0]) if packet.size]


def most_above(bits: list[int], per_picture: float) -> float:
    """The most that neighbouring pictures, however many, cost more than they may."""
    worst = current = 0.0
    for each in bits:
        current = max(0.0, current + each - per_picture)
        worst = max(worst, current)
    return worst


def test_the_worst_window_is_found() -> None:
    assert most_above([10, 10, 10], 10) == 0
    assert most_above([0, 30, 5, 20, 0], 10) == 25
