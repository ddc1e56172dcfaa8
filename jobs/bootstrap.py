"""The composition root: builds workers from settings. It and `housekeeping` are the files here that may know
`vlog_app`.
"""

from __future__ import annotations

import fcntl
import importlib.util
import os
import platform
import shutil
import signal
import socket
import threading
from collections.abc import Callable
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING

from .contract import Coordinator, Dismissed, Slot, WorkerInfo
from .devices import AtOnce, Devices
from .leftovers import FILMS, is_abandoned
from .queues import labels_of, listened_to
from .runner import Tools
from .worker import Bell, Hearable, OpenInbox, Worker, worker_slots

if TYPE_CHECKING:
    from collections.abc import Iterator

    from flask import Flask

    from vlog_app.config import Settings
    from vlog_app.ffmpeg import Ffmpeg

    from .redis_link import RedisLink

BELL_FILE = ".bell"


class AlreadyRunning(Exception):
    """Another worker with the same name works on this storage."""


def bell_for(storage: Path) -> Bell:
    return Bell(storage / BELL_FILE)


def run_local_worker(app: Flask, name: str | None = None) -> None:
    """Run the worker beside the database until SIGTERM. The segment in flight lands first; a second signal leaves at
    once. Raises AlreadyRunning, or encoder.errors.ToolMissing without an ffmpeg.
    """
    from vlog_app.config import settings
    from vlog_app.local_coordinator import LocalCoordinator

    with app.app_context():
        config = settings()
    name = name or socket.gethostname()
    bell = bell_for(config.storage_path)
    host = Host(config, f"local:{name}", name, config.work_dir)
    with _only_one(host.folder / f"{name}.lock"):
        devices = Devices()
        hears = Hears(inboxes(link_for_rq(app), devices, name), polls=config.job_queue_mode != "redis")
        _work(host, LocalCoordinator(app, sends_beside=True), bell, threading.Event(), devices, hears)


def work_for(api_url: str | None) -> str | None:
    """A remote worker set up by the environment. None: it ended as it should. Else the sentence that says why not."""
    from vlog_app.config import SettingsError, load_settings
    from vlog_app.ffmpeg import FfmpegNotFound
    from vlog_app.logs import log_to_stderr

    log_to_stderr()
    try:
        run_remote_worker(load_settings(worker_api_url=api_url))
    except (SettingsError, AlreadyRunning, FfmpegNotFound, Dismissed) as error:
        return str(error)
    return None


def run_remote_worker(config: Settings) -> None:
    """Run a worker of the site at VLOG_WORKER_API_URL until SIGTERM, without database, storage or Flask; with RQ where
    VLOG_JOB_QUEUE_MODE says so. Raises like run_local_worker, and Dismissed with a sentence when the site does not want
    this worker, or its settings do not fit together.
    """
    from .health import Health
    from .http_bell import HttpBell
    from .http_client import Api
    from .http_coordinator import HttpCoordinator
    from .sources import Sources

    if not config.worker_api_key:
        raise Dismissed("Set VLOG_WORKER_API_KEY, or VLOG_WORKER_API_KEY_FILE, to the key of this worker.")
    leaving, devices = threading.Event(), Devices()
    name = socket.gethostname()
    host = Host(config, f"remote:{name}", name, config.worker_work_dir)
    link = _remote_link(config)
    hears = Hears(inboxes(link, devices, name), polls=config.job_queue_mode != "redis")
    with (
        _only_one(host.folder / f"{name}.lock"),
        closing(Api(config.worker_api_url, config.worker_api_key)) as api,
    ):
        films = host.work_root / FILMS
        reserve_bytes = config.storage_reserve_bytes
        sources = Sources(films, config.worker_cache_size, leaving, reserve_bytes=reserve_bytes)
        coordinator = HttpCoordinator(api, sources, films, leaving, sends_beside=True)
        bell = HttpBell(api, leaving)
        if hears.polls:
            bell.start()
        health = Health(config.worker_health_port, api, coordinator, 3 * config.worker_heartbeat_interval)
        with closing(coordinator), health:
            _work(host, coordinator, bell, leaving, devices, hears, reserve_bytes)


@dataclass(frozen=True, slots=True)
class Host:
    """Where a worker runs. `folder` is its scratch, shared with workers of other names."""

    config: Settings
    id: str
    name: str
    folder: Path

    @property
    def work_root(self) -> Path:
        return self.folder / self.name


@dataclass(frozen=True, slots=True)
class Hears:
    """How a worker learns of jobs beside the bell: by messages, by looking itself, or both."""

    open_inbox: OpenInbox | None = None
    polls: bool = True


