"""People who use a site while things die: one looks around, one sends a film in, piece by piece."""

from __future__ import annotations

import base64
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import httpx2

from tests.faults.beside import Beside

PIECES = 24
TRY_AGAIN_S = 0.3
PATIENCE_S = 240.0
LONGEST_ANSWER_S = 60.0


class Visitor(Beside):
    """Asks for one address after the other. `answers` counts (address, status); 0 is no answer at all."""

    def __init__(self, addresses: list[str], headers: dict[str, str]) -> None:
        self.answers: Counter[tuple[str, int]] = Counter()
        self.unplanned: list[str] = []
        self._addresses = addresses
        self._headers = headers
        self._begin()

    def statuses(self) -> Counter[int]:
        counts: Counter[int] = Counter()
        for (_address, status), number in self.answers.items():
            counts[status] += number
        return counts

    def _run(self) -> None:
        with httpx2.Client(timeout=LONGEST_ANSWER_S, headers=self._headers) as http:
            while not self._over.is_set():
                for address in self._addresses:
                    self._ask(http, address)
                    self._over.wait(0.02)

    def _ask(self, http: httpx2.Client, address: str) -> None:
        try:
            answer = http.get(address)
        except httpx2.HTTPError:
            self.answers[address, 0] += 1
            return
        self.answers[address, answer.status_code] += 1
        is_planned = answer.status_code == 503 and (
            "Nothing was lost" in answer.text or "checks" in answer.text
        )
        if answer.status_code >= 400 and not is_planned:
            self.unplanned.append(f"{address} {answer.status_code} {answer.text[:400]}")


class Listener(Beside):
    """Keeps a live stream open, and opens it again whenever it ends. `heard` counts what was told."""

    def __init__(self, address: str, headers: dict[str, str]) -> None:
        self.heard = 0
        self._address = address
        self._headers = headers
        self._begin()

    def _run(self) -> None:
        with httpx2.Client(timeout=LONGEST_ANSWER_S, headers=self._headers) as http:
            while not self._over.wait(TRY_AGAIN_S):
                try:
                    with http.stream("GET", self._address) as answer:
                        for line in answer.iter_lines():
                            self.heard += line.startswith("event:")
                            if self._over.is_set():
                                return
                except httpx2.HTTPError:
                    continue


class Sender(threading.Thread):
    """Sends one film by tus, slowly, and goes on wherever the server says it stands. Join it, then `slug` is there."""

    def __init__(self, url: str, secret: str, film: Path, title: str, *, pause_s: float) -> None:
        super().__init__(daemon=True)
        self.slug = ""
        self.stumbles: Counter[str] = Counter()
        self._url = url
        self._data = film.read_bytes()
        self._title = title
        self._pause_s = pause_s
        self._headers = {"X-Admin-Secret": secret, "Tus-Resumable": "1.0.0"}

    def run(self) -> None:
        self._until = time.monotonic() + PATIENCE_S
        with httpx2.Client(timeout=LONGEST_ANSWER_S, headers=self._headers) as http:
            place = self._again_and_again(lambda: self._announce(http))
            while not self.slug and time.monotonic() < self._until:
                self._again_and_again(lambda: self._send_some(http, place))
                time.sleep(self._pause_s)

    def _announce(self, http: httpx2.Client) -> str:
        title = base64.b64encode(self._title.encode()).decode()
        headers = {
            "Upload-Length": str(len(self._data)),
            "Upload-Metadata": f"title {title},filename {title}",
            "Idempotency-Key": self._title,
        }
        return f"{self._url}{_good(http.post(f'{self._url}/uploads', headers=headers)).headers['Location']}"

    def _send_some(self, http: httpx2.Client, place: str) -> str:
        stands = _good(http.head(place))
        if not self._is_done(stands):
            offset = int(stands.headers["Upload-Offset"])
            piece = self._data[offset : offset + len(self._data) // PIECES + 1]
            headers = {"Upload-Offset": str(offset), "Content-Type": "application/offset+octet-stream"}
            self._is_done(_good(http.patch(place, headers=headers, content=piece)))
        return place

    def _is_done(self, answer: httpx2.Response) -> bool:
        self.slug = answer.headers.get("X-Video-Slug", "")
        return bool(self.slug)

    def _again_and_again(self, call: Callable[[], str]) -> str:
        while True:
            try:
                return call()
            except httpx2.HTTPError as error:
                response = getattr(error, "response", None)
                self.stumbles[
                    str(response.status_code) if response is not None else type(error).__name__
                ] += 1
                if time.monotonic() > self._until:
                    raise
            time.sleep(TRY_AGAIN_S)


def _good(answer: httpx2.Response) -> httpx2.Response:
    return answer.raise_for_status()
