"""How a remote worker is, said on loopback to whoever watches over it: a container's probe, a person with curl."""

from __future__ import annotations

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

from .http_client import Api
from .http_coordinator import HttpCoordinator


class Health:
    """Answers `GET /healthz` while in use; port 0 is no answer at all. Healthy: the server was reached lately."""

    def __init__(self, port: int, api: Api, coordinator: HttpCoordinator, patience_s: float) -> None:
        self._api = api
        self._coordinator = coordinator
        self._patience_s = patience_s
        self._port = port
        self._server: ThreadingHTTPServer | None = None

    def __enter__(self) -> Self:
        if self._port:
            self._server = ThreadingHTTPServer(("127.0.0.1", self._port), _handler(self))
            threading.Thread(target=self._server.serve_forever, name="health", daemon=True).start()
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _tb: TracebackType | None
    ) -> None:
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()

    def facts(self) -> dict[str, Any]:
        reached = self._api.reached_at
        silent_s = None if reached is None else round(time.monotonic() - reached, 1)
        is_well = silent_s is not None and silent_s <= self._patience_s
        return {
            "status": "healthy" if is_well else "unhealthy",
            "server": self._api.url,
            "reached_seconds_ago": silent_s,
            "jobs": self._coordinator.jobs_at_work,
        }


def _handler(health: Health) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path != "/healthz":
                self.send_error(404)
                return
            facts = health.facts()
            body = json.dumps(facts).encode()
            self.send_response(200 if facts["status"] == "healthy" else 503)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_words: object) -> None:
            """A probe every few seconds is no news."""

    return Handler
