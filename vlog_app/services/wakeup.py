"""Telling those who wait: workers that a job may be taken, live pages that something happened.

Nothing here holds any truth, so nothing here raises or waits longer than Redis's time limit. What a transaction
queues and records is noted while it runs and told after its commit (`extensions.transaction`): no caller can forget.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar

from flask import Flask, current_app
from sqlalchemy import event, select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session, object_session

from encoder.device import Device
from jobs import queues
from jobs.bootstrap import bell_for
from jobs.layout import PAUSED
from jobs.queues import Note
from jobs.states import JobState

from ..config import Settings, settings
from ..database import is_away
from ..extensions import News, committed, db, news_of
from ..models import Job, Worker
from ..redis_links import link_to
from .clock import database_now
from .voice import Voice

if TYPE_CHECKING:
    from jobs.redis_link import RedisLink

logger = logging.getLogger(__name__)

T = TypeVar("T")

LINK_KEY = "vlog.redis_link"
HEARD_WITHIN_S = 300.0  # a worker that was silent for longer is not counted on
FLEET_BELIEVED_S = 5.0
OVERDUE_S = 2.0  # a message younger than this may still be on its way
UNFAIR_S = 15.0  # so long the best devices have a job to themselves
MOST_AT_ONCE = 500  # messages in one sweep

AWAY = {
    "hybrid": "Redis is not answering. Jobs still run; new ones start up to {poll} s later.",
    "redis": "Redis is not answering. Jobs still run; new ones start when it is back.",
}


# --- after a commit ------------------------------------------------------------------------------------------


def init_app(app: Flask, config: Settings) -> None:
    address = config.redis_address
    redis = link_to(config, address) if address else None
    app.extensions[LINK_KEY] = _Post(redis, Voice(redis, _channel(config)) if redis else None)
    committed.connect(_tell, app)


@event.listens_for(Job, "after_insert")
def _note_job(_mapper: Any, _connection: Any, job: Job) -> None:
    if job.state == JobState.QUEUED and (session := object_session(job)) is not None:
        news_of(session).jobs.add(job.id)


def _tell(_app: Flask, news: News) -> None:
    if news.jobs:
        ring(news.jobs)
    if news.videos and (voice := _post().voice):
        voice.tell(news.videos)


def ring(job_ids: Iterable[int]) -> None:
    """These jobs may be taken."""
    bell_for(settings().storage_path).ring()
    if settings().uses_rq:
        wanted = Job.id.in_(job_ids)
        _ask(lambda client: queues.send(client, [(_first_choice(note), note) for note in _notes(wanted)]))


def channel() -> str:
    return _channel(settings())


def _channel(config: Settings) -> str:
    return f"{config.redis_pubsub_prefix}:changes"


# --- the sweep -----------------------------------------------------------------------------------------------


def ring_again() -> int:
    """Send the messages that should be there and are not, and take back those whose work is done: Redis may have
    lost them, a worker may have died with one, a failed job's wait may be over. Returns how many were sent.

    What waits is read from Redis first: whatever is new after that is newer than the message we miss.
    """
    there = _ask(queues.waiting)
    if there is None:
        return 0
    notes = _notes()
    known = {name: {queues.job_of(message) for message in messages} for name, messages in there.items()}
    missing = [
        (name, note)
        for note in notes
        if note.waited_s > OVERDUE_S
        for name in _choices(note)
        if note.job_id not in known.get(name, ())
    ][:MOST_AT_ONCE]
    queued = {note.job_id for note in notes}
    stale = [(name, each) for name, found in there.items() for each in found if _is_stale(each, queued)]
    if missing:
        _ask(lambda client: queues.send(client, missing))
        logger.info("messages sent again", extra={"action": "ring_again", "count": len(missing)})
    if stale:
        _ask(lambda client: queues.withdraw(client, stale))
    return len(missing)


def _is_stale(message: str, queued: set[int]) -> bool:
    job_id = queues.job_of(message)
    return job_id is not None and job_id not in queued


def _choices(note: Note) -> tuple[str, ...]:
    return queues.queues_for(note, _fleet()) if note.waited_s > UNFAIR_S else (_first_choice(note),)


def _first_choice(note: Note) -> str:
    return queues.queue_for(note, _fleet())


def _notes(*wanted: Any) -> list[Note]:
    """Jobs that may be taken now, most wanted first. In a session of its own: the caller's has just committed."""
    with Session(db.engine) as session:
        now = database_now(session)
        query = select(Job.id, Job.kind, Job.rank, Job.not_before_at)
        query = query.where(
            Job.state == JobState.QUEUED, Job.place < PAUSED, Job.not_before_at <= now, *wanted
        )
        rows = session.execute(query.order_by(Job.place, Job.turn, Job.id))
        return [Note(row.id, row.kind, row.rank, (now - row.not_before_at).total_seconds()) for row in rows]


# --- Redis ---------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Post:
    """What this process knows of Redis and of who listens there."""

    link: RedisLink | None
    voice: Voice | None
    labels: frozenset[str] = frozenset()  # kinds of devices that some worker has
    labels_at: float = float("-inf")


def link() -> RedisLink | None:
    """This process's connection; None where no Redis is set."""
    return _post().link


def trouble() -> str | None:
    """What the owner should know; None while all is well or Redis is not asked for."""
    found, mode = link(), settings().job_queue_mode
    if found is None or mode not in AWAY or found.answers():
        return None
    return AWAY[mode].format(poll=f"{settings().worker_poll_interval:g}")


def _post() -> _Post:
    post: _Post = current_app.extensions[LINK_KEY]
    return post


def _ask(do: Callable[[Any], T]) -> T | None:
    """None when there is no Redis, or it is away: the breaker has said so in the log."""
    found = link()
    if found is None:
        return None
    from jobs.redis_link import FAILED

    try:
        return found.call(do)
    except FAILED:
        return None
    except Exception as error:  # the commit is done: whoever made it must not hear of this
        is_known = isinstance(error, SQLAlchemyError) and is_away(error)
        logger.warning("message not sent: %s", error, exc_info=not is_known, extra={"action": "wakeup"})
        return None


def _fleet() -> frozenset[str]:
    """Kinds of devices among the workers heard lately."""
    post = _post()
    if time.monotonic() - post.labels_at > FLEET_BELIEVED_S:
        with Session(db.engine) as session:
            since = database_now(session) - timedelta(seconds=HEARD_WITHIN_S)
            query = select(Worker.facts).where(Worker.stopped_at.is_(None), Worker.heartbeat_at > since)
            post.labels = frozenset(label for facts in session.scalars(query) for label in _labels(facts))
        post.labels_at = time.monotonic()
    return post.labels


def _labels(facts: dict[str, Any]) -> tuple[str, ...]:
    return queues.labels_of(Device.from_json(each) for each in facts.get("devices", ()))
