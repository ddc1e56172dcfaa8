"""The worlds the contract is held against: memory, services on SQLite and PostgreSQL, and both over HTTP."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import pytest
from flask import Flask

from encoder.model import EncodePlan, Segment
from encoder.plan import make_plan
from encoder.segments import measure
from jobs.contract import Claim, Coordinator, Slot, WorkerInfo
from jobs.layout import AUDIO, ENCODE, POSTER, STORYBOARD
from jobs.testing import FakeClock, MemoryCoordinator
from tests.contract.worker_api import WORKER_SECRET, Switchboard, running_worker_api
from tests.factories import make_source, make_video
from tests.tiny_ts import tiny_segment
from vlog_app.config import settings
from vlog_app.extensions import db
from vlog_app.local_coordinator import LocalCoordinator
from vlog_app.models import Video
from vlog_app.services import queue, samples
from vlog_app.services.clock import SHIFT_KEY
from vlog_app.services.demand import demand_segment

FILM_S = 60.0
ANY = Slot("any", (ENCODE, AUDIO, POSTER, STORYBOARD))
ENCODES = Slot("encodes", (ENCODE,))
SOUND = Slot("sound", (AUDIO,))
ATLAS = WorkerInfo("w-atlas", "atlas")
CELLAR = WorkerInfo("w-cellar", "cellar")


class World(Protocol):
    coordinator: Coordinator
    plan: EncodePlan

    def pass_time(self, seconds: float) -> None: ...

    def demand(self, segment: int) -> None: ...


@dataclass
class MemoryWorld:
    coordinator: MemoryCoordinator
    plan: EncodePlan
    clock: FakeClock

    def pass_time(self, seconds: float) -> None:
        self.clock.advance(seconds)

    def demand(self, segment: int) -> None:
        job = next(j for j in self.coordinator.jobs if j.token and j.draft.kind == ENCODE)
        self.coordinator.shorten(job.id, segment)


@dataclass
class LocalWorld:
    coordinator: LocalCoordinator
    plan: EncodePlan
    app: Flask
    video: Video

    def pass_time(self, seconds: float) -> None:
        """Moves the database's clock, then lets the sweep look at it."""
        self.app.config[SHIFT_KEY] = self.app.config.get(SHIFT_KEY, 0.0) + seconds
        queue.sweep_expired_leases()

    def demand(self, segment: int) -> None:
        demand_segment(self.video, segment)


@pytest.fixture(autouse=True)
def words_for_segments(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Segments made of words cannot be decoded. Tests of media hand in real ones, which are looked into."""
    if request.node.get_closest_marker("media") is None:
        monkeypatch.setattr(samples, "verify", lambda _samples, _plan: [])


@dataclass
class HttpWorld(LocalWorld):
    """The same services behind the worker API, on a real socket; each worker has a key of its own."""

    coordinator: Switchboard  # type: ignore[assignment]


@pytest.fixture(params=["memory", "sqlite", "postgresql", "http sqlite", "http postgresql"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def database(kind: str) -> str:
    return "sqlite" if kind == "memory" else kind.removeprefix("http ")


@pytest.fixture
def world(kind: str, database: str, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    if kind == "memory":
        clock = FakeClock()
        plan = make_plan(make_source(seconds=FILM_S))
        folder = tmp_path / "media"
        folder.mkdir()
        yield MemoryWorld(MemoryCoordinator(plan, tmp_path / "x.mp4", folder, clock=clock), plan, clock)
        return
    yield from http_world(request, tmp_path) if kind.startswith("http") else local_world(request)


def local_world(request: pytest.FixtureRequest) -> Iterator[World]:
    app: Flask = request.getfixturevalue("app")
    video, plan = planned_video()
    yield LocalWorld(LocalCoordinator(app), plan, app, video)


def http_world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    """The clock that is moved is the server's."""
    request.getfixturevalue("app")
    video, plan = planned_video()
    server: Flask = request.getfixturevalue("app_factory")("worker_api", worker_admin_secret=WORKER_SECRET)
    with running_worker_api(server) as url, Switchboard(url, tmp_path) as switchboard, server.app_context():
        yield HttpWorld(switchboard, plan, server, video)


def planned_video() -> tuple[Video, EncodePlan]:
    video = make_video(source=replace(make_source(seconds=FILM_S), size_bytes=len(b"film")))
    source = settings().storage_path / video.source_path
    source.parent.mkdir(exist_ok=True)
    source.write_bytes(b"film")
    return video, EncodePlan.from_json(queue_plan(video))


def queue_plan(video: Video) -> dict[str, object]:
    from sqlalchemy import select

    from vlog_app.models import Encode

    plan: dict[str, object] = db.session.scalars(select(Encode.plan).where(Encode.video_id == video.id)).one()
    return plan


def segment_file(tmp_path: Path, claim: Claim, name: str, index: int, text: str = "") -> tuple[Segment, Path]:
    """A finished segment of words, for services, which believe a worker beside them."""
    data = (text or f"{name}-{index}").encode()
    path = tmp_path / f"made-{claim.token}-{name}-{index}.ts"
    path.write_bytes(data)
    plan = claim.plan
    is_audio = plan.rendition(name).kind == "audio"
    codecs = "mp4a.40.2" if is_audio else "avc1.64001F"
    facts = Segment(name, index, float(plan.duration_of(index)), len(data), f"{index:064x}", 1, codecs)
    return facts, path


def measured_segment(
    tmp_path: Path, claim: Claim, name: str, index: int, mark: str = ""
) -> tuple[Segment, Path]:
    """A finished segment that measures as the plan asks: who does not share our disk is not believed."""
    plan = claim.plan
    row = plan.rendition(name)
    path = tmp_path / f"made-{claim.token}-{name}-{index}.ts"
    path.write_bytes(tiny_segment(plan, row, index, mark))
    return measure(path, plan, row, index), path


def hand_in_all(world: World, tmp_path: Path, claim: Claim) -> None:
    for name, index in sorted(claim.missing(), key=lambda cell: (cell[1], cell[0])):
        world.coordinator.checkpoint(claim, *measured_segment(tmp_path, claim, name, index))


def must(claim: Claim | None) -> Claim:
    assert claim is not None
    return claim
