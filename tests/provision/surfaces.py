"""Single surfaces under gunicorn, as `flask vlog up` starts them, with no worker and no scheduler beside them."""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from urllib.request import urlopen

from vlog_app import Surface
from vlog_app.cli.up import serve
from vlog_app.config import Settings

from .site import free_ports

PATIENCE_S = 60.0


def on_free_ports(config: Settings) -> Settings:
    base = free_ports()
    ports = {"public_port": base, "admin_port": base + 1, "worker_api_port": base + 2}
    return config.model_copy(update=ports)


@contextmanager
def running_surfaces(config: Settings, *surfaces: Surface) -> Iterator[None]:
    """On the ports that `config` names. Ends with the block."""
    with ExitStack() as stack:
        for surface in surfaces:
            stack.enter_context(_running(config, surface))
        for surface in surfaces:
            _wait_for(url_of(config, surface))
        yield


def url_of(config: Settings, surface: Surface) -> str:
    return f"http://127.0.0.1:{config.ports[surface]}"


@contextmanager
def _running(config: Settings, surface: Surface) -> Iterator[None]:
    server = multiprocessing.get_context("spawn").Process(target=serve, args=(config, surface))
    server.start()
    try:
        yield
    finally:
        server.terminate()
        server.join(PATIENCE_S)


def _wait_for(url: str) -> None:
    until = time.monotonic() + PATIENCE_S
    while True:
        try:
            with urlopen(f"{url}/healthz"):
                return
        except OSError:
            assert time.monotonic() < until, f"{url} does not answer"
            time.sleep(0.05)
