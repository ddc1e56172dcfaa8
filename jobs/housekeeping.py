"""The composition root of housekeeping: what is done again and again in this installation, and by which clocks."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from .bootstrap import link_for_rq, stop_on_signal
from .periodic import LATE_S, Chore, Take, run_chores
from .queues import CHORES

if TYPE_CHECKING:
    from flask import Flask

RING_AGAIN_S = 5  # how long a message that was lost may hold its job up


def run_scheduler(app: Flask) -> None:
    """Run housekeeping until SIGTERM."""
    stop, todo = threading.Event(), chores(app)
    stop_on_signal(stop.set)
    ringing = _ringing(app, todo, stop)
    if ringing is None:
        run_chores(todo, stop, _lease_on_chores(app))
        return
    ringing.start()
    run_chores(todo, stop, _lease_on_chores(app), late_s=LATE_S)
    ringing.join()


def _ringing(app: Flask, todo: Sequence[Chore], stop: threading.Event) -> threading.Thread | None:
    """Housekeeping by Redis, where workers hear by it too."""
    link = link_for_rq(app)
    if link is None:
        return None
    from .periodic import ChoreClock, answer, ring_chores
    from .rq_tasks import Inbox

    inbox = Inbox(
        link, f"{socket.gethostname()}-chores", lambda: [CHORES], answer(todo, _lease_on_chores(app))
    )
    clock = ChoreClock(link, todo)
    return threading.Thread(target=ring_chores, args=(clock, inbox, stop), name="chores")


def _lease_on_chores(app: Flask) -> Take:
    from vlog_app.database import session_of
    from vlog_app.services import chores as leases

    def take(chore: Chore, *, late_s: float = 0.0, at_once: bool = False) -> float:
        with session_of(app):
            return leases.take(chore.name, chore.every_s, late_s=late_s, at_once=at_once)

    return take


def chores(app: Flask) -> tuple[Chore, ...]:
    """All housekeeping of this installation."""
    from vlog_app.config import settings
    from vlog_app.database import session_of
    from vlog_app.services import (
        admin_sessions,
        events,
        handing_in,
        publish,
        queue,
        retiring,
        uploads,
        wakeup,
    )

    def within(call: Callable[[], Any]) -> Callable[[], object]:
        def run() -> object:
            with session_of(app):
                return call()

        return run

    with app.app_context():
        sweep_s = settings().stale_job_check_interval
        rings = (
            (Chore("unheard jobs", RING_AGAIN_S, within(wakeup.ring_again)),) if settings().uses_rq else ()
        )

    return (
        *rings,
        Chore("expired leases", min(sweep_s, 5), within(queue.sweep_expired_leases)),
        Chore("unpublished encodes", sweep_s, within(publish.publish_finished)),
        Chore("interrupted uploads", sweep_s, within(uploads.finish_interrupted_uploads)),
        Chore("former encodes", min(sweep_s, 30), within(retiring.retire_encodes)),
        Chore("leftovers of encodes", 3600, within(retiring.remove_leftovers)),
        Chore("abandoned uploads", 3600, within(uploads.expire_uploads)),
        Chore("abandoned transfers", 3600, within(handing_in.forget_stale_files)),
        Chore("old sign-ins", 3600, within(admin_sessions.forget_expired)),
        Chore("old events", 3600, within(events.forget_old_events)),
    )
