"""A whole site with everything around it, and all the ways in which parts of it die. Seeded: a failure comes again."""

from __future__ import annotations

import itertools
import os
import random
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from tests.contract.worker_api import WORKER_SECRET
from tests.faults.proxy import Line, line_to
from tests.faults.remote import start_remote_worker
from tests.faults.test_killed_worker import orphans
from tests.provision.postgres import Cluster
from tests.provision.processes import family
from tests.provision.redis import Redis
from tests.provision.site import Site, end_site, running_site, start_again

SHORT_LEASE_S, LEASE_S = 8.0, 60.0
CALM_S = (0.3, 1.5)  # between two faults, at random
HANG_S = (2.0, 4.0)
WAIT_S = (1.0, 3.0)  # for finished segments to pile up
WORK_S = 20.0  # until the next film has come in
WEB = ("admin", "admin", "public", "worker-api")  # uploads go to the admin site
PATIENCE_S = 60.0


#: What ends an encoder.
COSTLY = ("ffmpeg", "worker", "sleep", "remote", "supervisor", "hung_worker", "cut_remote")


@dataclass
class Place:
    """Programs that may die. `redis`, `postgres` and the remote worker only where there are any."""

    site: Site
    settings: dict[str, str]
    dice: random.Random
    folder: Path
    redis: Redis | None = None
    postgres: Cluster | None = None
    line: Line | None = None
    remote: subprocess.Popen[bytes] | None = None
    webs: Iterator[str] = field(default_factory=lambda: itertools.cycle(WEB))
    done: Counter[str] = field(default_factory=Counter)
    logs: list[Path] = field(default_factory=list)

    def strike(self, fault: str) -> None:
        """One fault, at a random moment. Comes back when what died is there again, or about to be."""
        time.sleep(self.dice.uniform(*CALM_S))
        if getattr(self, f"_{fault}")() is not False:
            self.done[fault] += 1

    # --- the worker and what it runs

    def _ffmpeg(self) -> bool | None:
        until = time.monotonic() + WORK_S
        while not (running := orphans(of=self._child("worker"))):
            if time.monotonic() > until:
                return False  # everything is encoded
            time.sleep(0.05)
        os.kill(self.dice.choice(running), signal.SIGKILL)
        return None

    def _worker(self) -> None:
        worker = self._child("worker")
        running = orphans(of=worker)
        os.kill(worker, signal.SIGKILL)
        wait_until(lambda: not any(is_alive(pid) for pid in running), "an ffmpeg outlived its worker")

    def _sleep(self) -> None:
        """As its host would, with all that it runs: longer than its lease, so that another one gets its jobs."""
        asleep = family(self._child("worker"))
        send_each(asleep, signal.SIGSTOP)
        time.sleep(float(self.settings["worker_claim_duration"]) * 60 + 2)
        send_each(asleep, signal.SIGCONT)

    def _remote(self) -> None:
        assert self.remote is not None
        running = orphans(of=self.remote.pid)
        self.remote.kill()
        self.remote.wait()
        wait_until(lambda: not any(is_alive(pid) for pid in running), "an ffmpeg outlived its worker")
        self.remote = self._start_remote()

    def _cut(self) -> None:
        with self._no_line():
            time.sleep(self.dice.uniform(0.2, 1.0))

    def _cut_remote(self) -> None:
        """What it has finished waits, and then it dies."""
        with self._no_line():
            time.sleep(self.dice.uniform(*WAIT_S))
            self._remote()

    @contextmanager
    def _no_line(self) -> Iterator[None]:
        assert self.line is not None
        self.line.cut()
        yield
        self.line.heal()

    def _hung_worker(self) -> None:
        """The same for the local one and the database."""
        with self._no_answers():
            time.sleep(self.dice.uniform(*WAIT_S))
            self._worker()

    # --- the site

    def _web_worker(self) -> bool | None:
        """The process of gunicorn that answers; its master starts another."""
        answering = family(self._child(next(self.webs)))[1:]
        if not answering:
            return False
        os.kill(answering[0], signal.SIGKILL)
        return None

    def _web(self) -> None:
        os.kill(self._child(next(self.webs)), signal.SIGKILL)

    def _scheduler(self) -> None:
        os.kill(self._child("scheduler"), signal.SIGKILL)

    def _supervisor(self) -> None:
        """All that it started ends with it, in good order; then somebody starts the site again."""
        parts = list(self.site.children().values())
        self.site.process.kill()
        self.site.process.wait()
        wait_until(lambda: not any(is_alive(pid) for pid in parts), "a part of the site outlived it")
        self.site = start_again(self.site, **self.settings)
        self.logs.append(self.site.log)

    # --- what it stands on

    def _redis(self) -> None:
        assert self.redis is not None
        self.redis.kill()
        time.sleep(self.dice.uniform(0.0, 1.5))
        self.redis.start()

    def _postmaster(self) -> None:
        self._kill_postgres(with_children=False)

    def _cluster(self) -> None:
        self._kill_postgres(with_children=True)

    def _kill_postgres(self, *, with_children: bool) -> None:
        assert self.postgres is not None
        self.postgres.kill(with_children=with_children)
        time.sleep(self.dice.uniform(0.0, 2.0))
        self.postgres.start()

    def _hang(self) -> None:
        with self._no_answers():
            time.sleep(self.dice.uniform(*HANG_S))

    @contextmanager
    def _no_answers(self) -> Iterator[None]:
        assert self.postgres is not None
        self.postgres.halt()
        yield
        self.postgres.go_on()

    # --- help

    def _child(self, name: str) -> int:
        """The number of a program of the site, once it is there (again)."""
        wait_until(lambda: name in self.site.children(), f"{name} did not come back")
        return self.site.children()[name]

    def start_remote(self) -> None:
        self.remote = self._start_remote()

    def _start_remote(self) -> subprocess.Popen[bytes]:
        assert self.line is not None
        return start_remote_worker(self.folder, "remote", api=self.site.worker_api_url, line=self.line.url)

    def end(self) -> None:
        """Politely; the site as well."""
        if self.remote is not None:
            self.remote.terminate()
            self.remote.wait(PATIENCE_S)
        end_site(self.site.process)

    def said(self) -> str:
        return "\n".join(log.read_text(errors="replace") for log in self.logs)


