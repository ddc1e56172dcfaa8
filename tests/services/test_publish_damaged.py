"""A segment that was damaged after it was handed in never reaches viewers: it is made again, and not for ever."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from flask import Flask
from sqlalchemy import select

from encoder.probe import probe
from encoder.verify import Finding
from jobs.contract import Slot
from jobs.kinds.stills import CANDIDATES, POSTER
from jobs.runner import KINDS, Tools, run_claim
from jobs.states import AttemptOutcome, JobState
from tests.conftest import AppFactory
from tests.contract.conftest import ATLAS
from tests.factories import events_of, make_video
from tests.films import numbered_film
from tests.services.shop import do_all, encode_of, film, jobs_of, state_of
from vlog_app.config import settings
from vlog_app.extensions import db
from vlog_app.local_coordinator import LocalCoordinator
from vlog_app.models import Attempt, Segment, Video
from vlog_app.services import control, publish, samples
from vlog_app.services.events import EventKind

pytestmark = pytest.mark.usefixtures("database", "app")


@pytest.fixture
def app(app_factory: AppFactory) -> Iterator[Flask]:
    app = app_factory("cli", hls_segment_duration=2)
    with app.app_context():
        yield app


@pytest.fixture(scope="module")
def source(ffmpeg_path: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("source") / "film.mp4"
    return numbered_film(ffmpeg_path, path, seconds=5, size="854x480", fps="25")


@pytest.fixture
def video(source: Path) -> Video:
    video = make_video(source=probe(source))
    target = settings().storage_path / video.source_path
    target.parent.mkdir(exist_ok=True)
    target.write_bytes(source.read_bytes())
    return video


def work(app: Flask, ffmpeg: str, folder: Path) -> None:
    """A worker's loop until the queue is empty."""
    coordinator = LocalCoordinator(app)
    while claim := coordinator.claim(ATLAS, Slot("every", tuple(KINDS))):
        run_claim(claim, coordinator, Tools(ffmpeg=ffmpeg, work_root=folder), threading.Event())


class Gremlin:
    """Turns some bytes of a file over before somebody looks whether all is done; the file keeps its size."""

    def __init__(self, path: Path, times: int, monkeypatch: pytest.MonkeyPatch) -> None:
        self.path, self.left, self.damaged = path, times, b""
        self.publish_finished = publish.publish_finished
        monkeypatch.setattr(publish, "publish_finished", self)

    def __call__(self) -> int:
        if self.left and self.path.exists() and self.path.read_bytes() != self.damaged:
            data = bytearray(self.path.read_bytes())
            middle = len(data) // 2
            data[middle : middle + 32] = bytes(byte ^ 0xFF for byte in data[middle : middle + 32])
            self.damaged = bytes(data)
            self.path.write_bytes(self.damaged)
            self.left -= 1
        return self.publish_finished()


@pytest.mark.media
@pytest.mark.parametrize("name", ["360p_0000.ts", "360p_0001.ts", "audio_0002.ts"])
def test_flipped_bytes_are_found_and_the_segment_is_made_again(
    app: Flask, video: Video, ffmpeg_path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    gremlin = Gremlin(settings().videos_dir / video.slug / name, 1, monkeypatch)
    work(app, ffmpeg_path, tmp_path / "work")
    assert gremlin.left == 0, "nothing was damaged"
    assert state_of(video) == "ready"
    assert gremlin.path.read_bytes() != gremlin.damaged
    assert encode_of(video).state == "done"
    assert max(finishes(video).values()) == 2
    assert sum(finishes(video).values()) == len(jobs_of(video)) + 1


@pytest.mark.media
def test_a_segment_that_is_damaged_twice_ends_the_encode_with_a_sentence(
    app: Flask, video: Video, ffmpeg_path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gremlin = Gremlin(settings().videos_dir / video.slug / "360p_0000.ts", 2, monkeypatch)
    work(app, ffmpeg_path, tmp_path / "work")
    encode = encode_of(video)
    assert (state_of(video), encode.state, encode.error_code) == ("failed", "failed", "output_damaged")
    assert encode.error_message == (
        "Part 1 of 360p is damaged: its bytes are not those that were handed in. "
        "Making it again did not help. Everything else is kept; try again."
    )
    assert [event.kind for event in events_of(video)].count(EventKind.FAILED) == 1
    assert JobState.QUEUED not in {job.state for job in jobs_of(video)}
    control.retry_encode(encode.id)
    work(app, ffmpeg_path, tmp_path / "work")
    assert state_of(video) == "ready"
    assert gremlin.path.read_bytes() != gremlin.damaged


@pytest.mark.media
def test_an_untouched_film_is_made_once(app: Flask, video: Video, ffmpeg_path: str, tmp_path: Path) -> None:
    work(app, ffmpeg_path, tmp_path / "work")
    assert state_of(video) == "ready"
    assert set(finishes(video).values()) == {1}
    folder = settings().videos_dir / video.slug
    assert all((folder / name).is_file() for name in (POSTER, *CANDIDATES))


def finishes(video: Video) -> dict[int, int]:
    """How often each job was done to its end."""
    ids = [job.id for job in jobs_of(video)]
    done = select(Attempt.job_id).where(Attempt.job_id.in_(ids), Attempt.outcome == AttemptOutcome.FINISHED)
    found = list(db.session.scalars(done))
    return {job_id: found.count(job_id) for job_id in ids}


def test_what_another_worker_made_in_the_meantime_is_not_thrown_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two publishers look at the same damage; the slower one must not judge what the faster one had made again."""
    video = film()
    do_all(tmp_path)
    damage = [Finding("360p", 3, "changed", "Part 4 of 360p is damaged.")]

    def slow(_samples: object, _plan: object) -> list[Finding]:
        monkeypatch.setattr(samples, "verify", lambda _samples, _plan: damage)
        assert publish.publish_finished() == 0
        do_all(tmp_path)
        return damage

    monkeypatch.setattr(samples, "verify", slow)
    assert publish.publish_encode(encode_of(video).id) is False
    assert encode_of(video).state == "viewable"
    assert len(db.session.scalars(select(Segment)).all()) == 60
    monkeypatch.setattr(samples, "verify", lambda _samples, _plan: [])
    assert publish.publish_finished() == 1


def test_damage_in_a_cancelled_encode_queues_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    video = film()
    do_all(tmp_path)
    damage = [Finding("360p", 3, "changed", "Part 4 of 360p is damaged.")]

    def cancelled(_samples: object, _plan: object) -> list[Finding]:
        control.cancel_encode(encode_of(video).id)
        return damage

    monkeypatch.setattr(samples, "verify", cancelled)
    assert publish.publish_finished() == 0
    assert state_of(video) == "failed"
    assert {job.state for job in jobs_of(video)} == {JobState.DONE}
