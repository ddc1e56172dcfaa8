"""The bell of a worker elsewhere: one waiting request to the worker API, which answers as soon as there may be work."""

from __future__ import annotations

import threading

from .contract import CoordinatorError
from .http_client import Api
from .wire import ROOT

PAUSE_S = 5.0  # after an answer that did not come; the worker looks at its queue meanwhile
REST_S = 1.0  # after one that came: however often the bell rings, the slots look at the queue once a second


class HttpBell:
    """Listens from `start` on, in a thread that ends with the process."""

    def __init__(self, api: Api, leaving: threading.Event) -> None:
        self._api = api
        self._leaving = leaving
        self._heard = 0

    def start(self) -> None:
        threading.Thread(target=self._listen, name="bell", daemon=True).start()

    def heard(self) -> int:
        return self._heard

    def _listen(self) -> None:
        while not self._leaving.is_set():
            try:
                answer = self._api.get(f"{ROOT}/bell?heard={self._heard}")
                self._heard = int(answer.json()["bell"])
                self._leaving.wait(REST_S)
            except (CoordinatorError, ValueError, KeyError, TypeError):
                self._leaving.wait(PAUSE_S)
