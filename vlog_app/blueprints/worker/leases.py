"""The verbs of a lease that carry no files: claim, renew, finish, fail, release; and the bell."""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import asdict

from flask import Blueprint, Response, jsonify, request
from sqlalchemy.exc import SQLAlchemyError

from jobs.bootstrap import bell_for
from jobs.contract import Claim, WorkerInfo
from jobs.wire import claim_to_json, speaks_our_version

from ...config import settings
from ...database import is_away
from ...errors import Problem
from ...extensions import db, limiter
from ...services import publish, queue
from ...services.worker_keys import KnownWorker
from . import auth
from .fleet import versions
from .wire import ERROR_BYTES, ClaimBody, EmptyBody, FailureBody, RenewBody, ReportBody, read_json

logger = logging.getLogger(__name__)
blueprint = Blueprint("worker_leases", __name__, url_prefix="/api/worker")
auth.answer_problems(blueprint)
blueprint.before_request(auth.require_worker_key)

LISTEN_S = 20.0  # below the minute after which proxies give up
LISTENERS = 24  # each holds a thread of this process; the others are told to ask again
LOOK_S = 0.1
_listeners = threading.BoundedSemaphore(LISTENERS)


def _default_rate() -> str:
    return settings().rate_limit_worker_default


def _progress_rate() -> str:
    return settings().rate_limit_worker_progress


def _by_job() -> str:
    """A worker has several jobs at once, and each says once a second how far it is."""
    return f"{auth.caller()}:{(request.view_args or {}).get('job_id')}"


@blueprint.post("/leases")
@limiter.limit(_default_rate, key_func=auth.caller)
def claim() -> Response:
    """Lease the next fitting job. A look that finds nothing writes nothing."""
    body = read_json(ClaimBody)
    known = auth.require_worker()
    lease = _claim(known, body) if speaks_our_version(body.code_version) else None
    return jsonify(lease=claim_to_json(lease) if lease else None, **versions(body.code_version))


def _claim(known: KnownWorker, body: ClaimBody) -> Claim | None:
    worker = WorkerInfo(known.id, known.name)
    return queue.claim_next_job(worker, body.slot.slot(), body.job_id, token=body.token)


@blueprint.post("/leases/<int:job_id>/renew")
@limiter.limit(_progress_rate, key_func=_by_job)
def renew(job_id: int) -> Response:
    body = read_json(RenewBody)
    progress = body.progress.progress() if body.progress else None
    return jsonify(asdict(auth.renew_lease(job_id, progress)))


@blueprint.post("/leases/<int:job_id>/finish")
@limiter.limit(_default_rate, key_func=auth.caller)
def finish(job_id: int) -> Response:
    body = read_json(ReportBody)
    queue.finish_job(auth.require_lease(job_id), body.report())
    publish_now()
    return jsonify(status="ok")


@blueprint.post("/leases/<int:job_id>/fail")
@limiter.limit(_default_rate, key_func=auth.caller)
def fail(job_id: int) -> Response:
    body = read_json(FailureBody, ERROR_BYTES)
    queue.fail_job(auth.require_lease(job_id), body.failure())
    return jsonify(status="ok")


@blueprint.post("/leases/<int:job_id>/release")
@limiter.limit(_default_rate, key_func=auth.caller)
def release(job_id: int) -> Response:
    read_json(EmptyBody)
    queue.release_job(auth.require_lease(job_id))
    return jsonify(status="ok")


@blueprint.get("/bell")
@limiter.limit(_default_rate, key_func=auth.caller)
def listen() -> Response:
    """Answers as soon as there may be new work since `heard`, or after a while. Asks no database meanwhile."""
    heard = request.args.get("heard", "0")
    if not heard.isascii() or not heard.isdigit() or len(heard) > 20:
        raise Problem(422, "invalid", [{"loc": ["query", "heard"], "msg": "must be what the bell said last"}])
    db.session.remove()
    if not _listeners.acquire(blocking=False):
        raise Problem(
            503, "many_listeners", "Too many workers are listening. Ask again.", headers={"Retry-After": "5"}
        )
    try:
        return jsonify(bell=str(_wait(int(heard))))
    finally:
        _listeners.release()


def _wait(heard: int) -> int:
    bell, until = bell_for(settings().storage_path), time.monotonic() + LISTEN_S
    while (now := bell.heard()) == heard and time.monotonic() < until:
        time.sleep(LOOK_S)
    return now


def publish_now() -> None:
    """The job is finished whatever happens here: housekeeping tries again."""
    try:
        publish.publish_finished()
    except Exception as error:
        is_known = isinstance(error, SQLAlchemyError) and is_away(error)
        logger.warning("publishing put off: %s", error, exc_info=not is_known, extra={"action": "publish"})
