"""Rungs are made again in place, and only where something is missing or damaged."""

from __future__ import annotations

from pathlib import Path

import pytest

from jobs.contract import NOTHING_TO_REPORT
from jobs.layout import Priority
from jobs.states import IllegalMove
from tests.contract.conftest import ANY, ATLAS, ENCODES
from tests.factories import make_source, make_video
from tests.services.shop import (
    cells_in,
    do_all,
    encode_of,
    film,
    hand_in,
    rendition_of,
    state_of,
    take,
)
from tests.services.test_fail import FINAL
from vlog_app.config import settings
from vlog_app.extensions import db
from vlog_app.models import Video
from vlog_app.services import control, publish, queue
from vlog_app.services.playlists import load_availability, media_text
from vlog_app.services.repair import make_again

pytestmark = pytest.mark.usefixtures("database", "app")


@pytest.fixture
def ready(tmp_path: Path) -> Video:
    """1080p and below, all published."""
    video = make_video(source=make_source(seconds=60))
    source = settings().storage_path / video.source_path
    source.parent.mkdir(exist_ok=True)
    source.write_bytes(b"film")
    do_all(tmp_path)
    publish.publish_finished()
    assert state_of(video) == "ready"
    return video


def segment(video: Video, name: str, index: int) -> Path:
    return settings().videos_dir / video.slug / f"{name}_{index:04d}.ts"


def again(video: Video, *names: str, priority: Priority = Priority.NORMAL) -> list[str]:
    return make_again(encode_of(video).id, frozenset(names) or None, priority)


def test_a_film_that_is_whole_is_left_alone(ready: Video) -> None:
    assert again(ready) == []
    assert (state_of(ready), encode_of(ready).state) == ("ready", "done")
    assert queue.claim_next_job(ATLAS, ANY) is None


def test_what_is_missing_is_made_again_and_nothing_else(ready: Video, tmp_path: Path) -> None:
    segment(ready, "720p", 3).unlink()
    kept = segment(ready, "720p", 2).stat().st_mtime_ns
    assert again(ready, "720p") == ["720p"]
    claim = take(ENCODES)
    assert claim.missing() == {("720p", 3)}
    hand_in(claim, tmp_path)
    queue.finish_job(claim, NOTHING_TO_REPORT)
    publish.publish_finished()
    assert (state_of(ready), segment(ready, "720p", 3).is_file()) == ("ready", True)
    assert segment(ready, "720p", 2).stat().st_mtime_ns == kept
    row = rendition_of(ready, "720p")
    assert row.index is not None and len(row.index["sizes"]) == row.planned_segments == row.done_segments


def test_the_other_rungs_play_to_the_end_meanwhile(ready: Video) -> None:
    segment(ready, "720p", 3).unlink()
    again(ready)
    assert state_of(ready) == "viewable"
    made = load_availability(db.session(), ready)
    assert made is not None
    for name in ("1080p", "480p", "360p", "audio"):
        row = made.row(name)
        assert row is not None
        assert "#EXT-X-ENDLIST" in media_text(made, row, timeline=None), name
    broken = made.row("720p")
    assert broken is not None and "#EXT-X-ENDLIST" not in media_text(made, broken, timeline=None)


def test_a_segment_of_the_wrong_size_counts_as_missing(ready: Video) -> None:
    segment(ready, "360p", 0).write_bytes(b"cut")
    assert again(ready, "360p") == ["360p"]
    assert len(cells_in(ready)) == 10 * 5 - 1


def test_only_the_rungs_that_were_asked_for_are_made(ready: Video) -> None:
    segment(ready, "720p", 3).unlink()
    assert again(ready, "1080p") == []
    assert state_of(ready) == "ready"


def test_a_rung_the_film_does_not_have_cannot_be_made(ready: Video) -> None:
    with pytest.raises(IllegalMove, match="no 2160p"):
        again(ready, "2160p", "720p")


def test_without_its_source_nothing_is_begun(ready: Video) -> None:
    segment(ready, "720p", 3).unlink()
    (settings().storage_path / ready.source_path).unlink()
    with pytest.raises(IllegalMove, match="source"):
        again(ready)
    assert state_of(ready) == "ready"


def test_a_finished_film_plays_on_when_a_part_of_it_cannot_be_made_again(ready: Video) -> None:
    segment(ready, "720p", 3).unlink()
    again(ready)
    queue.fail_job(take(ENCODES), FINAL)
    assert encode_of(ready).state == "failed"
    assert state_of(ready) == "viewable"


def test_a_film_that_stopped_goes_on_at_the_wanted_priority(tmp_path: Path) -> None:
    video = film()
    hand_in(take(ENCODES), tmp_path)
    control.cancel_encode(encode_of(video).id)
    assert again(video, priority=Priority.HIGH) == ["360p", "audio"]
    assert (encode_of(video).state, encode_of(video).priority) == ("encoding", Priority.HIGH)
    assert cells_in(video) == {("360p", 0), ("360p", 1)}
