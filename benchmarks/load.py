"""Clients light enough to leave the machine to the server: a socket each, bytes made once, no HTTP library."""

from __future__ import annotations

import json
import re
import socket
import statistics
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
PATIENCE_S = 60.0


class Line:
    """One connection that stays open; opened again when the server has closed it."""

    def __init__(self, url: str, **headers: str) -> None:
        parts = urlsplit(url)
        self._address = str(parts.hostname), parts.port or 80
        named = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
        self._head = f"Host: {parts.netloc}\r\nContent-Type: application/json\r\n{named}"
        self._socket: socket.socket | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _tb: TracebackType | None
    ) -> None:
        self.close()

    def post(self, path: str, body: object, **headers: str) -> Any:
        """The answer's JSON. Raises SystemExit for any status but 200: a benchmark counts what went well."""
        data = json.dumps(body)
        named = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
        head = f"POST {path} HTTP/1.1\r\n{self._head}{named}Content-Length: {len(data)}\r\n\r\n"
        status, answer = self._ask((head + data).encode())
        if status != 200:
            raise SystemExit(f"{path} answers {status}: {answer[:300].decode()}")
        return json.loads(answer)

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _ask(self, request: bytes) -> tuple[int, bytes]:
        try:
            return self._exchange(request)
        except (ConnectionError, EOFError):  # it was idle for longer than the server keeps it
            self.close()
            return self._exchange(request)

    def _exchange(self, request: bytes) -> tuple[int, bytes]:
        if self._socket is None:
            self._socket = socket.create_connection(self._address, PATIENCE_S)
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket.sendall(request)
        answer = b""
        while (end := answer.find(b"\r\n\r\n")) < 0:
            answer += self._more(self._socket)
        length = LENGTH.search(answer[:end])
        assert length is not None, "an answer without a length"
        whole = end + 4 + int(length[1])
        while len(answer) < whole:
            answer += self._more(self._socket)
        return int(answer[9:12]), answer[end + 4 :]

    @staticmethod
    def _more(connection: socket.socket) -> bytes:
        if piece := connection.recv(65536):
            return piece
        raise EOFError


@dataclass(frozen=True, slots=True)
class Timings:
    """Seconds of each call, and of all together."""

    seconds: tuple[float, ...]
    lasted_s: float

    @property
    def per_second(self) -> float:
        return round(len(self.seconds) / self.lasted_s, 1)

    def ms(self, percentile: int) -> float:
        if len(self.seconds) < 2:
            return 0.0
        return round(1000 * statistics.quantiles(self.seconds, n=100, method="inclusive")[percentile - 1], 1)


def together(clients: int, work: Callable[[int, list[float]], None]) -> Timings:
    """`work(number, seconds)` of all clients at once, each in a thread; it notes what its calls took."""
    noted: list[list[float]] = [[] for _ in range(clients)]
    start = threading.Barrier(clients + 1)

    def run(number: int) -> None:
        start.wait()
        work(number, noted[number])

    threads = [threading.Thread(target=run, args=(number,)) for number in range(clients)]
    for thread in threads:
        thread.start()
    start.wait()
    began = time.perf_counter()
    for thread in threads:
        thread.join()
    return Timings(tuple(each for of_one in noted for each in of_one), time.perf_counter() - began)
