"""A worker that takes its jobs over HTTP and hears of them by Redis: neither database nor storage where it runs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import AppFactory
from tests.faults.conftest import state_of, upload
from tests.faults.remote import Elsewhere, elsewhere
from tests.faults.test_killed_worker import checkpoints, orphans, stop, wait_until
from tests.films import numbered_film
from tests.provision.redis import Redis
from vlog_app.config import settings
from vlog_app.extensions import db
from vlog_app.models import Attempt, Video, Worker
from vlog_app.services import wakeup

pytestmark = [pytest.mark.media, pytest.mark.timeout(420)]


@pytest.fixture(scope="module")
def film(ffmpeg_path: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two rungs, in three jobs of pictures and one of sound."""
    path = tmp_path_factory.mktemp("film") / "small.mp4"
    return numbered_film(ffmpeg_path, path, seconds=30, size="640x480")


@pytest.fixture
def place(mode: str, app_factory: AppFactory, own_redis: Redis, tmp_path: Path) -> Iterator[Elsewhere]:
    app = app_factory("cli", job_queue_mode=mode, redis_url=own_redis.url)
    with app.app_context(), elsewhere(settings(), tmp_path) as place:
        place.serve()
        yield place


def is_ready(video: Video) -> bool:
    """Messages that were lost are sent again by another process of the site."""
    wakeup.ring_again()
    return state_of(video) == "ready"


def has_come() -> bool:
    db.session.rollback()
    return db.session.scalar(db.select(db.func.count(Worker.id))) == 1


@pytest.mark.parametrize("mode", ["redis", pytest.param("hybrid", marks=pytest.mark.slow)])
def test_an_idle_worker_hears_of_a_film_and_makes_it(place: Elsewhere, film: Path, own_redis: Redis) -> None:
    worker = place.work("atlas", **hearing(place))
    wait_until(lambda: has_come() and own_redis.ask("EXISTS rq:workers") == ":1")
    video = upload(film, "numbers")
    wait_until(lambda: is_ready(video))
    stop(worker)
    assert worker.returncode == 0
    db.session.rollback()
    assert set(db.session.scalars(db.select(Attempt.outcome))) <= {"finished", "released"}
    assert orphans() == []


@pytest.mark.parametrize("mode", ["hybrid", pytest.param("redis", marks=pytest.mark.slow)])
def test_what_runs_goes_on_without_redis(place: Elsewhere, film: Path, own_redis: Redis) -> None:
    worker = place.work("atlas", **hearing(place))
    video = upload(film, "numbers")
    wait_until(lambda: len(checkpoints(video)) >= 2)
    own_redis.kill()
    had = len(checkpoints(video))
    wait_until(lambda: len(checkpoints(video)) > had or state_of(video) == "ready")
    own_redis.start()
    wait_until(lambda: is_ready(video))
    stop(worker)
    assert worker.returncode == 0


@pytest.mark.parametrize("mode", ["hybrid"])
@pytest.mark.parametrize(
    ("url", "why"), [("embedded", "beside the site only"), ("", "needs a Redis")], ids=["embedded", "none"]
)
def test_a_redis_that_it_cannot_have_is_a_sentence(
    place: Elsewhere, url: str, why: str, tmp_path: Path
) -> None:
    worker = place.work("atlas", **hearing(place) | {"redis_url": url})
    assert worker.wait(60) == 1
    said = (tmp_path / "atlas.log").read_text()
    assert why in said
    assert "Traceback" not in said


def hearing(place: Elsewhere) -> dict[str, str]:
    """A worker that looks at its queue by itself once an hour, if ever."""
    config = place.config
    return {
        "job_queue_mode": config.job_queue_mode,
        "redis_url": config.redis_url,
        "worker_poll_interval": "3600",
    }
