"""When a job that was not done is tried again, and what its film's page says of it. `services.queue` does it."""

from __future__ import annotations

import random
from typing import Any

from sqlalchemy.orm import Session

from jobs.contract import Failure
from jobs.states import AttemptOutcome, Verdict

from ..config import settings
from ..models import Attempt, Job
from .clock import database_now
from .events import EventKind, record

MAX_BACKOFF_S = 3600.0
JITTER = 0.2  # part of a wait that is random, so that failures of one cause do not come back together
NO_SPACE_WAIT_S = 60.0  # how soon a job that found the disk full looks again
#: Verdicts that cost the job no attempt.
UNCHARGED = (Verdict.BLAMELESS, Verdict.EXCUSED)


def retry_wait_s(outcome: AttemptOutcome, failure: Failure, used: int) -> float:
    """A lost lease is not the job's fault: go on at once. A failure waits, longer each time, with jitter."""
    if failure.is_blameless:
        return NO_SPACE_WAIT_S
    if outcome is AttemptOutcome.LOST and used <= 1:
        return 0.0
    wait = min(MAX_BACKOFF_S, settings().retry_backoff_base * 2.0 ** (used - 1))
    return wait * random.uniform(1 - JITTER, 1 + JITTER)  # noqa: S311  (spreads load, guards nothing)


def tell_of_failure(session: Session, job: Job, attempt: Attempt, failure: Failure, wait_s: float) -> None:
    now = attempt.ended_at or database_now(session)
    if attempt.outcome == AttemptOutcome.LOST:
        about: dict[str, Any] = {"worker": attempt.worker_name, "kept": attempt.segments_done}
        record(session, job.video_id, EventKind.LOST, now, **about)
        return
    about = {"worker": attempt.worker_name, "message": failure.message, "wait_s": round(wait_s)}
    record(session, job.video_id, EventKind.TROUBLE, now, **about)
