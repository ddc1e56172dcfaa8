"""What becomes of every kind of source plays in a real browser, from its first picture to its last."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from encoder.ladder import Rung
from encoder.model import Container
from encoder.plan import Output
from tests.e2e.plain_player import watch
from tests.media.published import publish
from tests.media.scene import Kitchen
from tests.media.sources import FILMS, Film

pytestmark = [pytest.mark.browser, pytest.mark.media, pytest.mark.slow]
LADDER = (Rung("90p", 90, 400_000), Rung("48p", 48, 200_000))
LEAST_S = 0.1
EDGE_S = 0.1  # MPEG-TS begins with the delay of reordered pictures; sound is cut in packets


@pytest.fixture(scope="module")
def kitchen(ffmpeg_path: str, tmp_path_factory: pytest.TempPathFactory) -> Kitchen:
    return Kitchen(ffmpeg_path, tmp_path_factory.mktemp("sources"))


@pytest.mark.parametrize("container", ["ts", "cmaf"])
@pytest.mark.parametrize(
    "film", [film for film in FILMS if not film.expected.code], ids=lambda film: film.name
)
def test_it_plays_to_its_end(
    film: Film, container: Container, kitchen: Kitchen, browser: Any, tmp_path: Path
) -> None:
    output = Output(container=container)
    published = publish(kitchen.ffmpeg, film.make(kitchen), tmp_path, ladder=LADDER, output=output)
    assert not published.failed, [job.failure for job in published.failed]
    plan = published.plan
    if plan.audio and plan.duration_s < LEAST_S:
        pytest.skip("hls.js 1.7.4 shows it, but never ends switching to a sound that short: no end comes")
    seen = watch(browser, tmp_path)
    assert seen.errors == []
    assert seen.frames - plan.total_frames in (0, 1)  # the one on show before it plays may come twice
    assert seen.size in {
        (row.width, row.height) for row in plan.video
    }  # which of two tiny rungs is lower is open
    assert len(seen.buffered) == 1, seen.buffered
    assert seen.buffered[0] == pytest.approx([0, plan.duration_s], abs=EDGE_S)
    assert (seen.sound > 0) is bool(plan.audio)