def plan_storm(dice: random.Random, faults: Sequence[str], count: int) -> list[str]:
    """Each kind about as often as the others, in random order."""
    whole, rest = divmod(count, len(faults))
    planned = [*faults] * whole + dice.sample(list(faults), rest)
    dice.shuffle(planned)
    return planned


@contextmanager
def place_of(
    folder: Path,
    dice: random.Random,
    *,
    redis: Redis | None = None,
    postgres: tuple[Cluster, str] | None = None,
    has_remote: bool = False,
    lease_s: float = LEASE_S,
) -> Iterator[Place]:
    """`postgres`: the server and the address of a database on it; else the embedded one."""
    settings = {
        "split_seconds": "12",
        "worker_poll_interval": "2",
        "worker_claim_duration": str(lease_s / 60),
        "stale_job_check_interval": "1",
        "max_retry_attempts": "100",
        "retry_backoff_base": "0",
        "quarantine_after": "100",
        "worker_admin_secret": WORKER_SECRET,
        "hwaccel_type": "none",
        "database_timeout": "2",
        **({"job_queue_mode": "hybrid", "redis_url": redis.url} if redis else {}),
        **({"database_url": postgres[1]} if postgres else {}),
    }
    with ExitStack() as stack:
        site = stack.enter_context(running_site(folder / "var", **settings))
        line = stack.enter_context(line_to(site.port + 2)) if has_remote else None
        place = Place(site, settings, dice, folder, redis, postgres[0] if postgres else None, line)
        place.logs.append(site.log)
        stack.callback(_leave_nothing, place)
        if has_remote:
            place.start_remote()
        yield place


def _leave_nothing(place: Place) -> None:
    if place.postgres is not None:
        place.postgres.go_on()
    if place.remote is not None and place.remote.poll() is None:
        os.killpg(place.remote.pid, signal.SIGKILL)
        place.remote.wait()
    end_site(place.site.process)


def send_each(pids: list[int], number: signal.Signals) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, number)


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] != "Z"
    except OSError:
        return False


def wait_until(condition: object, words: str, patience_s: float = PATIENCE_S) -> None:
    assert callable(condition)
    until = time.monotonic() + patience_s
    while not condition():
        assert time.monotonic() < until, words
        time.sleep(0.05)
