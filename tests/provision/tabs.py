"""Open tabs of the owner: event streams over real sockets, each with a sign-in of its own."""

from __future__ import annotations

import http.client
import json
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from vlog_app.blueprints.admin.auth import COOKIE
from vlog_app.services import admin_sessions

PATIENCE_S = 60.0


@dataclass(frozen=True, slots=True)
class Heard:
    """`at` is time.monotonic()."""

    at: float
    name: str
    data: dict[str, Any]


class Tab:
    """Listens in a thread until it is closed."""

    def __init__(self, url: str, token: str, path: str) -> None:
        self._line = http.client.HTTPConnection(urlsplit(url).netloc, timeout=PATIENCE_S)
        self._line.request("GET", path, headers={"Cookie": f"{COOKIE}={token}"})
        self._answer = self._line.getresponse()
        assert self._answer.status == 200, self._answer.read()
        self._heard: list[Heard] = []
        self._news = threading.Condition()
        self._is_closed = False
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()

    def first(self, name: str, *, after: float, within_s: float = PATIENCE_S) -> Heard | None:
        """The first event of this name that was heard after that time; None: none was."""
        with self._news:
            self._news.wait_for(lambda: self._find(name, after) is not None, within_s)
            return self._find(name, after)

    def close(self) -> None:
        self._is_closed = True
        if self._line.sock is not None:
            self._line.sock.shutdown(2)
        self._thread.join(PATIENCE_S)
        self._line.close()

    def _find(self, name: str, after: float) -> Heard | None:
        return next((each for each in self._heard if each.name == name and each.at > after), None)

    def _listen(self) -> None:
        name = ""
        try:
            while line := self._answer.readline():
                field, _, value = line.decode().rstrip("\n").partition(": ")
                if field == "event":
                    name = value
                elif field == "data":
                    self._note(Heard(time.monotonic(), name, json.loads(value)))
        except (OSError, ValueError, http.client.HTTPException):
            if not self._is_closed:
                raise

    def _note(self, heard: Heard) -> None:
        with self._news:
            self._heard.append(heard)
            self._news.notify_all()


@contextmanager
def open_tabs(url: str, number: int, path: str = "/api/events/progress") -> Iterator[list[Tab]]:
    """Call inside an app context. Each has heard its first words."""
    with ExitStack() as stack:
        tabs = []
        for _ in range(number):
            token = admin_sessions.sign_in(admin_sessions.utc_now(), keep=False).token
            tab = Tab(url, token, path)
            stack.callback(tab.close)
            tabs.append(tab)
        for tab in tabs:
            assert tab.first("initial", after=0.0), "a stream that says nothing"
        yield tabs
