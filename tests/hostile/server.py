"""A surface as a real process that can be killed and started again on the same storage."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

from tests.conftest import ADMIN_SECRET

START_S = 20.0
ROOT = Path(__file__).resolve().parents[2]


class Server:
    def __init__(self, storage: Path, log: Path, app: str = "wsgi:admin", **settings: str) -> None:
        self._app = app
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port: int = free.getsockname()[1]
        self._log = log
        self._environment = os.environ | {
            "VLOG_STORAGE_PATH": str(storage),
            "VLOG_ADMIN_API_SECRET": ADMIN_SECRET,
            "VLOG_STORAGE_RESERVE_BYTES": "0",
            "VLOG_RATE_LIMIT_ENABLED": "false",
            **settings,
        }
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        bind = ("-b", f"127.0.0.1:{self.port}", "-k", "gthread", "--threads", "8", "--no-control-socket")
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "gunicorn", self._app, *bind],
                cwd=ROOT,
                env=self._environment,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        deadline = time.monotonic() + START_S
        while time.monotonic() < deadline:
            if self._answers():
                return
            time.sleep(0.05)
        raise TimeoutError(self._log.read_text()[-2000:])

    def _answers(self) -> bool:
        """A whole answer: a connection alone may be taken by a predecessor that is still dying."""
        try:
            with urllib.request.urlopen(f"{self.url}/healthz", timeout=2) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    def kill(self) -> None:
        """As a power cut would: master and workers at once, nothing tidied up."""
        if self._process is not None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None
