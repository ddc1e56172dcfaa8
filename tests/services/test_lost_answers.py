"""The database dies in the middle of a commit, and nobody knows whether it was done: both ways nothing is lost."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from flask import Flask
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from jobs.contract import LeaseLost, Unavailable
from jobs.states import AttemptOutcome
from tests.contract.conftest import ANY, ATLAS, must, segment_file
from tests.hostile.clips import Clips
from tests.services.shop import attempt_of, cells_in, do_all, film, hand_in, jobs_of, state_of, take
from tests.services.test_uploads import counted, start
from vlog_app.config import settings
from vlog_app.extensions import db
from vlog_app.local_coordinator import LocalCoordinator
from vlog_app.models import Video
from vlog_app.services import samples, uploads

LoseAnswer = Callable[[bool], None]


@pytest.fixture
def lose_answer(monkeypatch: pytest.MonkeyPatch) -> LoseAnswer:
    """The next commit ends in an error; True: it was done all the same."""

    def lose(is_committed: bool) -> None:
        commit = Session.commit

        def die(session: Session) -> None:
            monkeypatch.setattr(Session, "commit", commit)
            if is_committed:
                commit(session)
            raise OperationalError("COMMIT", {}, Exception("server closed the connection unexpectedly"))

        monkeypatch.setattr(Session, "commit", die)

    return lose


@pytest.fixture(params=[True, False], ids=["done", "not done"])
def is_committed(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


@pytest.fixture
def coordinator(app: Flask) -> LocalCoordinator:
    return LocalCoordinator(app)


def test_a_claim_is_the_same_lease_when_asked_again(
    coordinator: LocalCoordinator, lose_answer: LoseAnswer, is_committed: bool
) -> None:
    video = film(12.0)
    lose_answer(is_committed)
    with pytest.raises(Unavailable):
        coordinator.claim(ATLAS, ANY)
    claim = must(coordinator.claim(ATLAS, ANY))
    assert [job.lease_token for job in jobs_of(video) if job.lease_token] == [claim.token]
    other = must(coordinator.claim(ATLAS, ANY))
    assert (other.token, other.job_id) != (claim.token, claim.job_id)


def test_a_segment_is_in_its_place_with_its_row(
    coordinator: LocalCoordinator, lose_answer: LoseAnswer, is_committed: bool, tmp_path: Path
) -> None:
    video = film(12.0)
    claim = take()
    facts, file = segment_file(tmp_path, claim, "360p", 0)
    data = file.read_bytes()
    lose_answer(is_committed)
    assert coordinator.checkpoint(claim, facts, file) is not is_committed
    assert cells_in(video) == {("360p", 0)}
    assert (settings().videos_dir / video.slug / "360p_0000.ts").read_bytes() == data
    assert not file.exists()
    assert attempt_of(claim).segments_done == 1


def test_a_finished_job_is_finished_once_and_its_film_published(
    coordinator: LocalCoordinator,
    lose_answer: LoseAnswer,
    is_committed: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(samples, "verify", lambda _samples, _plan: [])
    video = film(12.0, has_audio=False)
    claim = take()
    hand_in(claim, tmp_path)
    do_all(tmp_path)
    lose_answer(is_committed)
    with expecting_lost_lease(is_committed):
        coordinator.finish(claim)
    assert attempt_of(claim).outcome == AttemptOutcome.FINISHED
    assert state_of(video) == "ready"


@contextmanager
def expecting_lost_lease(is_expected: bool) -> Iterator[None]:
    """The job is done, so its lease is over: the worker goes on to the next."""
    if not is_expected:
        yield
        return
    with pytest.raises(LeaseLost):
        yield


@pytest.mark.media
def test_an_upload_becomes_one_video_that_keeps_its_source(
    app: Flask, clips: Clips, lose_answer: LoseAnswer, is_committed: bool, storage: Path
) -> None:
    data = clips.mp4.read_bytes()
    upload_id = start(data)
    path = storage / "uploads" / ".incoming" / upload_id
    path.write_bytes(data)
    lose_answer(is_committed)
    with pytest.raises(OperationalError):
        uploads.finish_upload(upload_id)
    uploads.finish_upload(upload_id)
    uploads.expire_uploads()
    assert counted(Video) == 1
    video = db.session.scalars(db.select(Video)).one()
    assert (storage / video.source_path).read_bytes() == data
    assert [each.name for each in (storage / "uploads").iterdir() if each.is_file()] == [
        Path(video.source_path).name
    ]
    assert list(path.parent.iterdir()) == []


@pytest.mark.media
def test_an_upload_that_is_given_up_after_that_leaves_nothing(
    app: Flask, clips: Clips, lose_answer: LoseAnswer, storage: Path
) -> None:
    data = clips.mp4.read_bytes()
    upload_id = start(data)
    (storage / "uploads" / ".incoming" / upload_id).write_bytes(data)
    lose_answer(False)
    with pytest.raises(OperationalError):
        uploads.finish_upload(upload_id)
    assert uploads.discard(upload_id)
    assert [each for each in (storage / "uploads").rglob("*") if each.is_file()] == []
