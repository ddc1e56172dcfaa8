"""GET /api/openapi.json: this API, described for programs from the same models that check its bodies."""

from __future__ import annotations

import re
from typing import Any

from flask import Blueprint, Response, current_app, jsonify
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema
from werkzeug.routing import Rule

from jobs.wire import KEY_HEADER, SEGMENT_HEADER, SHA256_HEADER, TOKEN_HEADER, VERSION

from ...extensions import limiter
from . import whole_wire, wire

blueprint = Blueprint("worker_openapi", __name__)
limiter.exempt(blueprint)

BODIES: dict[str, type[BaseModel]] = {
    "worker_owners.register": wire.Registration,
    "worker_owners.revoke": wire.EmptyBody,
    "worker_owners.drain": wire.Switch,
    "worker_owners.disable": wire.Switch,
    "worker_signs.heartbeat": wire.Heartbeat,
    "worker_signs.greet": wire.Greeting,
    "worker_signs.farewell": wire.EmptyBody,
    "worker_leases.claim": wire.ClaimBody,
    "worker_leases.renew": wire.RenewBody,
    "worker_leases.finish": wire.ReportBody,
    "worker_leases.fail": wire.FailureBody,
    "worker_leases.release": wire.EmptyBody,
    "worker_whole.claim": wire.EmptyBody,
    "worker_whole.progress": whole_wire.Progress,
    "worker_whole.complete": whole_wire.Completion,
    "worker_whole.fail": whole_wire.WholeFailure,
    "worker_whole.claim_reencode": wire.EmptyBody,
    "worker_whole_transfer.finish_parts": whole_wire.SegmentsDone,
}
HEADERS = {
    "worker_transfer.checkpoint": (SHA256_HEADER, SEGMENT_HEADER),
    "worker_transfer.hand_in": (SHA256_HEADER,),
    "worker_whole_transfer.upload_part": (SHA256_HEADER,),
}
FORMS = tuple(f"worker_whole_transfer.upload_{what}" for what in ("quality", "extras", "everything"))
OPEN = ("health.health", "worker_openapi.document")
REFUSALS = {
    "401": "The key or the secret is missing or not good.",
    "403": "The worker is disabled, or the secret is wrong.",
    "422": "Something is missing or not right; `detail` lists it.",
    "429": "Too many calls; see Retry-After.",
    "503": "The server cannot answer just now; see Retry-After.",
}


@blueprint.get("/api/openapi.json")
def document() -> Response:
    _map, schemas = models_json_schema(
        [(model, "validation") for model in set(BODIES.values())], ref_template="#/components/schemas/{model}"
    )
    return jsonify(
        openapi="3.1.0",
        info={"title": "VLog worker API", "version": VERSION},
        paths=_paths(),
        components={
            "schemas": schemas.get("$defs", {}),
            "securitySchemes": {
                "worker": {"type": "apiKey", "in": "header", "name": KEY_HEADER},
                "owner": {"type": "apiKey", "in": "header", "name": "X-Admin-Secret"},
            },
        },
    )


def _paths() -> dict[str, dict[str, Any]]:
    paths: dict[str, dict[str, Any]] = {}
    for rule in current_app.url_map.iter_rules():
        if rule.rule.startswith("/api/"):
            for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}:
                paths.setdefault(_path(rule), {})[method.lower()] = _operation(rule)
    return paths


def _path(rule: Rule) -> str:
    return re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule.rule)


def _operation(rule: Rule) -> dict[str, Any]:
    endpoint = rule.endpoint
    words = (current_app.view_functions[endpoint].__doc__ or "").strip().partition("\n")[0]
    operation: dict[str, Any] = {
        "operationId": endpoint.replace(".", "_"),
        "summary": words or endpoint.rpartition(".")[2].replace("_", " ").capitalize(),
        "parameters": _parameters(rule),
        "responses": {"200": {"description": "Done."}} | _refusals(endpoint),
        "security": _security(endpoint),
    }
    if endpoint in BODIES:
        schema = {"$ref": f"#/components/schemas/{BODIES[endpoint].__name__}"}
        operation["requestBody"] = {"content": {"application/json": {"schema": schema}}}
    elif endpoint in FORMS:
        file = {"type": "object", "properties": {"file": {"type": "string", "format": "binary"}}}
        operation["requestBody"] = {"required": True, "content": {"multipart/form-data": {"schema": file}}}
    elif endpoint in HEADERS:
        schema = {"type": "string", "format": "binary"}
        operation["requestBody"] = {
            "required": True,
            "content": {"application/octet-stream": {"schema": schema}},
        }
    return operation


def _parameters(rule: Rule) -> list[dict[str, Any]]:
    listed = [
        {"name": name, "in": "path", "required": True, "schema": {"type": _type(rule, name)}}
        for name in sorted(rule.arguments)
    ]
    headers = HEADERS.get(rule.endpoint, ())
    if rule.endpoint.startswith(("worker_leases", "worker_transfer")) and "job_id" in rule.arguments:
        headers = (TOKEN_HEADER, *headers)
    return listed + [
        {"name": name, "in": "header", "required": True, "schema": {"type": "string"}} for name in headers
    ]


def _type(rule: Rule, name: str) -> str:
    return "integer" if f"<int:{name}>" in rule.rule else "string"


def _refusals(endpoint: str) -> dict[str, Any]:
    if endpoint in OPEN:
        return {}
    codes = dict(REFUSALS)
    if endpoint.startswith("worker_whole"):
        codes["400"] = "What was uploaded cannot be used. Nothing of it was kept."
    if endpoint.startswith(("worker_leases", "worker_transfer", "worker_whole")):
        codes["409"] = (
            "The lease is lost: drop the job. Or other bytes of this segment are in already, or another file lies in "
            "the place of the source."
        )
    return {code: {"description": words} for code, words in sorted(codes.items())}


def _security(endpoint: str) -> list[dict[str, list[str]]]:
    if endpoint in OPEN:
        return []
    return [{"owner": []}] if endpoint.startswith("worker_owners") else [{"worker": []}]
