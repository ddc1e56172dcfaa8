"""Films for the ffmpegs of this process, on loopback: a random address for each job, ranges, and nothing else."""

from __future__ import annotations

import re
import secrets
import select
import socket
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from encoder.inputs import Loopback

from .contract import Claim
from .film import Film, Reading

SEND_BYTES = 128 * 1024  # what the kernel holds for a reader was fetched before it was wanted
RANGE = re.compile(r"bytes=(\d{1,18})-(\d{0,18})", re.ASCII)
ANY_BYTES = "application/octet-stream"  # ffmpeg looks at the content


class FilmServer:
    """Listens from the first film on. An address is good until its reading is closed."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._readings: dict[str, Reading] = {}  # by path
        self._server: ThreadingHTTPServer | None = None

    def open(self, film: Film, claim: Claim) -> Reading:
        path = f"/{secrets.token_urlsafe(24)}/film"
        with self._lock:
            reading = Reading(film, claim, Loopback(f"http://127.0.0.1:{self._listen()}{path}"))
            self._readings[path] = reading
        film.open(reading)
        return reading

    def forget(self, claim: Claim) -> None:
        self._close(lambda reading: reading.claim.token == claim.token)

    def forget_film(self, film: Film) -> None:
        self._close(lambda reading: reading.film is film)

    def _close(self, is_over: Callable[[Reading], bool]) -> None:
        with self._lock:
            gone = [path for path, reading in self._readings.items() if is_over(reading)]
            readings = [self._readings.pop(path) for path in gone]
        for reading in readings:
            reading.film.close(reading)

    def at(self, path: str) -> Reading | None:
        with self._lock:
            return self._readings.get(path)

    def close(self) -> None:
        with self._lock:
            server, self._server = self._server, None
        if server is not None:
            server.shutdown()
            server.server_close()

    def _listen(self) -> int:
        if self._server is None:
            self._server = _Server(("127.0.0.1", 0), _handler(self))
            threading.Thread(target=self._server.serve_forever, name="films", daemon=True).start()
        return int(self._server.server_port)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 64

    def handle_error(self, *_about: object) -> None:
        """An ffmpeg that seeks or ends hangs up in the middle of an answer: that is no news."""


def _handler(films: FilmServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        connection: socket.socket

        def setup(self) -> None:
            super().setup()
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BYTES)

        def do_HEAD(self) -> None:
            if (reading := self._find()) is not None:
                self._begin(reading)

        def do_GET(self) -> None:
            if (reading := self._find()) is not None:
                self._send(reading, *self._begin(reading))

        def _find(self) -> Reading | None:
            reading = films.at(self.path)
            if reading is None:
                self.send_error(404)
            return reading

        def _begin(self, reading: Reading) -> tuple[int, int]:
            """The head of the answer; what is to follow it: [start, stop)."""
            size = reading.film.blocks.size_bytes
            span = wanted(self.headers.get("Range"), size)
            self.send_response(200 if span is None else 206 if span else 416)
            start, stop = (0, size) if span is None else span or (0, 0)
            if span is not None:
                inner = f"{start}-{stop - 1}" if span else "*"
                self.send_header("Content-Range", f"bytes {inner}/{size}")
            self.send_header("Content-Type", ANY_BYTES)
            self.send_header("Accept-Ranges", "bytes")
            self.send_header("Content-Length", str(stop - start))
            self.end_headers()
            return start, stop

        def _send(self, reading: Reading, start: int, stop: int) -> None:
            blocks = reading.film.blocks
            with reading.film.reader(reading, blocks.block_at(start)) as reader:
                while start < stop:
                    block = blocks.block_at(start)
                    if not reading.film.bring(reader, block, self._is_gone):
                        self.close_connection = True
                        return
                    end = min(stop, blocks.span(block)[1])
                    blocks.send(self.connection, start, end)
                    start = end

        def _is_gone(self) -> bool:
            """The other end hung up; it never sends anything while it waits."""
            looks = select.poll()
            looks.register(self.connection, select.POLLIN | select.POLLHUP)
            return bool(looks.poll(0)) and not self.connection.recv(1, socket.MSG_PEEK)

        def log_message(self, *_words: object) -> None:
            """Seeks are no news."""

    return Handler


def wanted(header: str | None, size: int) -> tuple[int, int] | tuple[()] | None:
    """[start, stop) that was asked for; None: all of it; (): it cannot be had."""
    match = RANGE.fullmatch(header or "")
    if match is None:
        return None
    start, last = int(match[1]), int(match[2] or size)
    return (start, min(last + 1, size)) if start < size and start <= last else ()
