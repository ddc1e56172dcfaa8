"""Ten hours: probed at once, planned, encoded in its pieces, and as exact at the end as at the beginning."""

from __future__ import annotations

from pathlib import Path

import pytest

from encoder.ladder import Rung
from tests.conformance import check
from tests.films import decoder_words
from tests.hostile.clips import Clips
from tests.media.published import publish

pytestmark = [pytest.mark.media, pytest.mark.slow, pytest.mark.timeout(1800)]
HOURS, FPS = 10, 5


def test_ten_hours_are_ten_hours_on_every_rung(clips: Clips, ffmpeg_path: str, tmp_path: Path) -> None:
    minute = clips.make(
        "minute.mp4",
        *("-f", "lavfi", "-i", f"testsrc2=s=64x36:r={FPS}:d=60", "-f", "lavfi", "-i", "sine=r=8000:d=60"),
        *("-c:v", "libx264", "-preset", "ultrafast", "-g", "7", "-c:a", "aac", "-b:a", "16k"),
    )
    loops = HOURS * 60 - 1
    film = clips.make(
        "ten-hours.mp4", "-stream_loop", str(loops), "-i", str(minute), "-c", "copy", "-t", "36000"
    )
    made = publish(ffmpeg_path, film, tmp_path, ladder=(Rung("36p", 36, 50_000),), segment_s=6, chunk_s=3600)
    assert not made.failed, [job.failure for job in made.failed]
    assert made.plan.duration_s == pytest.approx(HOURS * 3600, abs=1)
    # Sixty times a minute that ends between two frames of sound is a little more than an hour.
    assert made.plan.segment_count in (HOURS * 600, HOURS * 600 + 1)
    assert [str(finding) for finding in check(tmp_path, copied=[row.name for row in made.plan.copied])] == []
    for name in ("36p", "audio"):
        assert decoder_words(ffmpeg_path, tmp_path / f"{name}.m3u8") == ""
