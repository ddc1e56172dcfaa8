"""What the worker API takes: claims a second, idle polls, a queue emptied without a double claim, cost of a key.

    python -m benchmarks.worker_api [--clients 16] [--pollers 50] [--jobs 500] [--queue 5000] [--seconds 10]

The API runs as `flask vlog up` starts it, on a PostgreSQL of its own with PostgreSQL's default settings: every claim is
on the disk before it is answered. Server, database and clients share this machine; the clients are light (see
benchmarks.load), but a server with clients elsewhere still does better. Limits on requests are off: one worker would
have 300 a minute.
"""

from __future__ import annotations

import argparse
import json
import random
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

from sqlalchemy import func, select, update

from benchmarks.load import Line, together
from encoder.device import CPU
from jobs.layout import ENCODE
from jobs.states import JobState
from jobs.wire import KEY_HEADER, TOKEN_HEADER, VERSION
from tests.conftest import dispose, migrate
from tests.factories import make_source, make_video
from tests.provision.postgres import AS_IT_COMES, running_postgres
from tests.provision.surfaces import on_free_ports, running_surfaces, url_of
from vlog_app import create_app
from vlog_app.config import Settings
from vlog_app.extensions import db, transaction
from vlog_app.models import Attempt, Job
from vlog_app.services import worker_keys

SECRET = "let the workers come"
SLOT = {"name": "bulk", "kinds": [ENCODE], "min_rank": 0, "max_rank": 1000, "nice": 0}
FACTS = {"host": "bench", "cores": 8, "encode_slots": 1, "devices": [CPU.to_json()]}
POLL_PAUSE_S = (
    0.2  # of a client that found nothing, or about that: a worker waits ten seconds, or for the bell
)
FILM_S = 3600.0  # about sixty pieces
KEYS_ASKED = 2000
DRAIN_S = 600.0  # at most

Work = Callable[[int, list[float]], None]


def main() -> None:
    options = _options()
    with (
        tempfile.TemporaryDirectory() as folder,
        running_postgres(AS_IT_COMES) as postgres,
        postgres.database(is_empty=True) as url,
    ):
        migrate(url)
        config = _settings(Path(folder), url, options)
        app, api = create_app(config, surface="cli"), url_of(config, "worker_api")
        with app.app_context(), running_surfaces(config, "worker_api"):
            keys = [_register(api, n) for n in range(max(options.clients, options.pollers))]
            figures = measure(api, keys, options)
        dispose(app)
    for words, value in figures.items():
        print(f"{words:>40}: {value}")
    print(json.dumps(figures))


def measure(api: str, keys: list[str], options: argparse.Namespace) -> dict[str, Any]:
    claims = partial(_load, api, keys, options.seconds)
    idle = together(options.pollers, claims(polls=True))
    _fill(options.queue)
    busy = together(options.clients, claims())
    _give_all_back()
    both = together(options.clients, claims(gives_back=True))
    _leave(options.jobs)
    drained = together(options.clients, _load(api, keys, DRAIN_S, until_empty=True))
    return {
        "claims a second": busy.per_second,
        "claim, median and p99 ms": [busy.ms(50), busy.ms(99)],
        "claims a second, each given back": both.per_second,
        "idle polls a second": idle.per_second,
        "idle poll, median and p99 ms": [idle.ms(50), idle.ms(99)],
        "jobs drained": _open_attempts(func.count()),
        "double claims": _open_attempts(func.count()) - _open_attempts(func.count(Attempt.job_id.distinct())),
        "drained a second": drained.per_second,
        "CPU of one key, ms": _cost_of_a_key(keys[0]),
    }


