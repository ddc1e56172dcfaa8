"""Taking in what a worker finished: first the file, then the row, under the lease."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from unittest.mock import Mock

import pytest

from jobs.contract import LeaseLost, Refused, Slot
from jobs.layout import POSTER, STORYBOARD
from tests.contract.conftest import ENCODES, SOUND, segment_file
from tests.factories import events_of
from tests.services.shop import (
    attempt_of,
    cells_in,
    do_all,
    encode_of,
    film,
    hand_in,
    rendition_of,
    state_of,
    take,
)
from vlog_app.config import settings
from vlog_app.extensions import db
from vlog_app.models import Video
from vlog_app.services import checkpoints, queue
from vlog_app.services.events import EventKind

pytestmark = pytest.mark.usefixtures("database", "app")


def folder_of(video: Video) -> Path:
    return settings().videos_dir / video.slug


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


def test_a_segment_gets_its_file_and_its_row(tmp_path: Path) -> None:
    video = film()
    claim = take(ENCODES)
    facts, file = segment_file(tmp_path, claim, "360p", 1, "pictures")
    assert checkpoints.take_segment(claim, facts, file) is True
    assert (folder_of(video) / "360p_0001.ts").read_text() == "pictures"
    assert not file.exists()
    row = rendition_of(video, "360p")
    assert (row.done_segments, row.size_bytes, row.codecs) == (1, len("pictures"), "avc1.64001F")
    assert attempt_of(claim).segments_done == 1
    assert cells_in(video) == {("360p", 1)}


def test_a_segment_that_is_there_already_is_not_replaced(tmp_path: Path) -> None:
    video = film()
    claim = take(ENCODES)
    hand_in(claim, tmp_path, ("360p", 0))
    facts, file = segment_file(tmp_path, claim, "360p", 0, "others")
    assert checkpoints.take_segment(claim, facts, file) is False
    assert (folder_of(video) / "360p_0000.ts").read_text() == "360p-0"
    assert (rendition_of(video, "360p").done_segments, attempt_of(claim).segments_done) == (1, 1)


def test_a_file_left_by_a_crash_before_its_row_is_replaced(tmp_path: Path) -> None:
    video = film()
    folder_of(video).mkdir(parents=True)
    (folder_of(video) / "360p_0000.ts").write_text("half a")
    hand_in(take(ENCODES), tmp_path, ("360p", 0))
    assert (folder_of(video) / "360p_0000.ts").read_text() == "360p-0"


def test_a_segment_whose_row_was_not_written_is_still_its_workers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    video = film()
    claim = take(ENCODES)
    facts, file = segment_file(tmp_path, claim, "360p", 0, "pictures")
    with monkeypatch.context() as broken:
        broken.setattr(checkpoints, "update_viewable", Mock(side_effect=OSError("the database has gone")))
        with pytest.raises(OSError, match="has gone"):
            checkpoints.take_segment(claim, facts, file)
    assert (file.read_text(), cells_in(video)) == ("pictures", set())
    assert checkpoints.take_segment(claim, facts, file) is True
    assert (folder_of(video) / "360p_0000.ts").read_text() == "pictures"
    assert not file.exists()


@pytest.mark.parametrize(("name", "index"), [("360p", 2), ("360p", -1), ("audio", 0), ("../360p", 0)])
def test_what_is_not_of_the_job_is_refused_and_leaves_nothing(name: str, index: int, tmp_path: Path) -> None:
    video = film()
    claim = take(ENCODES)
    facts, file = segment_file(tmp_path, claim, "360p", 0)
    with pytest.raises(Refused):
        checkpoints.take_segment(claim, replace(facts, rendition=name, index=index), file)
    assert names_in(folder_of(video)) == []
    assert cells_in(video) == set()


def test_segments_of_one_rendition_must_decode_as_one_stream(tmp_path: Path) -> None:
    video = film()
    claim = take(ENCODES)
    hand_in(claim, tmp_path, ("360p", 0))
    facts, file = segment_file(tmp_path, claim, "360p", 1)
    with pytest.raises(Refused, match="does not join"):
        checkpoints.take_segment(claim, replace(facts, codecs="avc1.42001F"), file)
    assert names_in(folder_of(video)) == ["360p_0000.ts"]


def test_a_segment_after_a_lost_lease_changes_nothing(tmp_path: Path) -> None:
    video = film()
    claim = take(ENCODES)
    queue.release_job(claim)
    facts, file = segment_file(tmp_path, claim, "360p", 0)
    with pytest.raises(LeaseLost):
        checkpoints.take_segment(claim, facts, file)
    assert names_in(folder_of(video)) == []
    assert cells_in(video) == set()


def test_a_film_is_viewable_once_picture_and_sound_begin(tmp_path: Path) -> None:
    video = film()
    encodes, sound = take(ENCODES), take(SOUND)
    hand_in(encodes, tmp_path, ("360p", 0))
    assert state_of(video) == "processing"
    hand_in(sound, tmp_path, ("audio", 1))
    assert state_of(video) == "processing", "the beginning of the sound is not there"
    hand_in(sound, tmp_path, ("audio", 0))
    assert (state_of(video), encode_of(video).state) == ("viewable", "viewable")
    assert [event.kind for event in events_of(video)].count(EventKind.VIEWABLE) == 1


def test_a_film_without_sound_is_viewable_with_its_first_picture(tmp_path: Path) -> None:
    video = film(has_audio=False)
    hand_in(take(ENCODES), tmp_path, ("360p", 0))
    assert state_of(video) == "viewable"


def test_a_rendition_says_when_it_is_whole(tmp_path: Path) -> None:
    video = film()
    do_all(tmp_path, SOUND)
    whole = [event.data for event in events_of(video) if event.kind == EventKind.RENDITION]
    assert whole == [{"rendition": "audio"}]
    assert len([event for event in events_of(video) if event.kind == EventKind.SEGMENT]) == 10


def still(tmp_path: Path, name: str) -> Path:
    path = tmp_path / f"made-{name}"
    path.write_bytes(b"a picture")
    return path


def test_a_poster_gets_a_new_version(tmp_path: Path) -> None:
    video = film()
    claim = take(Slot("poster", (POSTER,)))
    for _ in range(2):
        checkpoints.take_still(claim, "thumbnail.jpg", still(tmp_path, "thumbnail.jpg"))
    assert names_in(folder_of(video)) == ["thumbnail.jpg"]
    assert db.session.get_one(Video, video.id, populate_existing=True).poster_version == 2


def test_a_storyboard_counts_when_its_index_is_in(tmp_path: Path) -> None:
    video = film()
    do_all(tmp_path, ENCODES)
    claim = take(Slot("storyboard", (STORYBOARD,)))
    checkpoints.take_still(claim, "storyboard_0.jpg", still(tmp_path, "0"))
    assert db.session.get_one(Video, video.id, populate_existing=True).storyboard_version == 0
    checkpoints.take_still(claim, "storyboard.vtt", still(tmp_path, "vtt"))
    assert db.session.get_one(Video, video.id, populate_existing=True).storyboard_version == 1


@pytest.mark.parametrize(
    "name",
    [
        "storyboard.vtt",
        "storyboard_0.jpg",
        "360p_0000.ts",
        "../thumbnail.jpg",
        "master.m3u8",
        "",
        "thumbnail.png",
    ],
)
def test_a_poster_job_may_hand_in_nothing_but_its_poster(name: str, tmp_path: Path) -> None:
    video = film()
    claim = take(Slot("poster", (POSTER,)))
    with pytest.raises(Refused):
        checkpoints.take_still(claim, name, still(tmp_path, "x"))
    assert names_in(folder_of(video)) == []


@pytest.mark.parametrize(
    "name", ["thumbnail.jpg", "storyboard_x.jpg", "storyboard_../0.jpg", "storyboard_.jpg"]
)
def test_a_storyboard_job_may_hand_in_nothing_but_its_sheets(name: str, tmp_path: Path) -> None:
    film()
    do_all(tmp_path, ENCODES)
    claim = take(Slot("storyboard", (STORYBOARD,)))
    with pytest.raises(Refused):
        checkpoints.take_still(claim, name, still(tmp_path, "x"))
