"""From what a worker knows to the owner's tabs: how long an answer to progress takes, and when every tab has its event.

    python -m benchmarks.progress [--tabs 20] [--rounds 40]

Worker API and admin site as `flask vlog up` starts them, on SQLite, on PostgreSQL (as it comes, durable), and on
PostgreSQL with Redis. Each tab is a stream with a sign-in of its own. A worker with a lease reports at odd moments;
clocks start when it knows, and when it calls.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.load import Line
from jobs.contract import Claim, JobProgress, WorkerInfo
from jobs.http_coordinator import HttpCoordinator
from jobs.lease import Lease
from jobs.wire import KEY_HEADER, TOKEN_HEADER
from tests.conftest import dispose, migrate
from tests.contract.conftest import ENCODES
from tests.contract.worker_api import WORKER_SECRET, register, remote_coordinator
from tests.factories import make_source, make_video
from tests.provision.postgres import AS_IT_COMES, running_postgres
from tests.provision.redis import running_redis
from tests.provision.surfaces import on_free_ports, running_surfaces, url_of
from tests.provision.tabs import Tab, open_tabs
from vlog_app import create_app
from vlog_app.config import Settings

ROW = 60  # calls
ROUND_S = (
    1.2  # between two reports, and up to half of it more, so that they meet the hub at any point of its turn
)
WAIT_S = 5.0  # an event that takes longer is lost


@dataclass(slots=True)
class Seen:
    """Seconds. `to_all` and `missed` are of whole rounds: when the last tab had it, and tabs that never had it."""

    answers: list[float]
    to_all: list[float]
    missed: int = 0

    def figures(self) -> dict[str, Any]:
        return {
            "answer ms": _spread(self.answers),
            "all tabs ms": _spread(self.to_all),
            "missed": self.missed,
        }


def main() -> None:
    options = _options()
    figures = {}
    with tempfile.TemporaryDirectory() as folder, running_redis() as redis:
        path = Path(folder)
        figures["sqlite"] = measure(path / "one", f"sqlite:///{folder}/vlog.db", "", options)
        for name, redis_url in (("postgresql", ""), ("postgresql and redis", redis.url)):
            with running_postgres(AS_IT_COMES) as server, server.database(is_empty=True) as url:
                figures[name] = measure(path / name, url, redis_url, options)
    print(json.dumps(figures))


def measure(
    storage: Path, database_url: str, redis_url: str, options: argparse.Namespace
) -> dict[str, dict[str, Any]]:
    storage.mkdir()
    migrate(database_url)
    settings = {"storage_path": storage, "database_url": database_url, "redis_url": redis_url}
    limits = {"rate_limit_enabled": False, "storage_reserve_bytes": 0, "admin_api_secret": "x"}
    config = on_free_ports(Settings(**settings, **limits, worker_admin_secret=WORKER_SECRET))  # type: ignore[arg-type]
    app = create_app(config, surface="cli")
    with app.app_context(), running_surfaces(config, "worker_api", "admin"):
        make_video(source=make_source(seconds=7200))
        with (
            _worker(config, storage) as worker,
            open_tabs(url_of(config, "admin"), options.tabs) as tabs,
        ):
            called = _call(worker, tabs, options.rounds)
            knew = _report(worker, tabs, options.rounds)
            in_a_row = _call_in_a_row(worker)
    dispose(app)
    found = {"from the call": called.figures(), "from when it knew": knew.figures()}
    found["twenty a second"] = {"answer ms": _spread(in_a_row)}
    for words, figures in found.items():
        print(f"{storage.name:>22}, {words:>18}: {figures}")
    return found


@dataclass(frozen=True, slots=True)
class Worker:
    """One job, and two ways to speak about it: as a worker does, and with as little of its own as can be."""

    coordinator: HttpCoordinator
    line: Line
    claim: Claim


@contextmanager
def _worker(config: Settings, storage: Path) -> Iterator[Worker]:
    url = url_of(config, "worker_api")
    key = register(url, "bench")["api_key"]
    coordinator, api = remote_coordinator(url, key, storage)
    claim = coordinator.claim(WorkerInfo("", "bench"), ENCODES)
    assert claim is not None
    with Line(url, **{KEY_HEADER: key, TOKEN_HEADER: claim.token}) as line:
        yield Worker(coordinator, line, claim)
    api.close()


def _call(worker: Worker, tabs: list[Tab], rounds: int) -> Seen:
    """Progress is told by hand: what one call costs, and what follows it."""
    seen, path = Seen([], []), f"/api/worker/leases/{worker.claim.job_id}/renew"
    for number in range(rounds):
        time.sleep(random.uniform(ROUND_S, 1.5 * ROUND_S))
        began = time.monotonic()
        worker.line.post(path, {"progress": asdict(_progress(number))})
        seen.answers.append(time.monotonic() - began)
        _hear(tabs, began, seen)
    return seen


def _call_in_a_row(worker: Worker) -> list[float]:
    """Seconds of answers from a site that is awake: after a second's rest a machine has put much of it aside."""
    path, answers = f"/api/worker/leases/{worker.claim.job_id}/renew", []
    for number in range(ROW):
        time.sleep(0.05)
        began = time.monotonic()
        worker.line.post(path, {"progress": asdict(_progress(number))})
        answers.append(time.monotonic() - began)
    return answers


def _report(worker: Worker, tabs: list[Tab], rounds: int) -> Seen:
    """Progress is reported as the pipeline does: its lease tells it when it next looks."""
    seen = Seen([], [])
    with Lease(worker.claim, worker.coordinator, threading.Event()) as lease:
        for number in range(rounds, 2 * rounds):
            time.sleep(random.uniform(ROUND_S, 1.5 * ROUND_S))
            knew = time.monotonic()
            lease.report(_progress(number))
            _hear(tabs, knew, seen)
    return seen


def _progress(number: int) -> JobProgress:
    return JobProgress(number % 10, (number % 97) / 97, 1.5, "cpu")


def _hear(tabs: list[Tab], since: float, seen: Seen) -> None:
    heard = [tab.first("changed", after=since, within_s=WAIT_S) for tab in tabs]
    there = [each.at - since for each in heard if each is not None]
    seen.missed += len(tabs) - len(there)
    seen.to_all.append(max(there, default=WAIT_S))


def _spread(seconds: list[float]) -> dict[str, float]:
    if not seconds:
        return {}
    return {"median": round(1000 * statistics.median(seconds), 1), "worst": round(1000 * max(seconds), 1)}


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tabs", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=40)
    return parser.parse_args()


if __name__ == "__main__":
    main()
