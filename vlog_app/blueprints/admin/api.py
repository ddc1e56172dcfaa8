"""Videos for scripts: POST and GET /api/videos, the contract existing command lines speak."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from flask import Blueprint, Response, jsonify, request
from sqlalchemy import Select, select

from jobs.layout import Priority

from ...config import settings
from ...errors import Problem
from ...extensions import db, limiter
from ...models import Video
from ...services.generations import encode_beside
from ...services.grid_reading import read_grid
from .forms import take_form
from .uploads import idempotency_key

blueprint = Blueprint("admin_api", __name__, url_prefix="/api")
limiter.limit(lambda: settings().rate_limit_admin_default)(blueprint)

DEFAULT_LIMIT, MAX_LIMIT = 100, 500
# Existing clients know four words; a film that can be watched already is still being processed to them.
STATUSES: dict[str, tuple[str, ...]] = {
    "pending": ("pending",),
    "processing": ("processing", "viewable"),
    "ready": ("ready",),
    "failed": ("failed",),
}


def _upload_rate() -> str:
    return settings().rate_limit_admin_upload


@blueprint.post("/videos")
@limiter.limit(_upload_rate)
def create_video() -> Response:
    received = take_form(idempotency_key())
    return jsonify(
        status="ok",
        video_id=received.video_id,
        slug=received.slug,
        message="Received and checked. Encoding begins at once.",
    )


@blueprint.get("/videos")
def list_videos() -> Response:
    limit, offset = _whole("limit", DEFAULT_LIMIT, 1, MAX_LIMIT), _whole("offset", 0, 0, 2**31)
    rows = db.session.scalars(_newest(request.args.get("status")).limit(limit).offset(offset)).all()
    return jsonify([_as_json(video) for video in rows])


@blueprint.get("/videos/<int:video_id>")
def get_video(video_id: int) -> Response:
    video = db.session.get(Video, video_id)
    if video is None:
        raise Problem(404, "not_found", "There is no video with this number.")
    grid = read_grid(video.id, video.generation, datetime.now(UTC))
    more = {
        "error_message": video.error_message,
        "source_filename": video.source_name,
        "progress_percent": grid.percent if grid else 0,
        "reencode": _beside(video),
    }
    return jsonify(_as_json(video) | more)


def _beside(video: Video) -> dict[str, Any] | None:
    """A new encode that is made, or failed, while viewers get the former one."""
    encode = encode_beside(db.session(), video)
    if encode is None:
        return None
    grid = read_grid(video.id, encode.generation, datetime.now(UTC))
    return {
        "generation": encode.generation,
        "status": "failed" if encode.state == "failed" else "processing",
        "qualities": encode.rungs or [row["name"] for row in encode.plan["renditions"]],
        "priority": Priority(encode.priority).word,
        "progress_percent": grid.percent if grid else 0,
        "error_message": encode.error_message,
    }


def _newest(status: str | None) -> Select[Video]:
    query = select(Video).where(Video.deleted_at.is_(None)).order_by(Video.created_at.desc(), Video.id.desc())
    if not status:
        return query
    if status not in STATUSES:
        raise _invalid("status", f"must be one of {', '.join(STATUSES)}")
    return query.where(Video.state.in_(STATUSES[status]))


def _whole(name: str, default: int, least: int, most: int) -> int:
    value = request.args.get(name)
    if value is None:
        return default
    if not value.isascii() or not value.isdigit() or len(value) > 12 or not least <= int(value) <= most:
        raise _invalid(name, f"must be a whole number from {least} to {most}")
    return int(value)


def _invalid(name: str, message: str) -> Problem:
    return Problem(422, "invalid", [{"loc": ["query", name], "msg": message}])


def _as_json(video: Video) -> dict[str, Any]:
    status = next(word for word, states in STATUSES.items() if video.state in states)
    thumbnail = (
        f"/videos/{video.slug}/thumbnail.jpg?v={video.poster_version}" if video.poster_version else None
    )
    return {
        "id": video.id,
        "title": video.title,
        "slug": video.slug,
        "description": video.description,
        "category_id": None,
        "category_name": None,
        "duration": video.duration_s,
        "status": status,
        "is_watchable": video.state in ("viewable", "ready"),
        "source_width": video.width,
        "source_height": video.height,
        "created_at": video.created_at.isoformat(),
        "published_at": video.published_at.isoformat() if video.published_at else None,
        "thumbnail_url": thumbnail,
        "tags": [],
    }