def _load(
    api: str,
    keys: list[str],
    seconds: float,
    *,
    polls: bool = False,
    gives_back: bool = False,
    until_empty: bool = False,
) -> Work:
    """What one client does. The last claim that finds an empty queue is not counted, but for one that `polls`."""

    def work(number: int, noted: list[float]) -> None:
        until = time.monotonic() + seconds
        if polls:
            time.sleep(random.uniform(0, POLL_PAUSE_S))  # workers do not start in one moment
        with Line(api, **{KEY_HEADER: keys[number]}) as line:
            while time.monotonic() < until:
                began = time.perf_counter()
                token = uuid4().hex
                lease = _claim(line, token)
                if lease is None and not polls:
                    if until_empty:
                        return
                    raise SystemExit("the queue was too short for this: give a larger --queue")
                noted.append(time.perf_counter() - began)
                if polls:
                    time.sleep(random.uniform(0.5, 1.5) * POLL_PAUSE_S)
                elif gives_back:
                    _give_back(line, lease, token)

    return work


def _claim(line: Line, token: str) -> Any:
    body = {"slot": SLOT, "token": token, "code_version": VERSION}
    return line.post("/api/worker/leases", body)["lease"]


def _give_back(line: Line, lease: Any, token: str) -> None:
    line.post(f"/api/worker/leases/{lease['job_id']}/release", {}, **{TOKEN_HEADER: token})


def _cost_of_a_key(key: str) -> float:
    """Processor time of this process to find out whose key it is, the question to the database included."""
    assert worker_keys.find(key) is not None
    began = time.process_time()
    for _ in range(KEYS_ASKED):
        worker_keys.find(key)
    return round(1000 * (time.process_time() - began) / KEYS_ASKED, 3)


# --- the queue -----------------------------------------------------------------------------------------------


def _fill(jobs: int) -> None:
    with transaction() as session:
        films = 0
        while _queued() < jobs:
            films += 1
            make_video(f"Film {films}", source=make_source(seconds=FILM_S))
        session.execute(update(Job).where(Job.kind != ENCODE).values(state=JobState.CANCELLED))


def _queued() -> int:
    query = select(func.count()).where(Job.kind == ENCODE, Job.state == JobState.QUEUED)
    return db.session.scalar(query) or 0


def _give_all_back() -> None:
    """As if nothing had been claimed yet."""
    unleased = {"state": JobState.QUEUED, "lease_token": None, "lease_expires_at": None}
    with transaction() as session:
        session.execute(update(Job).where(Job.state == JobState.LEASED).values(**unleased))
        session.execute(update(Attempt).where(Attempt.ended_at.is_(None)).values(ended_at=Attempt.started_at))


def _leave(jobs: int) -> None:
    """So many are queued and all others are called off."""
    _give_all_back()
    first = select(Job.id).where(Job.state == JobState.QUEUED).order_by(Job.id).limit(jobs)
    with transaction() as session:
        others = Job.state == JobState.QUEUED, Job.id.not_in(first.scalar_subquery())
        session.execute(update(Job).where(*others).values(state=JobState.CANCELLED))


def _open_attempts(number: Any) -> int:
    db.session.rollback()
    return db.session.scalar(select(number).select_from(Attempt).where(Attempt.ended_at.is_(None))) or 0


# --- the server ----------------------------------------------------------------------------------------------


def _settings(folder: Path, url: str, options: argparse.Namespace) -> Settings:
    config = Settings(
        storage_path=folder,
        database_url=url,
        worker_admin_secret=SECRET,
        rate_limit_enabled=False,
        storage_reserve_bytes=0,
        **({"worker_api_processes": options.processes} if options.processes else {}),
    )
    return on_free_ports(config)


def _register(api: str, number: int) -> str:
    """A worker that has said what it is, like every one that asks for work."""
    with Line(api, X_Admin_Secret=SECRET) as owner:
        key = str(owner.post("/api/worker/register", {"worker_name": f"bench-{number}"})["api_key"])
    with Line(api, **{KEY_HEADER: key}) as line:
        line.post("/api/worker/greet", {"facts": FACTS, "code_version": VERSION})
    return key


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--pollers", type=int, default=50)
    parser.add_argument("--jobs", type=int, default=500)
    parser.add_argument("--queue", type=int, default=5000)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--processes", type=int, help="VLOG_WORKER_API_PROCESSES, when not its default")
    return parser.parse_args()


if __name__ == "__main__":
    main()
