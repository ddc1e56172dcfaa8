"""What one look into the queue costs, by its length: milliseconds for a claim and for an idle look.

    python -m benchmarks.claims [--jobs 10000] [--films 100] [--rounds 200]

Fills a database of its own (SQLite, and PostgreSQL when there is one) with films of many pieces, then claims and
gives back with workers that have no film, with workers that stay with one, and without a GPU while a GPU is idle.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from flask import Flask
from sqlalchemy import update

from encoder.device import CPU, Device, DeviceKind, Encoder
from jobs.contract import Slot, WorkerInfo
from jobs.layout import AUDIO, ENCODE, STORYBOARD, Rank
from tests.conftest import dispose, migrate
from tests.factories import make_source, make_video
from tests.provision.postgres import running_postgres
from vlog_app import create_app
from vlog_app.config import Settings
from vlog_app.extensions import db, transaction
from vlog_app.models import Job
from vlog_app.services import fleet, queue
from vlog_app.services.clock import database_now

BULK = Slot("bulk", (ENCODE, STORYBOARD), min_rank=Rank.DEMAND_REST)
NOTHING = Slot(
    "nothing", (AUDIO,), min_rank=Rank.BULK
)  # no sound is bulk: looks at everything and finds nothing
NVENC = Device(DeviceKind.NVIDIA, encoders=(Encoder("h264", "h264_nvenc", "vbr_cq"),))
GPU = WorkerInfo("w-gpu", "gpu", {"devices": [NVENC.to_json(), CPU.to_json()]})
SEGMENT_S = 6.0


def main() -> None:
    options = _options()
    figures = {}
    with tempfile.TemporaryDirectory() as folder:
        figures["sqlite"] = measure(f"sqlite:///{folder}/vlog.db", Path(folder), options)
        with running_postgres() as server, server.database(is_empty=True) as url:
            figures["postgresql"] = measure(url, Path(folder), options)
    print(json.dumps(figures))


def measure(url: str, folder: Path, options: argparse.Namespace) -> dict[str, float]:
    migrate(url)
    with _app(url, folder) as app:
        _fill(options.films, options.jobs)
        figures = {
            "claim": _median(options.rounds, lambda n: _claim(WorkerInfo(f"w-{n}", "new"))),
            "claim, stays with its film": _median(options.rounds, lambda _n: _claim(WorkerInfo("w", "w"))),
            "look that finds nothing": _median(
                options.rounds, lambda _n: queue.claim_next_job(WorkerInfo("w", "w"), NOTHING)
            ),
        }
        _begin_now()
        fleet.greet(GPU)
        held = _median(options.rounds, lambda _n: queue.claim_next_job(WorkerInfo("w", "w"), BULK))
        figures["look that leaves all to a GPU"] = held
        for name, milliseconds in figures.items():
            print(f"{app.config['SQLALCHEMY_DATABASE_URI'][:10]:>10} {name:>32}: {milliseconds:7.2f} ms")
    return figures


def _fill(films: int, jobs: int) -> None:
    pieces = -(-jobs // films)
    with transaction():
        for number in range(films):
            seconds = (pieces * 10 + 2) * SEGMENT_S  # the first piece has two segments, each other one ten
            make_video(f"Film {number}", source=make_source(seconds=seconds))


def _begin_now() -> None:
    """Jobs so young that a worker without a GPU leaves them to one that has."""
    with transaction() as session:
        session.execute(update(Job).values(not_before_at=database_now(session)))


def _claim(worker: WorkerInfo) -> None:
    claim = queue.claim_next_job(worker, BULK)
    assert claim is not None
    queue.release_job(claim)


def _median(rounds: int, call: Callable[[int], object]) -> float:
    times = []
    for number in range(rounds):
        began = time.perf_counter()
        call(number)
        times.append(time.perf_counter() - began)
        db.session.rollback()
    return round(statistics.median(times) * 1000, 2)


@contextmanager
def _app(url: str, folder: Path) -> Iterator[Flask]:
    config = Settings(storage_path=folder, database_url=url, admin_api_secret="x", gpu_head_start=3600)
    app = create_app(config, surface="cli")
    with app.app_context():
        yield app
    dispose(app)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--jobs", type=int, default=10_000)
    parser.add_argument("--films", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=200)
    return parser.parse_args()


if __name__ == "__main__":
    main()
