"""The worker API and remote workers as real processes, to be killed, stopped and cut off."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx2

from tests.contract.worker_api import WORKER_SECRET, register
from tests.provision.site import ROOT, free_ports
from vlog_app.config import Settings

PATIENCE_S = 60.0


@dataclass
class Elsewhere:
    """A worker API on its own port and the workers that talk to it, each with its own folder and key."""

    config: Settings
    folder: Path
    lease_minutes: float = 2.0
    port: int = field(default_factory=free_ports)
    _started: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def serve(self) -> subprocess.Popen[bytes]:
        """Starts the API and waits until it answers."""
        bind = f"127.0.0.1:{self.port}"
        argv = (
            "-m gunicorn --no-control-socket --worker-class gthread --threads 32 --graceful-timeout 2 --bind"
        )
        process = self._start([*argv.split(), bind, "wsgi:worker_api"], self._server_settings(), "api")
        until = time.monotonic() + PATIENCE_S
        while not self._answers():
            assert process.poll() is None and time.monotonic() < until, "the worker API did not start"
            time.sleep(0.1)
        return process

    def work(self, name: str, url: str | None = None, **settings: str) -> subprocess.Popen[bytes]:
        """Starts a worker, registered the first time that it is named."""
        process = start_remote_worker(self.folder, name, api=self.url, line=url or self.url, **settings)
        self._started.append(process)
        return process

    def end(self) -> None:
        for process in self._started:
            if process.poll() is None:
                process.send_signal(signal.SIGCONT)
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def _server_settings(self) -> dict[str, str]:
        return {
            "VLOG_STORAGE_PATH": str(self.config.storage_path),
            "VLOG_DATABASE_URL": self.config.database_url,
            "VLOG_WORKER_ADMIN_SECRET": WORKER_SECRET,
            "VLOG_WORKER_CLAIM_DURATION": str(self.lease_minutes),
            "VLOG_MAX_RETRY_ATTEMPTS": "100",
            "VLOG_RETRY_BACKOFF_BASE": "1",
            "VLOG_STORAGE_RESERVE_BYTES": "0",
            "VLOG_JOB_QUEUE_MODE": self.config.job_queue_mode,
            "VLOG_REDIS_URL": self.config.redis_url,
        }

    def _start(self, argv: list[str], settings: dict[str, str], name: str) -> subprocess.Popen[bytes]:
        process = start_program(argv, settings, self.folder / f"{name}.log")
        self._started.append(process)
        return process

    def _answers(self) -> bool:
        try:
            return httpx2.get(f"{self.url}/api/health").is_success
        except httpx2.HTTPError:
            return False


def start_remote_worker(
    folder: Path, name: str, *, api: str, line: str, **more: str
) -> subprocess.Popen[bytes]:
    """Registers it at `api`, unless it has a key already, and lets it call over `line`. `more`: settings."""
    key = folder / f"{name}.key"
    if not key.exists():
        key.write_text(register(api, name)["api_key"])
    settings = {
        "VLOG_WORKER_API_KEY_FILE": str(key),
        "VLOG_WORKER_WORK_DIR": str(folder / name),
        "VLOG_WORKER_POLL_INTERVAL": "1",
        "VLOG_WORKER_HEARTBEAT_INTERVAL": "1",
        "VLOG_HWACCEL_TYPE": "none",
        "VLOG_STORAGE_RESERVE_BYTES": "0",
        **{f"VLOG_{name.upper()}": value for name, value in more.items()},
    }
    return start_program(["-m", "jobs", "work", "--api", line], settings, folder / f"{name}.log")


def start_program(argv: list[str], settings: dict[str, str], log: Path) -> subprocess.Popen[bytes]:
    """Ours, in a process group of its own."""
    with log.open("ab") as output:
        return subprocess.Popen(
            [sys.executable, *argv],
            cwd=ROOT,
            env={**os.environ, **settings},
            stdout=output,
            stderr=output,
            start_new_session=True,
        )


@contextmanager
def elsewhere(config: Settings, folder: Path, *, lease_minutes: float = 2.0) -> Iterator[Elsewhere]:
    place = Elsewhere(config, folder, lease_minutes)
    try:
        yield place
    finally:
        place.end()
