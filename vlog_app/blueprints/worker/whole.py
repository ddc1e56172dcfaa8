"""Jobs for workers of an existing installation: a whole film at a time, by the contract they have always spoken."""

from __future__ import annotations

from flask import Blueprint, Response, jsonify, request

from jobs.contract import Claim, Incomplete, WorkerInfo
from jobs.wire import VERSION, speaks_our_version

from ...config import settings
from ...errors import Problem
from ...extensions import db, limiter
from ...models import Worker
from ...services import foreign_parts, whole
from ...services.whole import Given
from ...services.worker_keys import KnownWorker
from . import auth
from .leases import publish_now
from .whole_wire import Completion, Progress, WholeFailure
from .wire import EmptyBody, read_json

blueprint = Blueprint("worker_whole", __name__, url_prefix="/api")
auth.answer_problems(blueprint)
blueprint.before_request(auth.require_worker_key)

NOTHING, WAITING = "No jobs available", "Waiting for GPU workers"
# What an existing client calls the state of a video; a film that can be watched already is still being made to it.
STATES = {"viewable": "processing"}


def _default_rate() -> str:
    return settings().rate_limit_worker_default


def _progress_rate() -> str:
    return settings().rate_limit_worker_progress


def held_job(job_id: int) -> Claim:
    return whole.held_job(job_id, auth.require_worker().id)


@blueprint.post("/worker/claim")
@limiter.limit(_default_rate, key_func=auth.caller)
def claim() -> Response:
    """Lease a whole film of which nothing has started. Always 200; without one every field is null."""
    read_json(EmptyBody)
    known = auth.require_worker()
    if message := _mismatch(known):
        return jsonify(_as_json(None) | {"message": message})
    try:
        given = whole.claim_whole(WorkerInfo(known.id, known.name), _wanted_job())
    except whole.WaitsForGpu:
        return jsonify(_as_json(None) | {"message": WAITING})
    return jsonify(_as_json(given) | {"message": "Job claimed" if given else NOTHING})


def _wanted_job() -> int | None:
    text = request.args.get("job_id", "")
    if text and not (text.isascii() and text.isdigit() and len(text) < 19):
        raise Problem(422, "invalid", [{"loc": ["query", "job_id"], "msg": "must be the number of a job"}])
    return int(text) if text else None


def _mismatch(known: KnownWorker) -> str:
    """Empty unless this worker said that it is one of ours, of another version."""
    worker = db.session.get(Worker, known.id)
    version = worker.code_version if worker else None
    db.session.rollback()
    if speaks_our_version(version):
        return ""
    return f"Version mismatch: this server speaks {VERSION}, the worker {version}"


def _as_json(given: Given | None) -> dict[str, object]:
    names = (
        "job_id", "video_id", "video_slug", "video_duration", "source_width", "source_height", "source_filename",
        "claim_expires_at", "existing_qualities",
    )  # fmt: skip
    if given is None:
        return dict.fromkeys(names)
    values = (
        given.claim.job_id, given.claim.video_id, given.slug, given.duration_s, given.width, given.height,
        given.source_name, given.expires_at.isoformat(), list(given.existing),
    )  # fmt: skip
    return dict(zip(names, values, strict=True))


@blueprint.post("/worker/<int:job_id>/progress")
@limiter.limit(_progress_rate, key_func=auth.caller)
def progress(job_id: int) -> Response:
    """How far the worker is, as it says; the lease is renewed."""
    body = read_json(Progress)
    until = whole.note_progress(held_job(job_id), body.current_step, body.progress_percent, body.qualities)
    return jsonify(status="ok", claim_expires_at=until.isoformat())


@blueprint.post("/worker/<int:job_id>/complete")
@limiter.limit(_default_rate, key_func=auth.caller)
def complete(job_id: int) -> Response:
    """Everything was uploaded: the film is published with what came in. Saying it again answers the same."""
    body = read_json(Completion)
    try:
        whole.complete(job_id, auth.require_worker().id, [each.name for each in body.qualities])
    except Incomplete as error:
        raise Problem(400, "incomplete", f"This job is not finished: {error}.") from error
    foreign_parts.forget_parts(job_id)
    publish_now()
    return jsonify(status="ok", message="The video is ready.")


@blueprint.post("/worker/<int:job_id>/fail")
@limiter.limit(_default_rate, key_func=auth.caller)
def fail(job_id: int) -> Response:
    """The worker gives up. What it uploaded whole stays; the rest goes to whoever comes."""
    body = read_json(WholeFailure)
    will_retry, attempts = whole.fail(held_job(job_id), body.error_message, may_retry=body.retry)
    foreign_parts.forget_parts(job_id)
    publish_now()  # everything may have come in before
    return jsonify(status="ok", will_retry=will_retry, attempt_number=attempts)


@blueprint.get("/worker/<int:job_id>/verify-complete")
@limiter.limit(_default_rate, key_func=auth.caller)
def verify_complete(job_id: int) -> Response:
    """Is everything that was uploaded in its place?"""
    stands = whole.standing(job_id, auth.require_worker().id)
    return jsonify(
        job_id=stands.job_id,
        video_id=stands.video_id,
        video_slug=stands.slug,
        video_status=STATES.get(stands.video_state, stands.video_state),
        job_completed=stands.is_done,
        all_files_present=bool(stands.present) and not stands.missing,
        qualities_present=list(stands.present),
        missing_files=list(stands.missing),
    )


@blueprint.post("/reencode/claim")
@limiter.limit(_default_rate, key_func=auth.caller)
def claim_reencode() -> Response:
    """Encoding again goes through the same queue as everything else: there is never anything here."""
    return jsonify(job=None, message="No re-encode jobs available: they come with the other jobs.")
