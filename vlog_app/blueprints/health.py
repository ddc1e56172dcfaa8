"""Is this process alive, and can it reach its database and its storage? Says nothing else."""

from __future__ import annotations

import os
import threading
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from flask import Blueprint, Response, jsonify
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from ..config import settings
from ..extensions import db, limiter

blueprint = Blueprint("health", __name__)

BELIEVED_S = 5.0  # how long an answer about the storage is good
SILENT = "The storage does not answer."
REFUSED = "The storage cannot be written."


@dataclass(frozen=True, slots=True)
class StorageHealth:
    error: str | None
    checked_at: datetime
    until: float  # monotonic


_known: dict[Path, StorageHealth] = {}
_hanging: dict[Path, threading.Thread] = {}
_asking = threading.Lock()


@blueprint.get("/healthz")
@blueprint.get("/api/health")
@limiter.exempt
def health() -> tuple[Response, int]:
    storage = _storage_health()
    checks = {"database": _database_answers(), "storage": storage.error is None}
    healthy = all(checks.values())
    facts = {
        "healthy": storage.error is None,
        "last_check": storage.checked_at.isoformat(),
        "error": storage.error,
    }
    word = "healthy" if healthy else "unhealthy"
    return jsonify(status=word, checks=checks, storage=facts), 200 if healthy else 503


def _database_answers() -> bool:
    try:
        db.session.execute(text("SELECT 1"))
    except SQLAlchemyError:
        return False
    return True


def _storage_health() -> StorageHealth:
    """A disk that hangs must not hold the threads of this process: one asks, for a limited time, for all."""
    root = settings().storage_path
    with _asking:
        known = _known.get(root)
        if known is None or known.until < time.monotonic():
            error = _ask(root, settings().storage_check_timeout)
            known = _known[root] = StorageHealth(error, datetime.now(UTC), time.monotonic() + BELIEVED_S)
        return known


def _ask(root: Path, limit_s: float) -> str | None:
    """What is wrong with the storage. While a look hangs there is no second one."""
    if root in _hanging and _hanging[root].is_alive():
        return SILENT
    found: list[str | None] = []
    look = _hanging[root] = threading.Thread(target=lambda: found.append(_look(root)), daemon=True)
    look.start()
    look.join(limit_s)
    return found[0] if found else SILENT


def _look(root: Path) -> str | None:
    return None if root.is_dir() and os.access(root, os.W_OK | os.X_OK) else REFUSED
