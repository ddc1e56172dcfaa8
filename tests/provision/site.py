"""A whole VLog for tests: `flask vlog up` with its worker and scheduler on free ports and a storage of its own."""

import os
import random
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PATIENCE_S = 60.0
LAST_LINE = "Ctrl-C ends everything"


@dataclass(frozen=True, slots=True)
class Site:
    """A running VLog. Its processes are named public, admin, worker-api, worker, scheduler."""

    process: "subprocess.Popen[str]"
    storage: Path
    port: int
    greeting: str
    log: Path

    @property
    def public_url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def admin_url(self) -> str:
        return f"http://127.0.0.1:{self.port + 1}"

    @property
    def worker_api_url(self) -> str:
        return f"http://127.0.0.1:{self.port + 2}"

    @property
    def secret(self) -> str:
        return (self.storage / "admin-secret").read_text(encoding="ascii").strip()

    @property
    def login_link(self) -> str:
        """Works once."""
        found = re.search(r"http://\S+/login\?link=\S+", self.greeting)
        assert found is not None
        return found[0]

    def children(self) -> dict[str, int]:
        """Its processes as they are now: name to number."""
        pids = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        return {_name_of(int(pid)): int(pid) for pid in pids}

    def end(self, number: signal.Signals = signal.SIGINT) -> int:
        """Asks it to end and waits until it has; the exit status."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.process.wait(PATIENCE_S)


@contextmanager
def running_site(storage: Path, *, port: int | None = None, **settings: str) -> Iterator[Site]:
    """Starts VLog and waits until all three sites answer; `settings` are VLOG_ names without the prefix."""
    port = port or free_ports()
    log = storage.parent / f"{storage.name}.log"
    process = start_site(storage, port, log, **settings)
    try:
        yield Site(process, storage, port, _greeting(process, log), log)
    finally:
        end_site(process)


def start_again(site: Site, **settings: str) -> Site:
    """After its death: on the same storage and ports, with a log of its own."""
    log = site.log.with_name(f"again-{site.log.name}")
    process = start_site(site.storage, site.port, log, **settings)
    try:
        return Site(process, site.storage, site.port, _greeting(process, log), log)
    except BaseException:
        end_site(process)
        raise


def end_site(process: "subprocess.Popen[str]") -> None:
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def start_site(storage: Path, port: int, log: Path, **settings: str) -> "subprocess.Popen[str]":
    environment = {"PATH": os.environ["PATH"], "HOME": str(storage), "LANG": "C.UTF-8"}
    values = {
        "storage_path": str(storage),
        "storage_reserve_bytes": "0",
        "rate_limit_enabled": "false",
    } | settings
    environment |= {f"VLOG_{name.upper()}": value for name, value in values.items()}
    argv = [sys.executable, "-m", "flask", "--app", "wsgi", "vlog", "up", "--port-base", str(port)]
    with log.open("w") as output:
        return subprocess.Popen(
            argv, cwd=ROOT, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=output, text=True
        )


def free_ports() -> int:
    """The first of three free ports in a row."""
    for _try in range(200):
        base = random.randrange(20000, 32000, 4)  # below those that the kernel hands out to others
        if all(is_free(base + offset) for offset in range(3)):
            return base
    raise AssertionError("no three free ports")


def is_free(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0


def _greeting(process: "subprocess.Popen[str]", log: Path) -> str:
    deadline = time.monotonic() + PATIENCE_S
    while LAST_LINE not in (said := log.read_text(errors="replace")):
        if process.poll() is not None or time.monotonic() > deadline:
            raise AssertionError(f"VLog did not start; it said:\n{said}")
        time.sleep(0.02)
    return said


def _name_of(pid: int) -> str:
    return Path(f"/proc/{pid}/comm").read_text().strip().removeprefix("vlog-")
