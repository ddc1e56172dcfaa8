"""A line to a source that counts what goes over it, and can be cut, changed and closed."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from jobs.blocks import BLOCK_BYTES
from jobs.contract import Claim, LeaseLost, Unavailable
from jobs.source_state import SourceChanged
from jobs.sources import Head

PIECE = 50_000


@dataclass
class CountingLine:
    """`cut_after`: how many bytes still come before the line breaks. `lost`: tokens that hold nothing any more."""

    data: bytes
    etag: str = "1"
    looks: int = 0
    sent: list[tuple[int, int]] = field(default_factory=list)
    cut_after: int | None = None
    lost: set[str] = field(default_factory=set)
    opened: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self.opened.set()

    @property
    def sent_bytes(self) -> int:
        return sum(stop - start for start, stop in self.sent)

    def look(self, _claim: Claim, etag: str) -> Head | None:
        self.looks += 1
        return None if etag == self.etag else Head(self.etag, len(self.data), self.data[:BLOCK_BYTES])

    @contextmanager
    def fetch(self, claim: Claim, start: int, stop: int, etag: str) -> Iterator[Iterator[bytes]]:
        self.opened.wait(20)
        if claim.token in self.lost:
            raise LeaseLost("somebody else has it")
        if etag != self.etag:
            raise SourceChanged
        yield self._pieces(start, stop)

    def _pieces(self, start: int, stop: int) -> Iterator[bytes]:
        while start < stop:
            end = min(stop, start + PIECE)
            if self.cut_after is not None:
                self.cut_after -= end - start
                if self.cut_after < 0:
                    raise Unavailable("cut")
            self.sent.append((start, end))
            yield self.data[start:end]
            start = end
