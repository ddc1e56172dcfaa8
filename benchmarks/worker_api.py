"""What the worker API takes: claims a second, idle polls, a queue emptied without a double claim, cost of a key.

    python -m benchmarks.worker_api [--clients 16] [--pollers 50] [--jobs 500] [--seconds 10] [--processes 2]

The API runs under gunicorn on a PostgreSQL of its own; clients are processes on the same machine and take their share
of it, so a server with clients elsewhere does better.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx2
from sqlalchemy import select, update

from jobs.wire import KEY_HEADER, TOKEN_HEADER, VERSION
from tests.conftest import dispose, migrate
from tests.factories import make_source, make_video
from tests.provision.postgres import running_postgres
from tests.provision.site import free_ports
from vlog_app import create_app
from vlog_app.config import Settings
from vlog_app.extensions import db, transaction
from vlog_app.models import Attempt, Job

SECRET = "let the workers come"
SLOT = {"name": "bulk", "kinds": ["encode"], "min_rank": 0, "max_rank": 1000, "nice": 0}


@dataclass(frozen=True, slots=True)
class Load:
    """What one client does: claims and gives back for `seconds`, or claims until nothing is left."""

    url: str
    key: str
    seconds: float
    gives_back: bool


def main() -> None:
    options = _options()
    with tempfile.TemporaryDirectory() as name, running_postgres() as postgres:
        folder = Path(name)
        with postgres.database(is_empty=True) as url:
            migrate(url)
            config = Settings(storage_path=folder, database_url=url, storage_reserve_bytes=0)
            app = create_app(config, surface="cli")
            with app.app_context(), _api(folder, url, options.processes) as api:
                keys = [_register(api, n) for n in range(max(options.clients, options.pollers))]
                figures = measure(api, keys, options)
            dispose(app)
    for words, value in figures.items():
        print(f"{words:>40}: {value}")
    print(json.dumps(figures))


def measure(api: str, keys: list[str], options: argparse.Namespace) -> dict[str, Any]:
    idle = _run([Load(api, key, options.seconds, True) for key in keys[: options.pollers]])
    _fill(options.jobs)
    busy = _run([Load(api, key, options.seconds, True) for key in keys[: options.clients]])
    claims = [each for each in busy if each[1] is not None]
    taken = _run([Load(api, key, 120, False) for key in keys[: options.clients]])
    ids = [job for _, job in taken if job is not None]
    attempts = db.session.execute(select(Attempt.job_id).where(Attempt.ended_at.is_(None))).all()
    return {
        "claims a second": round(len(claims) / options.seconds, 1),
        "claim, median ms": _ms([each[0] for each in claims], 50),
        "claim, p99 ms": _ms([each[0] for each in claims], 99),
        "idle poll, median ms": _ms([each[0] for each in idle], 50),
        "idle poll, p99 ms": _ms([each[0] for each in idle], 99),
        "idle polls a second": round(len(idle) / options.seconds, 1),
        "jobs drained": len(ids),
        "double claims": len(ids) - len(set(ids)) + len(attempts) - len(set(attempts)),
    }


def _run(loads: list[Load]) -> list[tuple[float, int | None]]:
    """(seconds of a claim, the job or None) of all clients together."""
    with multiprocessing.get_context("spawn").Pool(len(loads)) as pool:
        return [each for client in pool.map(_client, loads, chunksize=1) for each in client]


def _client(load: Load) -> list[tuple[float, int | None]]:
    found: list[tuple[float, int | None]] = []
    with httpx2.Client(headers={KEY_HEADER: load.key}, timeout=30) as client:
        until = time.monotonic() + load.seconds
        while time.monotonic() < until:
            token = uuid4().hex
            began = time.perf_counter()
            answer = client.post(
                f"{load.url}/api/worker/leases",
                json={"slot": SLOT, "token": token, "code_version": VERSION},
            )
            took_s = time.perf_counter() - began
            answer.raise_for_status()
            lease = answer.json()["lease"]
            found.append((took_s, lease["job_id"] if lease else None))
            if lease and load.gives_back:
                path = f"{load.url}/api/worker/leases/{lease['job_id']}/release"
                client.post(path, json={}, headers={TOKEN_HEADER: token})
            if lease is None and not load.gives_back:
                break
            if lease is None:
                time.sleep(0.2)  # as a worker would wait, only shorter
    return found


def _fill(jobs: int) -> None:
    """Films of many short chunks: that many encode jobs, all wanted now."""
    while (count := len(db.session.scalars(select(Job.id).where(Job.kind == "encode")).all())) < jobs:
        make_video(f"Film {count}", source=make_source(seconds=3600))
        db.session.rollback()
    with transaction() as session:
        surplus = session.scalars(select(Job).where(Job.kind == "encode").order_by(Job.id).offset(jobs)).all()
        session.execute(update(Job).where(Job.kind != "encode").values(state="cancelled"))
        for job in surplus:
            job.state = "cancelled"


def _register(api: str, number: int) -> str:
    answer = httpx2.post(
        f"{api}/api/worker/register",
        json={"worker_name": f"bench-{number}"},
        headers={"X-Admin-Secret": SECRET},
        timeout=30,
    )
    return str(answer.json()["api_key"])


@contextmanager
def _api(folder: Path, database_url: str, processes: int) -> Iterator[str]:
    port = free_ports()
    environment = os.environ | {
        "VLOG_STORAGE_PATH": str(folder),
        "VLOG_DATABASE_URL": database_url,
        "VLOG_WORKER_ADMIN_SECRET": SECRET,
        "VLOG_RATE_LIMIT_ENABLED": "false",
    }
    argv = [sys.executable, "-m", "gunicorn", "--no-control-socket", "--worker-class", "gthread"]
    argv += ["--threads", "32", "--workers", str(processes), "--bind", f"127.0.0.1:{port}", "wsgi:worker_api"]
    server = subprocess.Popen(argv, env=environment, stderr=subprocess.DEVNULL)
    url = f"http://127.0.0.1:{port}"
    try:
        _wait_for(f"{url}/healthz")
        yield url
    finally:
        server.terminate()
        server.wait(60)


def _wait_for(url: str) -> None:
    for _ in range(200):
        try:
            if httpx2.get(url).status_code == httpx2.codes.OK:
                return
        except httpx2.TransportError:
            pass
        time.sleep(0.1)
    raise SystemExit(f"{url} does not answer")


def _ms(seconds: list[float], percentile: int) -> float:
    if len(seconds) < 2:
        return 0.0
    return round(1000 * statistics.quantiles(seconds, n=100, method="inclusive")[percentile - 1], 1)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--pollers", type=int, default=50)
    parser.add_argument("--jobs", type=int, default=500)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--processes", type=int, default=2)
    return parser.parse_args()


if __name__ == "__main__":
    main()
