"""Server-sent events for the owner's pages: which video changed, how far each encode is."""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from flask import Flask, Response, current_app, g, request
from sqlalchemy import and_, or_, select
from sqlalchemy.exc import SQLAlchemyError

from ...config import settings
from ...database import is_away, words_of
from ...errors import Problem
from ...extensions import db, limiter
from ...models import Encode, Rendition, Video
from ...services import admin_sessions
from ...services.events import EventKind
from ...services.generations import AT_WORK
from ...services.grid import AUDIO_WEIGHT, whole_percent
from ...services.live import Change, HubFull, Subscription, hub
from .auth import COOKIE
from .blueprint import blueprint

logger = logging.getLogger(__name__)

BEAT_S = 5.0  # the page calls a stream silent after 10 s
PROGRESS_EVERY_S = 1.0  # full numbers of one video, at most
MAX_IDS = 200
NUMBERS_KEPT = 200  # videos
NUMBERS_KEY = "vlog.live_numbers"
ENDED = frozenset({EventKind.READY, EventKind.FAILED, EventKind.CANCELLED})
STATUS_WORDS = {
    "pending": "pending",
    "processing": "processing",
    "viewable": "processing",
    "ready": "completed",
}


@blueprint.get("/api/events/progress")
@limiter.exempt
def progress_events() -> Response:
    return answer(VideoStream(_wanted_ids()))


def answer(stream: Stream) -> Response:
    """A stream until the reader leaves, signs out or the server ends. 503 when too many are open: then poll."""
    try:
        first = stream.open()
    except HubFull:
        words = "Too many live views are open. This page asks every few seconds instead."
        raise Problem(503, "streams_full", words, headers={"Retry-After": "30"}) from None
    db.session.remove()  # nothing is held while the stream is open
    answer = Response(stream.run(first), mimetype="text/event-stream")
    answer.headers["Cache-Control"] = "no-store"
    answer.headers["X-Accel-Buffering"] = "no"
    answer.call_on_close(stream.close)
    return answer


def _wanted_ids() -> frozenset[int] | None:
    text = request.args.get("video_ids", "").strip()
    if not text:
        return None
    parts = text.split(",")
    if len(parts) > MAX_IDS or not all(part.strip().isdecimal() and len(part) < 12 for part in parts):
        raise Problem(
            422, "invalid", [{"loc": ["query", "video_ids"], "msg": "Numbers with commas, 200 at most."}]
        )
    return frozenset(int(part) for part in parts)


