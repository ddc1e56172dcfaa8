"""Parts of a site die at random moments, while films come in, are encoded and are looked at; then nothing is missing.

`STORM=60 ./test -m slow tests/faults/test_storm.py` for sixty faults in each place; SEED=n for other moments.
"""

from __future__ import annotations

import logging
import os
import random
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from tests.conftest import dispose
from tests.faults.aftermath import assert_nothing_lost, is_over, processes_about
from tests.faults.conftest import plan_of
from tests.faults.owner import Owner
from tests.faults.remade import Remade
from tests.faults.storm import COSTLY, SHORT_LEASE_S, Place, place_of, plan_storm, wait_until
from tests.faults.visitors import Listener, Sender, Visitor
from tests.provision.postgres import Cluster
from tests.provision.redis import Redis
from vlog_app import create_app
from vlog_app.config import Settings
from vlog_app.extensions import db
from vlog_app.models import Attempt, Encode, Job, Rendition, Video

logger = logging.getLogger(__name__)

MANY = int(os.environ.get("STORM", "40"))
SEED = int(os.environ.get("SEED", "20261126"))
PATIENCE_S = 400.0
DATABASE = ("postmaster", "cluster", "hang")
PROGRAMS = ("ffmpeg", "worker", "web_worker", "web", "scheduler", "supervisor")
#: A segment may be closed and not yet taken when its worker dies, and the next one just begun.
BEGUN = 0.25

pytestmark = [pytest.mark.media, pytest.mark.timeout(420)]


@pytest.fixture(scope="module")
def film(short_film: Path) -> Path:
    return short_film