def _work(
    host: Host,
    coordinator: Coordinator,
    bell: Hearable,
    leaving: threading.Event,
    devices: Devices,
    hears: Hears,
    reserve_bytes: int = 0,
) -> None:
    """What every worker does, wherever it lives, until it is asked to leave."""
    from vlog_app.ffmpeg import find_ffmpeg

    config = host.config
    ffmpeg = find_ffmpeg(config.ffmpeg)
    info = WorkerInfo(host.id, host.name, _facts(ffmpeg.version, config.worker_encode_slots))
    tools = Tools(
        ffmpeg=ffmpeg.path,
        work_root=host.work_root,
        devices=devices,
        stall_s=config.no_progress_timeout,
        wall_multiplier=config.ffmpeg_timeout_base_multiplier,
        wall_min_s=config.ffmpeg_timeout_minimum,
        wall_max_s=config.ffmpeg_timeout_maximum,
        at_once=AtOnce(None if config.parallel_qualities_auto else config.parallel_qualities),
        reserve_bytes=reserve_bytes,
    )
    tools.leftovers.gather()  # nobody else uses this name, see _only_one
    _forget_abandoned(host.folder)
    worker = Worker(
        info,
        coordinator,
        tools,
        bell,
        poll_s=config.worker_poll_interval,
        heartbeat_s=config.worker_heartbeat_interval,
        slots=worker_slots(config.worker_encode_slots),
        leaving=leaving,
        open_inbox=hears.open_inbox,
        polls=hears.polls,
    )
    stop_on_signal(worker.stop)
    test = threading.Thread(
        target=_learn_devices, args=(worker, tools.devices, host, ffmpeg), name="devices", daemon=True
    )
    test.start()  # takes seconds where there is a GPU; work begins on the CPU meanwhile
    worker.run()
    if worker.dismissal is not None or not tools.leftovers.headings():
        shutil.rmtree(tools.work_root, ignore_errors=True)
    if worker.dismissal is not None:
        raise worker.dismissal


def inboxes(link: RedisLink | None, devices: Devices, name: str) -> OpenInbox | None:
    """An RQ worker for each slot, listening to what this host can do; None where workers only poll."""
    if link is None:
        return None
    from .rq_tasks import Inbox

    def open_inbox(slot: Slot, carry_out: Callable[[int], object]) -> Inbox:
        def names() -> list[str]:
            return listened_to(slot, labels_of(devices.all))

        return Inbox(link, f"{name}-{slot.name}", names, carry_out)

    return open_inbox


def _remote_link(config: Settings) -> RedisLink | None:
    """The Redis of the site, where this host is set to hear by it. Raises Dismissed."""
    if not config.uses_rq:
        return None
    if config.redis_url == "embedded":
        raise Dismissed("VLOG_REDIS_URL is embedded, which is there beside the site only: give its address.")
    if importlib.util.find_spec("rq") is None:
        sentence = "needs RQ, which is not installed here: install requirements.lock, or set it to database."
        raise Dismissed(f"VLOG_JOB_QUEUE_MODE is {config.job_queue_mode}, which {sentence}")
    from vlog_app.redis_links import link_to

    return link_to(config, config.redis_address)


def link_for_rq(app: Flask) -> RedisLink | None:
    from vlog_app.config import settings
    from vlog_app.services import wakeup

    with app.app_context():
        return wakeup.link() if settings().uses_rq else None


def _learn_devices(worker: Worker, known: Devices, host: Host, ffmpeg: Ffmpeg) -> None:
    from vlog_app import devices

    inventory = devices.find(host.config, ffmpeg, host.folder)
    known.know(inventory)
    worker.learn(devices.facts(inventory))


def _facts(ffmpeg_version: str, encode_slots: int) -> dict[str, object]:
    return {
        "ffmpeg": ffmpeg_version,
        "cores": os.cpu_count(),
        "device": "cpu",
        "machine": platform.machine(),
        "encode_slots": encode_slots,
        "host": socket.gethostname(),
    }


@contextmanager
def _only_one(path: Path) -> Iterator[IO[str]]:
    """Two workers with one name would take each other's leases at start."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise AlreadyRunning(f"A worker named {path.stem} already works on this storage.") from None
        yield handle


def _forget_abandoned(folder: Path) -> None:
    """In containers each start may have another name: what the others left is nobody's."""
    for lock in folder.glob("*.lock"):
        scratch = lock.with_suffix("")
        with suppress(AlreadyRunning, OSError), _only_one(lock):
            if is_abandoned(scratch):
                shutil.rmtree(scratch, ignore_errors=True)


def stop_on_signal(stop: Callable[[], None]) -> None:
    """First SIGTERM or SIGINT: politely. Second: now."""
    asked = False

    def on_signal(_number: int, _frame: object) -> None:
        nonlocal asked
        if asked:
            os._exit(1)  # children die with us; leases run out or are taken back at the next start
        asked = True
        stop()

    signal.signal(signal.SIGTERM, on_signal)
    signal.signal(signal.SIGINT, on_signal)