class Numbers:
    """What is said of a video's numbers, read and written once for all streams of this process that hear of the same
    change.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: dict[int, tuple[Change, tuple[str, ...]]] = {}

    def after(self, change: Change) -> tuple[str, ...]:
        """Call inside an app context. Empty: the video is gone."""
        with self._lock:
            known = self._known.get(change.video_id)
            if known is None or known[0] is not change:
                if len(self._known) >= NUMBERS_KEPT:
                    self._known.clear()
                found = read_progress(frozenset({change.video_id}))
                known = self._known[change.video_id] = change, _words(change, found)
            return known[1]


def _words(change: Change, found: dict[str, dict[str, Any]]) -> tuple[str, ...]:
    numbers = found.get(str(change.video_id))
    if numbers is None:
        return ()
    names = ["progress"]
    if EventKind.READY in change.kinds:
        names.append("job_completed")
    elif change.kinds & ENDED:
        names.append("job_failed")
    return tuple(event(name, numbers) for name in names)


def init_app(app: Flask) -> None:
    app.extensions[NUMBERS_KEY] = Numbers()


class Stream:
    """One open stream: subscribes, speaks, looks every heartbeat whether the reader is still signed in."""

    def __init__(self, wanted: frozenset[int] | None = None) -> None:
        self.app: Flask = current_app._get_current_object()  # type: ignore[attr-defined]
        self.wanted = wanted
        self.token = request.cookies.get(COOKIE) if g.signed_in else None
        self.heartbeat_s = settings().sse_heartbeat_interval
        self.retry_ms = settings().sse_reconnect_timeout_ms
        self._manager = hub().subscribe(wanted)
        self._subscription: Subscription | None = None

    def first_words(self) -> dict[str, Any]:
        raise NotImplementedError

    def tell(self, change: Change | None) -> Iterator[str]:
        """What to say when something happened to a video, or (None) nothing did for `wait_s()`."""
        raise NotImplementedError

    def wait_s(self) -> float:
        return BEAT_S

    def open(self) -> str:
        """Subscribes before the first numbers are read, so that no change falls between. Raises HubFull."""
        self._subscription = self._manager.__enter__()
        return f"retry: {self.retry_ms}\n" + event("initial", self.first_words())

    def close(self) -> None:
        if self._subscription is not None:
            self._subscription = None
            self._manager.__exit__(None, None, None)

    def run(self, first: str) -> Iterator[str]:
        """Ends when the database goes away: the page asks again."""
        try:
            yield from self._run(first)
        except SQLAlchemyError as error:
            if not is_away(error):
                raise
            logger.warning("live stream ended: %s", words_of(error), extra={"action": "live.ended"})

    def _run(self, first: str) -> Iterator[str]:
        yield first
        said_at = looked_at = time.monotonic()
        while (subscription := self._subscription) is not None and not subscription.is_closed:
            for words in self.tell(subscription.next(self.wait_s())):
                said_at = time.monotonic()
                yield words
            if time.monotonic() - looked_at >= self.heartbeat_s:
                looked_at = said_at = time.monotonic()
                if not self._may_stay():
                    return
                yield event("heartbeat", {"timestamp": timestamp()})
            elif time.monotonic() - said_at >= BEAT_S:
                said_at = time.monotonic()
                yield event("beat", {})

    def _may_stay(self) -> bool:
        if self.token is None:  # let in by header, or no login is asked for
            return True
        with self.app.app_context():
            return admin_sessions.is_signed_in(self.token, admin_sessions.utc_now())


class VideoStream(Stream):
    """Tells of videos: which one changed, and its numbers."""

    def __init__(self, wanted: frozenset[int] | None) -> None:
        super().__init__(wanted)
        self._told_at: dict[int, float] = {}

    def first_words(self) -> dict[str, Any]:
        return {"progress": read_progress(self.wanted)}

    def tell(self, change: Change | None) -> Iterator[str]:
        if change is None:
            return
        yield event("changed", {"video_id": change.video_id, "kinds": sorted(change.kinds)})
        told_at = self._told_at.get(change.video_id, 0.0)
        if not change.kinds & ENDED and time.monotonic() - told_at < PROGRESS_EVERY_S:
            return
        self._told_at[change.video_id] = time.monotonic()
        with self.app.app_context():
            words: tuple[str, ...] = self.app.extensions[NUMBERS_KEY].after(change)
        yield from words


def read_progress(wanted: frozenset[int] | None) -> dict[str, dict[str, Any]]:
    """The numbers existing clients read, of a new encode while one is made. Without ids: what is not finished."""
    shown = or_(
        Encode.generation == Video.generation,
        and_(Encode.generation > Video.generation, Encode.state.in_(AT_WORK)),
    )
    query = (
        select(Video, Encode, Rendition)
        .join(Encode, and_(Encode.video_id == Video.id, shown))
        .join(Rendition, Rendition.encode_id == Encode.id)
        .where(Video.deleted_at.is_(None))
        .order_by(Video.id, Encode.generation.desc(), Rendition.position)
    )
    query = query.where(Encode.finished_at.is_(None)) if wanted is None else query.where(Video.id.in_(wanted))
    grouped: dict[int, tuple[Video, Encode, list[Rendition]]] = {}
    for video, encode, rendition in db.session.execute(query):
        newest = grouped.setdefault(video.id, (video, encode, []))
        if newest[1] is encode:
            newest[2].append(rendition)
    return {str(video_id): _progress(*found) for video_id, found in grouped.items()}


def _progress(video: Video, encode: Encode, renditions: list[Rendition]) -> dict[str, Any]:
    is_beside = encode.generation != video.generation
    weights = [row.width * row.height or AUDIO_WEIGHT for row in renditions]
    done = sum(row.done_segments * weight for row, weight in zip(renditions, weights, strict=True))
    planned = sum(row.planned_segments * weight for row, weight in zip(renditions, weights, strict=True))
    return {
        "type": "progress",
        "video_id": video.id,
        "job_id": encode.id,
        "current_step": "transcode" if encode.finished_at is None else None,
        "progress_percent": whole_percent(done, planned),
        "qualities": [_quality(row) for row in renditions if row.is_rung],
        "status": "processing" if is_beside else STATUS_WORDS.get(video.state, "failed"),
        "last_error": video.error_message,
        "timestamp": timestamp(),
    }


def _quality(row: Rendition) -> dict[str, Any]:
    percent = whole_percent(row.done_segments, row.planned_segments)
    status = "completed" if percent == 100 else "in_progress" if row.done_segments else "pending"
    return {"name": row.name, "status": status, "progress": percent}


def event(name: str, data: dict[str, Any]) -> str:
    return f"event: {name}\ndata: {json.dumps(data, separators=(',', ':'))}\n\n"


def timestamp() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
