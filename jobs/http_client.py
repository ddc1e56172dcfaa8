"""One worker's line to the worker API: keep-alive, patient retries, refusals in the words of the contract."""

from __future__ import annotations

import logging
import random
import socket
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.request import getproxies

import httpx2

from encoder.errors import SourceUnreadable, StorageFull

from .contract import CoordinatorError, Dismissed, Incomplete, LeaseLost, Refused, Unavailable
from .source_state import SourceReplaced
from .wire import KEY_HEADER, LeaseCode

logger = logging.getLogger(__name__)

CONNECT_S = 10.0
SILENCE_S = 30.0  # no byte moved for this long: the line is dead. Never a limit on a whole transfer.
FIRST_PAUSE_S = 0.5  # doubles ...
LONGEST_PAUSE_S = 15.0  # ... up to here
LONGEST_RETRY_AFTER_S = 60.0
PIECE_BYTES = 64 * 1024
AHEAD_BYTES = 128 * 1024
TCP_NOTSENT_LOWAT = 25  # linux/tcp.h
AGAIN = (408, 425, 429, 500, 502, 503, 504)  # the same request may be answered better later
DAMAGED_ON_THE_WAY = (LeaseCode.CHECKSUM, LeaseCode.LENGTH)


Answer = httpx2.Response


class Differs(CoordinatorError):
    """The segment is in already, with other bytes."""


class Disabled(Unavailable):
    """The owner turned this worker off, until it is turned on again."""


