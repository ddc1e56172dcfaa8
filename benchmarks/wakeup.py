"""Seconds from the end of an upload to the start of the first ffmpeg, in each of the three queue modes.

    python -m benchmarks.wakeup [--rounds 5]

Each mode runs a whole site with a Redis of its own. The clock starts with the upload's row in the database (the file
is whole and was looked into) and stops when the worker's first ffmpeg is seen among the processes, every 2 ms.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import httpx2

from benchmarks.sources import camera_like
from tests.faults.test_killed_worker import orphans
from tests.provision.redis import running_redis
from tests.provision.site import Site, running_site
from vlog_app import create_app
from vlog_app.config import Settings
from vlog_app.extensions import db
from vlog_app.ffmpeg import find_ffmpeg
from vlog_app.models import Event

MODES = ("database", "redis", "hybrid")
LOOK_S = 0.002
PATIENCE_S = 120.0
QUIET_S = 2.0
SETTLE_S = 3.0  # the worker has tested its devices and listens


def main() -> None:
    rounds = _options().rounds
    with tempfile.TemporaryDirectory() as folder, running_redis() as redis:
        film = camera_like(find_ffmpeg().path, Path(folder), 12, 360)
        figures = {}
        for mode in MODES:
            redis.ask("FLUSHALL")
            url = "" if mode == "database" else redis.url
            with running_site(Path(folder) / mode, job_queue_mode=mode, redis_url=url) as site:
                time.sleep(SETTLE_S)
                figures[mode] = [_measure(site, film, number) for number in range(rounds)]
    for mode, seconds in figures.items():
        print(f"{mode:>9}: median {statistics.median(seconds):.3f} s, worst {max(seconds):.3f} s")
    print(json.dumps(figures))


def _measure(site: Site, film: Path, number: int) -> float:
    """Uploads, and waits until everything is done, so that each round begins with an idle worker."""
    worker = site.children()["worker"]
    with httpx2.Client(timeout=PATIENCE_S, headers={"X-Admin-Secret": site.secret}) as http:
        with film.open("rb") as file:
            request = http.build_request(
                "POST",
                f"{site.admin_url}/api/videos",
                files={"file": ("film.mp4", file, "video/mp4")},
                data={"title": f"Film {number}"},
            )
            started_at = _watch(worker, lambda: http.send(request))
        slug = f"film-{number}"
        until = time.monotonic() + PATIENCE_S
        while http.get(f"{site.public_url}/api/videos/{slug}/progress").json()["status"] != "ready":
            assert time.monotonic() < until, site.log.read_text()
            time.sleep(0.1)
    _until_idle(worker)
    return started_at - _uploaded_at(site)


def _until_idle(worker: int) -> None:
    """A ready film may still get its storyboard: none of its ffmpegs must be taken for the next one's."""
    quiet_since = time.monotonic()
    while time.monotonic() - quiet_since < QUIET_S:
        if orphans(of=worker):
            quiet_since = time.monotonic()
        time.sleep(0.05)


def _watch(worker: int, send: Callable[[], httpx2.Response]) -> float:
    """Sends in a thread; the time at which the worker's first ffmpeg was seen."""
    sending = threading.Thread(target=lambda: send().raise_for_status())
    sending.start()
    until = time.monotonic() + PATIENCE_S
    while not orphans(of=worker):
        assert time.monotonic() < until
        time.sleep(LOOK_S)
    seen_at = time.time()
    sending.join()
    return seen_at


def _uploaded_at(site: Site) -> float:
    app = create_app(Settings(storage_path=site.storage), surface="cli")
    with app.app_context():
        newest = (
            db.select(Event.created_at).where(Event.kind == "uploaded").order_by(Event.id.desc()).limit(1)
        )
        return float(db.session.scalars(newest).one().timestamp())


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5)
    return parser.parse_args()


if __name__ == "__main__":
    main()
