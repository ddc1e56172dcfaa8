"""A worker that encodes several pieces at once has several slots of one name: each asks for itself."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest
from flask import Flask

from jobs.contract import Claim, WorkerInfo
from jobs.http_coordinator import HttpCoordinator
from tests.conftest import AppFactory
from tests.contract.conftest import ENCODES, planned_video
from tests.contract.worker_api import WORKER_SECRET, register, remote_coordinator, running_worker_api
from vlog_app.services import queue

ROUNDS = 10
SELF = WorkerInfo("", "atlas")


@pytest.fixture
def server(app_factory: AppFactory) -> Flask:
    return app_factory("worker_api", worker_admin_secret=WORKER_SECRET, split_seconds=6)


def test_slots_of_one_name_never_get_the_same_job(server: Flask, tmp_path: Path) -> None:
    with server.app_context(), running_worker_api(server) as url:
        planned_video()
        coordinator, api = remote_coordinator(url, register(url, "atlas")["api_key"], tmp_path)
        with closing(api), ThreadPoolExecutor(2) as pool:
            start = threading.Barrier(2)
            for _ in range(ROUNDS):
                asking = [pool.submit(ask, coordinator, start) for _ in range(2)]
                claims = [claim for each in asking if (claim := each.result(60)) is not None]
                assert len({claim.job_id for claim in claims}) == len({claim.token for claim in claims}) == 2
                for claim in claims:
                    queue.release_job(claim)


def ask(coordinator: HttpCoordinator, start: threading.Barrier) -> Claim | None:
    start.wait(60)
    return coordinator.claim(SELF, ENCODES)
