"""Workers for scripts: the list, the jobs they are at, one of them; disable, enable, remove."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response, jsonify, request

from ...config import settings
from ...errors import Problem, answer_http_error
from ...extensions import limiter
from ...models import Attempt, Video
from ...services import fleet, wakeup
from ...services.at_work import jobs_at_work
from ...services.fleet import StillHere, UnknownWorker
from ..fleet_json import iso, job_json, member_json
from .workers_live import stats
from .workers_page import read_recent

blueprint = Blueprint("admin_workers_api", __name__, url_prefix="/api/workers")
limiter.limit(lambda: settings().rate_limit_admin_default)(blueprint)

OFF = ("false", "0", "no")


@blueprint.get("")
def list_workers() -> Response:
    members = fleet.roster()
    numbers = {f"{name}_count": number for name, number in stats(members).items()}
    return jsonify(workers=[member_json(member) for member in members], **numbers)


@blueprint.get("/active-jobs")
def active_jobs() -> Response:
    jobs = jobs_at_work()
    return jsonify(jobs=[job_json(job) for job in jobs], total_count=len(jobs))


@blueprint.get("/<worker_id>")
def one_worker(worker_id: str) -> Response:
    member = fleet.member(worker_id)
    mine = [job_json(job) for job in jobs_at_work() if job.worker_id == worker_id]
    recent = [_attempt_json(*row) for row in read_recent(worker_id)]
    return jsonify(member_json(member) | {"active_jobs": mine, "recent_jobs": recent})


@blueprint.put("/<worker_id>/<any(disable, enable):verb>")
def switch(worker_id: str, verb: str) -> Response:
    fleet.set_disabled(worker_id, is_disabled=verb == "disable")
    wakeup.ring(())
    words = {
        "disable": "It is refused from now on, and its jobs go to others. Nothing it finished is lost.",
        "enable": "It may work again.",
    }
    return _done(worker_id, words[verb])


@blueprint.delete("/<worker_id>")
def remove(worker_id: str) -> Response:
    """A key belongs to its worker, so it goes with it."""
    fleet.member(worker_id)
    if request.args.get("revoke_keys", "").lower() in OFF and worker_id in fleet.with_keys():
        sentence = "This worker has a key that is good, and removing it revokes that. Nothing was changed."
        raise Problem(409, "has_key", sentence)
    fleet.remove(worker_id)
    wakeup.ring(())
    return _done(worker_id, "It is removed, and its key is worth nothing. What it finished is kept.")


@blueprint.errorhandler(UnknownWorker)
def unknown(_error: UnknownWorker) -> Response:
    return answer_http_error(Problem(404, "not_found", "There is no worker with this id."))


@blueprint.errorhandler(StillHere)
def still_here(_error: StillHere) -> Response:
    words = (
        "This worker runs on this site's own storage and would come back. Stop it first. Nothing was changed."
    )
    return answer_http_error(Problem(409, "still_here", words))


def _attempt_json(attempt: Attempt, kind: str, video: Video) -> dict[str, Any]:
    return {
        "job_id": attempt.job_id,
        "kind": kind,
        "video_slug": video.slug,
        "device": attempt.device,
        "started_at": iso(attempt.started_at),
        "ended_at": iso(attempt.ended_at),
        "outcome": attempt.outcome,
        "speed": attempt.speed,
        "segments_done": attempt.segments_done,
        "error_message": attempt.error_message,
    }


def _done(worker_id: str, message: str) -> Response:
    return jsonify(status="ok", worker_id=worker_id, message=message)