@pytest.fixture
def folder() -> Iterator[Path]:
    """With a name that no other program knows, to find those that were left."""
    folder = Path(tempfile.mkdtemp(prefix="vlog-storm-", dir="/tmp"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


def test_postgresql_dies_and_hangs_under_a_site_and_a_remote_worker(
    film: Path, cluster: Cluster, folder: Path, ffmpeg_path: str
) -> None:
    with cluster.postgres.database() as url:
        with place_of(folder, random.Random(SEED), postgres=(cluster, url), has_remote=True) as place:
            statuses = weather(place, film, ["cluster", "hang", "postmaster"], ffmpeg_path, url)
        assert statuses[503] > 0, "nobody noticed"
        assert statuses[0] == 0, "a question was left without an answer"


def test_programs_die_one_after_the_other_on_the_embedded_database(
    film: Path, folder: Path, ffmpeg_path: str
) -> None:
    dice = random.Random(SEED)
    with place_of(folder, dice) as place:
        weather(place, film, plan_storm(dice, PROGRAMS, len(PROGRAMS)), ffmpeg_path)
        assert place.done == Counter(PROGRAMS)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_many_deaths_of_everything_on_postgresql_with_redis(
    film: Path, cluster: Cluster, own_redis: Redis, folder: Path, ffmpeg_path: str
) -> None:
    dice = random.Random(SEED + 1)
    faults = (*DATABASE, *PROGRAMS, "sleep", "remote", "cut", "redis", "cut_remote", "hung_worker")
    with (
        cluster.postgres.database() as url,
        place_of(
            folder, dice, redis=own_redis, postgres=(cluster, url), has_remote=True, lease_s=SHORT_LEASE_S
        ) as place,
    ):
        weather(place, film, plan_storm(dice, faults, MANY), ffmpeg_path, url)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_many_deaths_of_everything_on_the_embedded_database(
    film: Path, folder: Path, ffmpeg_path: str
) -> None:
    dice = random.Random(SEED + 2)
    faults = (*PROGRAMS, "sleep", "remote", "cut", "cut_remote")
    with place_of(folder, dice, has_remote=True, lease_s=SHORT_LEASE_S) as place:
        weather(place, film, plan_storm(dice, faults, MANY), ffmpeg_path)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_many_deaths_of_postgresql_alone_cost_no_encoding(
    film: Path, cluster: Cluster, folder: Path, ffmpeg_path: str
) -> None:
    dice = random.Random(SEED + 3)
    with (
        cluster.postgres.database() as url,
        place_of(folder, dice, postgres=(cluster, url), has_remote=True) as place,
    ):
        statuses = weather(place, film, plan_storm(dice, DATABASE, MANY), ffmpeg_path, url)
        assert statuses[0] == 0, "a question was left without an answer"


def weather(
    place: Place, film: Path, faults: list[str], ffmpeg: str, database_url: str | None = None
) -> Counter[int]:
    """The storm from its first fault to the checks behind it. Returns how often visitors got which status; 0 is none.

    A film is being encoded and another comes in while things die; when there is time left, more films come.
    """
    storage = place.site.storage
    remade = Remade([storage / ".work", place.folder / "remote"])
    films, senders = {}, []
    with Guests(place) as visitor:
        films[send_first(place, film)] = film
        waiting = list(faults)
        while waiting:
            sender = Sender(
                place.site.admin_url, place.site.secret, film, f"Film {len(senders)}", pause_s=0.15
            )
            senders.append(sender)
            sender.start()
            for fault in [waiting.pop(0) for _ in range(min(6, len(waiting)))]:
                place.strike(fault)
            sender.join()
            films[sender.slug] = film
        config = Settings(storage_path=storage, **({"database_url": database_url} if database_url else {}))
        app = create_app(config, surface="cli")
        with app.app_context():
            wait_until(is_over, f"something is stuck after {place.done}:\n{place.said()[-6000:]}", PATIENCE_S)
    place.end()
    remade.end()
    with app.app_context():
        said = place.said()
        assert processes_about(place.folder) == {}, "a process was left behind"
        assert visitor.unplanned == [], visitor.unplanned[:5]
        assert unplanned_in(said) == []
        assert_nothing_lost(films, ffmpeg, place.folder)
        assert remade.seen > 0
        check_remade(remade, place)
        stumbles = [dict(sender.stumbles) for sender in senders]
        logger.info("%s; visitors %s; senders %s", dict(place.done), dict(visitor.statuses()), stumbles)
    dispose(app)
    return visitor.statuses()


def send_first(place: Place, film: Path) -> str:
    with httpx2.Client(timeout=60) as http:
        owner = Owner(place.site, http)
        slug = owner.upload(film, "First")
        owner.until_begun(slug)
        return slug


def unplanned_in(said: str) -> list[str]:
    """A worker says how its job failed; nobody else has anything to explain."""
    lines = said.splitlines()
    return [
        "\n".join(lines[number : number + 60])
        for number, line in enumerate(lines)
        if "Traceback" in line and not line.startswith("worker ")
    ]


class Guests:
    """A visitor and an open live page for the length of a block."""

    def __init__(self, place: Place) -> None:
        site = place.site
        pages = ["/", "/api/videos", "/api/health"]
        self.visitor = Visitor(
            [
                *(f"{site.public_url}{page}" for page in ("/", "/api/health")),
                *(f"{site.admin_url}{page}" for page in pages),
                f"{site.worker_api_url}/api/health",
            ],
            {"X-Admin-Secret": site.secret},
        )
        self.listener = Listener(f"{site.admin_url}/api/events/progress", {"X-Admin-Secret": site.secret})

    def __enter__(self) -> Visitor:
        return self.visitor

    def __exit__(self, *_error: object) -> None:
        self.visitor.end()
        self.listener.end()
        assert self.listener.heard > 0, "the live pages heard nothing"


def check_remade(remade: Remade, place: Place) -> None:
    """An encoder that ends in the middle may cost one segment on each rung it makes; where none was ended, nothing is
    made twice.
    """
    may_cost = any(place.done[fault] for fault in COSTLY)
    for video in db.session.scalars(db.select(Video)):
        jobs = list(db.session.scalars(db.select(Job).where(Job.video_id == video.id)))
        for row in plan_of(video).encoded:
            makers = {job.id for job in jobs if row.name in job.renditions}
            ended = ended_early(makers)
            again = remade.segments(makers, row.name, sizes_of(video, row.name))
            logger.info(
                "%s %s: %.2f segments made again, %d encoders ended", video.slug, row.name, again, ended
            )
            assert may_cost or ended == 0, (video.slug, row.name, ended)
            assert again <= ended * (1 + BEGUN), (video.slug, row.name, again, ended, dict(place.done))


def ended_early(jobs: set[int]) -> int:
    """How many attempts at these jobs ended before the job did."""
    early = Attempt.job_id.in_(jobs), Attempt.outcome.in_(("lost", "failed", "released"))
    return db.session.scalar(db.select(db.func.count(Attempt.id)).where(*early)) or 0


def sizes_of(video: Video, name: str) -> list[int]:
    query = db.select(Rendition.index).join(Encode).where(Encode.video_id == video.id, Rendition.name == name)
    index = db.session.scalars(query).one()
    assert index is not None
    sizes: list[int] = index["sizes"]
    return sizes
