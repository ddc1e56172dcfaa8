"""A film encoded by workers that share no disk and no database with the site, whatever happens to them."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.conformance import check
from tests.conftest import AppFactory
from tests.faults.conftest import plan_of, state_of, upload
from tests.faults.proxy import line_to
from tests.faults.remote import elsewhere
from tests.faults.test_killed_worker import (
    PATIENCE_S,
    check_rung,
    check_sound,
    checkpoints,
    orphans,
    sha256,
    stop,
    wait_for,
    wait_until,
)
from vlog_app.config import Settings, settings
from vlog_app.extensions import db
from vlog_app.models import Attempt, Job, Video
from vlog_app.services import queue

SHORT_LEASE_MINUTES = 0.05  # three seconds

pytestmark = [pytest.mark.media, pytest.mark.timeout(420)]


@pytest.fixture(scope="module")
def film(short_film: Path) -> Path:
    return short_film


@pytest.fixture
def media(uploaded: Video) -> Path:
    return settings().videos_dir / uploaded.slug


def check_film(video: Video, media: Path, ffmpeg: str, folder: Path) -> None:
    plan = plan_of(video)
    for row in plan.video:
        check_rung(media, plan, row.name, ffmpeg, folder)
    check_sound(media, plan, ffmpeg, folder)


def test_the_next_worker_goes_on_where_a_killed_one_stopped(
    uploaded: Video, media: Path, config: Settings, ffmpeg_path: str, tmp_path: Path
) -> None:
    with elsewhere(config, tmp_path, lease_minutes=SHORT_LEASE_MINUTES) as place:
        api = place.serve()
        first = place.work("atlas")
        wait_until(lambda: len(checkpoints(uploaded)) >= 5)
        os.kill(first.pid, signal.SIGKILL)
        first.wait()
        kept = {media / name: digest for name, digest in checkpoints(uploaded)}
        second = place.work("cellar")
        wait_until(lambda: sweep_until_whole(uploaded))
        stop(second)
        stop(api)
    assert second.returncode == 0, (tmp_path / "cellar.log").read_text()
    check_film(uploaded, media, ffmpeg_path, tmp_path)
    assert [path.name for path, digest in kept.items() if sha256(path) != digest] == []
    assert orphans() == []
    assert not list((tmp_path / "cellar").rglob("*.ts")), "scratch was left behind"
    assert not any((settings().work_dir / ".received").iterdir()), "half a transfer was left behind"


def sweep_until_whole(video: Video) -> bool:
    """Housekeeping belongs to another process of the site."""
    queue.sweep_expired_leases()
    return state_of(video) == "ready"


def test_a_server_that_restarts_in_the_middle_is_waited_for(
    uploaded: Video, media: Path, config: Settings, ffmpeg_path: str, tmp_path: Path
) -> None:
    with elsewhere(config, tmp_path) as place:
        api = place.serve()
        worker = place.work("atlas")
        wait_until(lambda: len(checkpoints(uploaded)) >= 3)
        os.killpg(api.pid, signal.SIGKILL)
        time.sleep(2)
        again = place.serve()
        wait_for(uploaded, "ready")
        stop(worker)
        stop(again)
    check_film(uploaded, media, ffmpeg_path, tmp_path)
    outcomes = set(db.session.scalars(db.select(Attempt.outcome)))
    assert outcomes <= {"finished", "released", None}, "the restart cost an attempt"


def test_a_worker_that_slept_past_its_lease_changes_nothing(
    uploaded: Video, media: Path, config: Settings, ffmpeg_path: str, tmp_path: Path
) -> None:
    with elsewhere(config, tmp_path, lease_minutes=SHORT_LEASE_MINUTES) as place:
        place.serve()
        sleeper = place.work("sleeper")
        wait_until(lambda: len(checkpoints(uploaded)) >= 2)
        held = stop_with_a_lease(sleeper)
        wait_until(lambda: not (queue.sweep_expired_leases() or leased() & held))
        awake = place.work("awake")
        wait_until(lambda: sweep_until_whole(uploaded))
        before = {path.name: sha256(path) for path in media.glob("*.ts")}
        os.killpg(sleeper.pid, signal.SIGCONT)
        wait_until(lambda: "lease lost, job dropped" in (tmp_path / "sleeper.log").read_text())
        stop(sleeper)
        stop(awake)
    assert {path.name: sha256(path) for path in media.glob("*.ts")} == before
    check_film(uploaded, media, ffmpeg_path, tmp_path)


def test_a_worker_that_stood_still_for_most_of_a_lease_keeps_its_jobs(
    uploaded: Video, config: Settings, tmp_path: Path
) -> None:
    """Two of three thirds: the host was busy with something else, as hosts are."""
    lease_s = 9.0
    with elsewhere(config, tmp_path, lease_minutes=lease_s / 60) as place:
        place.serve()
        worker = place.work("atlas")
        wait_until(lambda: len(checkpoints(uploaded)) >= 2)
        for _ in range(2):
            held, until = stop_with_a_lease(worker), time.monotonic() + 0.6 * lease_s
            while time.monotonic() < until:
                assert queue.sweep_expired_leases() == 0
                time.sleep(0.2)
            os.killpg(worker.pid, signal.SIGCONT)
            wait_until(lambda held=held: queue.sweep_expired_leases() or not held & leased())
        wait_until(lambda: sweep_until_whole(uploaded))
        stop(worker)
    assert set(db.session.scalars(db.select(Attempt.outcome))) <= {"finished", "released", None}


def test_a_remote_worker_makes_films_in_cmaf_with_their_storyboard(
    config: Settings, app_factory: AppFactory, film: Path, tmp_path: Path
) -> None:
    with app_factory("cli", streaming_format="cmaf").app_context():
        video = upload(film, "cmaf")
        media = settings().videos_dir / video.slug
        with elsewhere(config, tmp_path) as place:
            place.serve()
            worker = place.work("atlas")
            wait_for(video, "ready")
            wait_until(lambda: (media / "storyboard.vtt").exists() and (media / "thumbnail.jpg").exists())
            stop(worker)
        # The top rung is the test film itself, which does not say what its colours are.
        assert [str(found) for found in check(media) if not str(found).startswith("colour: 720p")] == []


def leased() -> set[str]:
    """Tokens."""
    db.session.rollback()
    return set(db.session.scalars(db.select(Job.lease_token).where(Job.lease_token.is_not(None))))


def stop_with_a_lease(worker: subprocess.Popen[bytes]) -> set[str]:
    """Its tokens. A worker between two jobs holds none: it goes on until it does."""
    until = time.monotonic() + PATIENCE_S
    while time.monotonic() < until:
        os.killpg(worker.pid, signal.SIGSTOP)
        if held := leased():
            return held
        os.killpg(worker.pid, signal.SIGCONT)
        time.sleep(0.1)
    raise AssertionError("it never held a job again")


def test_a_line_that_is_cut_again_and_again_costs_no_attempt(
    uploaded: Video, media: Path, config: Settings, ffmpeg_path: str, tmp_path: Path
) -> None:
    with elsewhere(config, tmp_path) as place, line_to(place.port) as line:
        place.serve()
        worker = place.work("atlas", line.url)
        cuts = 0
        while state_of(uploaded) != "ready":
            time.sleep(0.8)
            line.cut()
            time.sleep(0.4)
            line.heal()
            cuts += 1
            assert cuts < 200, "the film never ends"
        stop(worker)
    assert cuts >= 4 and line.broken >= 4, (cuts, line.broken)
    check_film(uploaded, media, ffmpeg_path, tmp_path)
    outcomes = set(db.session.scalars(db.select(Attempt.outcome)))
    assert outcomes <= {"finished", "released", None}


def test_sigterm_lets_the_segment_land_and_hands_it_in(
    uploaded: Video, config: Settings, tmp_path: Path
) -> None:
    with elsewhere(config, tmp_path) as place:
        place.serve()
        worker = place.work("atlas")
        wait_until(lambda: len(checkpoints(uploaded)) >= 2)
        worker.terminate()
        assert worker.wait(60) == 0
        assert leased() == set()
    outcomes = set(db.session.scalars(db.select(Attempt.outcome)))
    assert outcomes <= {"finished", "released"}
    assert orphans() == []
