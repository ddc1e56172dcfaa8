"""The live hub: one thread per process reads new events and tells every open stream which videos changed.

It reads them from the database, and Redis only says when: so every process gets every event, also those that happened
while Redis was away. Without Redis it looks four times a second, once for all streams.
"""

from __future__ import annotations

import logging
import queue
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import FrameType

from flask import Flask, current_app
from sqlalchemy import func, select
from sqlalchemy.exc import SQLAlchemyError

from ..database import words_of
from ..extensions import db
from ..models import Event
from . import wakeup
from .ear import Ear

logger = logging.getLogger(__name__)

POLL_S = 0.25
CALM_S = 5.0  # how often it looks while Redis would tell: a message may have been lost
GATHER_S = 0.05  # what happens within this time is read together
MAX_STREAMS = 24  # each holds a thread of the web server; beyond it pages poll
BATCH = 1000
OVERLAP = 200  # ids read again each time: on PostgreSQL a smaller id may be committed after a larger one
BACKLOG = 500  # changes a slow reader may be behind before it is told to start over
HUB_KEY = "vlog.live_hub"


class HubFull(Exception):
    """No room for another stream."""


@dataclass(frozen=True, slots=True)
class Change:
    """Something happened to a video; `kinds` are services.events.EventKind values."""

    video_id: int
    kinds: frozenset[str]


@dataclass(slots=True, eq=False)
class Subscription:
    """One open stream. `video_ids` None hears of every video."""

    video_ids: frozenset[int] | None
    changes: queue.Queue[Change | None] = field(default_factory=lambda: queue.Queue(BACKLOG))
    is_closed: bool = False

    def wants(self, video_id: int) -> bool:
        return self.video_ids is None or video_id in self.video_ids

    def next(self, timeout_s: float) -> Change | None:
        """None after a quiet time, or when the stream was closed."""
        try:
            return self.changes.get(timeout=timeout_s)
        except queue.Empty:
            return None

    def push(self, change: Change) -> None:
        try:
            self.changes.put_nowait(change)
        except queue.Full:
            self.close()

    def close(self) -> None:
        self.is_closed = True
        try:
            self.changes.put_nowait(None)
        except queue.Full:
            pass  # its reader has something to wake up for already


class Hub:
    """Fans events out. Its thread lives while somebody listens, and never keeps the process alive."""

    def __init__(self, app: Flask) -> None:
        self._app = app
        self._lock = threading.Lock()
        self._subscriptions: set[Subscription] = set()
        self._thread: threading.Thread | None = None
        self._stopped = threading.Event()
        self._ear: Ear | None = None
        self._seen: set[int] = set()
        self._start_id = 0  # what was there before the first reader came is in its first numbers

    @contextmanager
    def subscribe(self, video_ids: frozenset[int] | None) -> Iterator[Subscription]:
        """Raises HubFull. Call it where a database session may be used."""
        subscription = Subscription(video_ids)
        with self._lock:
            if len(self._subscriptions) >= MAX_STREAMS or self._stopped.is_set():
                raise HubFull
            self._subscriptions.add(subscription)
            if self._thread is None:
                # Read here, not in the thread: what happens from now on is news to this reader.
                self._start_id = db.session.scalar(select(func.max(Event.id))) or 0
                self._ear = self._ear or _ear()
                self._thread = threading.Thread(target=self._run, name="live-hub", daemon=True)
                self._thread.start()
        try:
            yield subscription
        finally:
            with self._lock:
                self._subscriptions.discard(subscription)

    def stop(self) -> None:
        """Ends every stream, so that the server can end at once."""
        self._stopped.set()
        if self._ear is not None:
            self._ear.close()
        for subscription in list(self._subscriptions):
            subscription.close()

    def _run(self) -> None:
        last_id = self._start_id
        while self._wait():
            with self._lock:
                if not self._subscriptions:
                    self._thread = None
                    return
            last_id = self._poll(last_id)

    def _wait(self) -> bool:
        """Until there may be news; False once the hub is stopped."""
        if self._ear is None:
            return not self._stopped.wait(POLL_S)
        self._ear.wait(CALM_S if self._ear.is_listening else POLL_S)
        return not self._stopped.wait(GATHER_S)

    def _poll(self, last_id: int) -> int:
        try:
            with self._app.app_context():
                return self._deliver(last_id)
        except SQLAlchemyError as error:
            facts = {"action": "live.poll_failed"}
            logger.warning("live hub cannot read events: %s", words_of(error), extra=facts)
            return last_id

    def _deliver(self, last_id: int) -> int:
        query = select(Event.id, Event.video_id, Event.kind).where(Event.id > last_id - OVERLAP)
        rows = [
            row for row in db.session.execute(query.order_by(Event.id).limit(BATCH)) if self._is_new(row.id)
        ]
        kinds: dict[int, set[str]] = {}
        for row in rows:
            kinds.setdefault(row.video_id, set()).add(row.kind)
        with self._lock:
            listeners = list(self._subscriptions)
        for video_id, found in kinds.items():
            change = Change(video_id, frozenset(found))
            for listener in listeners:
                if listener.wants(video_id):
                    listener.push(change)
        last_id = max((row.id for row in rows), default=last_id)
        self._seen = {seen for seen in self._seen if seen > last_id - OVERLAP}
        return max(last_id, 0)

    def _is_new(self, event_id: int) -> bool:
        if event_id in self._seen or event_id <= self._start_id:
            return False
        self._seen.add(event_id)
        return True


def _ear() -> Ear | None:
    link = wakeup.link()
    return None if link is None else Ear(link, wakeup.channel())


def init_app(app: Flask) -> None:
    hub = Hub(app)
    app.extensions[HUB_KEY] = hub
    _stop_with_process(hub)


def hub() -> Hub:
    found: Hub = current_app.extensions[HUB_KEY]
    return found


def _stop_with_process(hub: Hub) -> None:
    """The web server waits for open answers when it is told to end; an open stream would make it wait in vain."""
    if threading.current_thread() is not threading.main_thread():
        return
    before = signal.getsignal(signal.SIGTERM)
    if not callable(before):
        return

    def stop_then(number: int, frame: FrameType | None) -> None:
        hub.stop()
        before(number, frame)

    signal.signal(signal.SIGTERM, stop_then)
