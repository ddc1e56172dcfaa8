"""Is this process alive, and can it reach its database? Says nothing else."""

from __future__ import annotations

from flask import Blueprint, Response, jsonify
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from ..extensions import db, limiter

blueprint = Blueprint("health", __name__)


@blueprint.get("/healthz")
@blueprint.get("/api/health")
@limiter.exempt
def health() -> tuple[Response, int]:
    checks = {"database": _database_answers()}
    healthy = all(checks.values())
    return jsonify(status="healthy" if healthy else "unhealthy", checks=checks), 200 if healthy else 503


def _database_answers() -> bool:
    try:
        db.session.execute(text("SELECT 1"))
    except SQLAlchemyError:
        return False
    return True