class Api:
    """Used by several threads. `patience_s` of a call: how long it is tried again while nobody answers."""

    def __init__(self, url: str, key: str, *, silence_s: float = SILENCE_S) -> None:
        self.url = url.rstrip("/")
        self.reached_at: float | None = None  # monotonic
        self._silence_s = silence_s
        self._http = httpx2.Client(
            base_url=self.url,
            headers={KEY_HEADER: key},
            timeout=_timeout(silence_s),
            transport=_transport(),
            follow_redirects=False,  # the key goes to nobody else
        )

    def close(self) -> None:
        self._http.close()

    def post(
        self,
        path: str,
        body: Mapping[str, Any],
        *,
        patience_s: float = 0.0,
        silence_s: float | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> dict[str, Any]:
        """The answer's JSON. `silence_s`: how long it is waited for. Raises CoordinatorError, StorageFull."""
        timeout = _timeout(silence_s or self._silence_s)
        return self._json(
            lambda: self._http.post(path, json=body, headers=headers, timeout=timeout), patience_s
        )

    def put_files(
        self, path: str, parts: Sequence[Path], headers: Mapping[str, str], *, patience_s: float
    ) -> dict[str, Any]:
        """Sends files, one after the other in one body; from the start again when the line breaks. Patience begins anew
        while more gets through than ever before: a slow line is no broken one.
        """
        length = {"Content-Length": str(sum(part.stat().st_size for part in parts))}
        record = _Record()
        return self._json(
            lambda: self._http.put(path, content=_pieces(parts, record), headers={**headers, **length}),
            patience_s,
            record,
        )

    def get(self, path: str, *, patience_s: float = 0.0, headers: Mapping[str, str] | None = None) -> Answer:
        """The whole answer. For small ones."""
        return self._try(lambda: self._http.get(path, headers=headers), patience_s, _Record())

    @contextmanager
    def stream(self, path: str, headers: Mapping[str, str]) -> Iterator[Answer]:
        """One try. Raises Unavailable when the line breaks, also while the answer is read."""
        try:
            with self._http.stream("GET", path, headers=headers) as answer:
                self.reached_at = time.monotonic()
                if answer.status_code not in (200, 206, 304, 416):
                    answer.read()
                    raise _refusal(answer)
                yield answer
        except httpx2.HTTPError as error:
            raise Unavailable(f"the connection to {self.url} broke") from error

    def _json(
        self, send: Callable[[], Answer], patience_s: float, record: _Record | None = None
    ) -> dict[str, Any]:
        answer = self._try(send, patience_s, record or _Record())
        try:
            data = answer.json()
        except ValueError:
            data = None
        if not isinstance(data, dict):
            raise Unavailable(f"{self.url} is no worker API of VLog")
        return data

    def _try(self, send: Callable[[], Answer], patience_s: float, record: _Record) -> Answer:
        pause_s = FIRST_PAUSE_S
        while True:
            answer, error = self._once(send)
            if answer is not None and answer.is_success:
                return answer
            wait_s = _wait_s(answer, pause_s)
            is_over = time.monotonic() + wait_s > record.set_at + patience_s
            if is_over or not _is_worth_a_retry(answer):
                raise _refusal(answer) if answer is not None else self._away(error)
            time.sleep(wait_s)
            pause_s = min(LONGEST_PAUSE_S, pause_s * 2)

    def _once(self, send: Callable[[], Answer]) -> tuple[Answer | None, Exception | None]:
        try:
            answer = send()
        except httpx2.HTTPError as error:
            return None, error
        self.reached_at = time.monotonic()
        return answer, None

    def _away(self, error: Exception | None) -> Unavailable:
        away = Unavailable(f"{self.url} does not answer ({type(error).__name__})")
        away.__cause__ = error
        return away


@dataclass(slots=True)
class _Record:
    """The most of a body that got through in one try, and when."""

    sent_bytes: int = 0
    set_at: float = field(default_factory=time.monotonic)

    def note(self, sent_bytes: int) -> None:
        if sent_bytes > self.sent_bytes:
            self.sent_bytes, self.set_at = sent_bytes, time.monotonic()


def _timeout(silence_s: float) -> httpx2.Timeout:
    return httpx2.Timeout(silence_s, connect=min(CONNECT_S, silence_s), pool=None)


def _transport() -> httpx2.HTTPTransport | None:
    """The kernel takes little ahead of a slow line, so that what is sent is on its way: else a whole segment would
    wait in a buffer, and its answer be given up. None: a proxy is set in the environment, which decides for itself.
    """
    if getproxies() or sys.platform != "linux":
        return None
    return httpx2.HTTPTransport(socket_options=[(socket.IPPROTO_TCP, TCP_NOTSENT_LOWAT, AHEAD_BYTES)])


def _pieces(parts: Sequence[Path], record: _Record) -> Iterator[bytes]:
    sent = 0
    for part in parts:
        with part.open("rb") as opened:
            while piece := opened.read(PIECE_BYTES):
                yield piece
                record.note(sent := sent + len(piece))


def _wait_s(answer: Answer | None, pause_s: float) -> float:
    """What the server asks for, else a random part of the pause, so that workers do not come back together."""
    asked = answer.headers.get("Retry-After", "") if answer is not None else ""
    if asked.isascii() and asked.isdigit():
        return min(LONGEST_RETRY_AFTER_S, float(asked)) * random.uniform(1.0, 1.2)  # noqa: S311  (spreads load)
    return pause_s * random.uniform(0.5, 1.0)  # noqa: S311  (spreads load)


def _is_worth_a_retry(answer: Answer | None) -> bool:
    if answer is None:
        return True
    code = _facts(answer)[0]
    return (answer.status_code in AGAIN and code != LeaseCode.LOW) or code in DAMAGED_ON_THE_WAY


def _facts(answer: Answer) -> tuple[str, str]:
    """Code and words of a refusal."""
    try:
        data = answer.json()
        return str(data.get("code", "")), str(data.get("detail", ""))
    except (ValueError, AttributeError, httpx2.ResponseNotRead):
        return "", ""


def _refusal(answer: Answer) -> Exception:
    """What the server's "no" means to a worker."""
    code, words = _facts(answer)
    match answer.status_code, code:
        case 409, LeaseCode.DIFFERS:
            return Differs(words)
        case 409, LeaseCode.REPLACED:
            return SourceReplaced()
        case (409, _) | (403, LeaseCode.NOT_YOURS):
            return LeaseLost(words or "the server gave the job to somebody else")
        case 403, LeaseCode.DISABLED:
            return Disabled(words)
        case 503, LeaseCode.LOW:
            return StorageFull(words, code=LeaseCode.LOW)  # the disk of the site, not ours
        case 401, _:
            return Dismissed(words or "The server refuses the key of this worker.")
        case 404, LeaseCode.NO_SOURCE:
            return SourceUnreadable(words, code=LeaseCode.NO_SOURCE)
        case 422, LeaseCode.INCOMPLETE:
            return Incomplete(words)
        case (400 | 411 | 413 | 422, _):
            return Refused(words)
        case _:
            return Unavailable(f"the server answered {answer.status_code} {words}".rstrip())
