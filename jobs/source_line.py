"""Sources over the worker API: their state, and ranges of them."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

from encoder.errors import SourceUnreadable

from .blocks import BLOCK_BYTES
from .contract import Claim, Drained, Unavailable
from .http_client import Answer, Api
from .source_state import SourceChanged
from .sources import Head
from .wire import ROOT, TOKEN_HEADER, LeaseCode

A_RANGE, UNCHANGED, NOT_THERE = 206, 304, 416
BREAK_PAUSE_S = 1.0  # between two tries
CONTENT_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+)", re.ASCII)


class HttpSourceLine:
    """See sources.SourceLine. `guard`: what stands around every call about a claim."""

    def __init__(
        self, api: Api, guard: Callable[[Claim], AbstractContextManager[None]], leaving: threading.Event
    ) -> None:
        self._api = api
        self._guard = guard
        self._leaving = leaving

    def look(self, claim: Claim, etag: str) -> Head | None:
        until = time.monotonic() + claim.lease_s
        while True:
            try:
                return self._look(claim, etag)
            except Unavailable:
                if time.monotonic() > until:
                    raise
            if self._leaving.wait(BREAK_PAUSE_S):
                raise Drained

    def _look(self, claim: Claim, etag: str) -> Head | None:
        with self._ask(claim, 0, BLOCK_BYTES, {"If-None-Match": etag} if etag else {}) as answer:
            if answer.status_code == UNCHANGED:
                return None
            if answer.status_code == NOT_THERE:
                raise SourceUnreadable("The source file on the site is empty.", code=LeaseCode.NO_SOURCE)
            size = _require_range(answer, 0)
            head = Head(answer.headers.get("ETag", ""), size, answer.read())
        if len(head.data) != min(size, BLOCK_BYTES):
            raise Unavailable("the server sent another part than was asked for")
        return head

    @contextmanager
    def fetch(self, claim: Claim, start: int, stop: int, etag: str) -> Iterator[Iterator[bytes]]:
        with self._ask(claim, start, stop, {"If-Range": etag}) as answer:
            if answer.status_code != A_RANGE or answer.headers.get("ETag") != etag:
                raise SourceChanged
            _require_range(answer, start)
            yield answer.iter_raw()  # as it comes: what is here must survive a broken connection

    @contextmanager
    def _ask(self, claim: Claim, start: int, stop: int, more: dict[str, str]) -> Iterator[Answer]:
        headers = {TOKEN_HEADER: claim.token, "Range": f"bytes={start}-{stop - 1}", **more}
        path = f"{ROOT}/leases/{claim.job_id}/source"
        with self._guard(claim), self._api.stream(path, headers) as answer:
            yield answer


def _require_range(answer: Answer, start: int) -> int:
    """The length of the whole."""
    match = CONTENT_RANGE.fullmatch(answer.headers.get("Content-Range", ""))
    if answer.status_code != A_RANGE or match is None or int(match[1]) != start:
        raise Unavailable("the server sent another part than was asked for")
    return int(match[3])
