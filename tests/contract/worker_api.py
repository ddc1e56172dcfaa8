"""The worker API on a real socket, and its client for several workers at once."""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx2
from flask import Flask
from werkzeug.serving import make_server

from encoder.model import Segment
from jobs.contract import (
    NOTHING_TO_REPORT,
    Claim,
    Coordinator,
    Failure,
    JobProgress,
    OpenedSource,
    Orders,
    Report,
    SegmentFile,
    Slot,
    WorkerInfo,
)
from jobs.http_client import Api
from jobs.http_coordinator import HttpCoordinator
from jobs.sources import Sources

WORKER_SECRET = "let the workers come"


@contextmanager
def running_worker_api(app: Flask) -> Iterator[str]:
    """Its address. Ends with the block."""
    server = make_server("127.0.0.1", 0, app, threaded=True)
    server.daemon_threads = True  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def register(url: str, name: str) -> dict[str, Any]:
    answer = httpx2.post(
        f"{url}/api/worker/register", json={"worker_name": name}, headers={"X-Admin-Secret": WORKER_SECRET}
    )
    answer.raise_for_status()
    facts: dict[str, Any] = answer.json()
    return facts


def remote_coordinator(
    url: str, key: str, folder: Path, *, leaving: threading.Event | None = None, **more: Any
) -> tuple[HttpCoordinator, Api]:
    """Close the second one when it is over."""
    leaving = leaving or threading.Event()
    api = Api(url, key)
    sources = Sources(folder / "films", 1 << 30, leaving)
    return HttpCoordinator(api, sources, folder, leaving, **more), api


class Switchboard(Coordinator):
    """Every worker's calls go over its own key; calls about a claim over the key it was leased with."""

    def __init__(self, url: str, folder: Path) -> None:
        self._url = url
        self._folder = folder
        self._lines: dict[str, HttpCoordinator] = {}
        self._apis: list[Api] = []
        self._holders: dict[str, HttpCoordinator] = {}  # by token

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _tb: TracebackType | None
    ) -> None:
        for line in self._lines.values():
            line.close()
        for api in self._apis:
            api.close()

    def line_of(self, worker: WorkerInfo) -> HttpCoordinator:
        if worker.id not in self._lines:
            key = register(self._url, worker.name)["api_key"]
            line, api = remote_coordinator(self._url, key, self._folder / worker.id)
            self._lines[worker.id] = line
            self._apis.append(api)
        return self._lines[worker.id]

    def claim(self, worker: WorkerInfo, slot: Slot, job_id: int | None = None) -> Claim | None:
        claim = self.line_of(worker).claim(worker, slot, job_id)
        if claim is not None:
            self._holders[claim.token] = self.line_of(worker)
        return claim

    def open_source(self, claim: Claim) -> OpenedSource:
        return self._holders[claim.token].open_source(claim)

    def open_segments(self, claim: Claim, rendition: str) -> list[SegmentFile]:
        return self._holders[claim.token].open_segments(claim, rendition)

    def renew(self, claim: Claim, progress: JobProgress | None) -> Orders:
        return self._holders[claim.token].renew(claim, progress)

    def checkpoint(
        self, claim: Claim, segment: Segment, file: Path, init: Path | None = None, *, waits: bool = False
    ) -> bool:
        return self._holders[claim.token].checkpoint(claim, segment, file, init, waits=waits)

    def is_behind(self, claim: Claim) -> bool:
        return self._holders[claim.token].is_behind(claim)

    def hand_in(self, claim: Claim, name: str, file: Path) -> None:
        self._holders[claim.token].hand_in(claim, name, file)

    def finish(self, claim: Claim, report: Report = NOTHING_TO_REPORT) -> None:
        self._holders[claim.token].finish(claim, report)

    def fail(self, claim: Claim, failure: Failure) -> None:
        self._holders[claim.token].fail(claim, failure)

    def release(self, claim: Claim) -> None:
        self._holders[claim.token].release(claim)

    def drop(self, claim: Claim) -> None:
        self._holders[claim.token].drop(claim)

    def greet(self, worker: WorkerInfo, keeps: Collection[int] = ()) -> None:
        self.line_of(worker).greet(worker, keeps)

    def beat(self, worker: WorkerInfo) -> None:
        self.line_of(worker).beat(worker)

    def farewell(self, worker: WorkerInfo) -> None:
        self.line_of(worker).farewell(worker)
