"""Workers come, say that they live, and are looked after: registration, heartbeat, the owner's list."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from flask import Blueprint, Response, jsonify

from jobs.contract import WorkerInfo
from jobs.wire import VERSION, speaks_our_version

from ...config import settings
from ...extensions import limiter
from ...services import fleet, queue, whole
from ...services import workers as workers_service
from ...services.fleet import SignOfLife
from ..fleet_json import iso, member_json
from . import auth
from .wire import FACTS_BYTES, EmptyBody, Greeting, Heartbeat, Registration, Switch, read_json

owners = Blueprint("worker_owners", __name__, url_prefix="/api")
workers = Blueprint("worker_signs", __name__, url_prefix="/api/worker")
auth.answer_problems(owners)
auth.answer_problems(workers)
owners.before_request(auth.require_admin)
workers.before_request(auth.require_worker_key)


def _register_rate() -> str:
    return settings().rate_limit_worker_register


def _is_refused(response: Response) -> bool:
    return response.status_code in (401, 403)


# Only what was refused counts: an owner may add as many workers as there are, a guesser gets five tries an hour.
limiter.limit(_register_rate, deduct_when=_is_refused)(owners)
limiter.limit(lambda: settings().rate_limit_worker_progress, key_func=auth.caller)(workers)


@owners.post("/worker/register")
def register() -> Response:
    body = read_json(Registration)
    new = fleet.register(
        body.worker_name or "",
        body.worker_type,
        body.capabilities.model_dump(exclude_none=True) if body.capabilities else {},
        body.metadata.model_dump(exclude_none=True) if body.metadata else {},
        body.key_days,
    )
    words = f"{new.name} is registered. Keep its key now: it is shown this once."
    return jsonify(worker_id=new.worker_id, api_key=new.api_key, message=words)


@owners.get("/workers")
def list_workers() -> Response:
    members = fleet.roster()
    return jsonify(
        workers=[member_json(member) for member in members],
        total_count=len(members),
        active_count=sum(member.state.is_up for member in members),
        offline_count=sum(member.state is fleet.WorkerState.OFFLINE for member in members),
    )


@owners.get("/workers/<worker_id>")
def one_worker(worker_id: str) -> Response:
    return jsonify(member_json(fleet.member(worker_id)))


@owners.post("/workers/<worker_id>/revoke")
def revoke(worker_id: str) -> Response:
    read_json(EmptyBody)
    fleet.revoke(worker_id)
    return jsonify(status="ok", message="Its key is worth nothing from now on, and its jobs go to others.")


@owners.post("/workers/<worker_id>/drain")
def drain(worker_id: str) -> Response:
    switch = read_json(Switch)
    fleet.member(worker_id)  # there is one
    (workers_service.drain_worker if switch.on else workers_service.resume_worker)(worker_id)
    words = (
        "It gives back what it has at the next segment and gets nothing new until it starts again."
        if switch.on
        else "It gets work again."
    )
    return jsonify(status="ok", message=words)


@owners.post("/workers/<worker_id>/disable")
def disable(worker_id: str) -> Response:
    switch = read_json(Switch)
    fleet.set_disabled(worker_id, is_disabled=switch.on)
    words = "It is refused from now on, and its jobs go to others." if switch.on else "It may work again."
    return jsonify(status="ok", message=words)


@workers.post("/heartbeat")
def heartbeat() -> Response:
    body = read_json(Heartbeat, FACTS_BYTES)
    said = SignOfLife(body.status, body.facts, *_metadata(body), body.code_version)
    member = fleet.heartbeat(auth.require_worker().id, said)
    if body.status != "idle":
        whole.renew_while_busy(member.worker.id)
    return jsonify(
        status="ok",
        server_time=datetime.now(UTC).isoformat(),
        worker_status=member.state.value,
        current_job_id=member.job_id,
        last_heartbeat_recorded=iso(member.worker.heartbeat_at),
        **versions(body.code_version),
    )


@workers.post("/greet")
def greet() -> Response:
    body = read_json(Greeting, FACTS_BYTES)
    known = auth.require_worker()
    fleet.greet(WorkerInfo(known.id, known.name, body.facts))
    queue.lose_leases_of(known.id, but=body.keeps)
    return jsonify(status="ok", worker_id=known.id, name=known.name, **versions(body.code_version))


@workers.post("/farewell")
def farewell() -> Response:
    read_json(EmptyBody)
    known = auth.require_worker()
    fleet.farewell(WorkerInfo(known.id, known.name))
    return jsonify(status="ok")


def _metadata(body: Heartbeat) -> tuple[dict[str, Any], dict[str, Any]]:
    """Capabilities, and the rest. What is not said of capabilities must not erase what was."""
    if body.metadata is None:
        return {}, {}
    capabilities = body.metadata.capabilities
    rest = body.metadata.model_dump(exclude={"capabilities"})
    return capabilities.model_dump(exclude_none=True) if capabilities else {}, rest


def versions(code_version: str | None) -> dict[str, Any]:
    return {"required_version": VERSION, "version_ok": speaks_our_version(code_version)}
