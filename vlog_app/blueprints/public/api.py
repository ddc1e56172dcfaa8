"""JSON for machines on the public surface: videos, and how far an encode has come."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any

from flask import Blueprint, Response, abort, jsonify, request, url_for
from sqlalchemy import func, select

from ...config import settings
from ...extensions import db, limiter
from ...models import Video
from ...services.clock import database_now
from ...services.playlists import Availability, load_availability
from . import links
from .visibility import is_visible

blueprint = Blueprint("public_api", __name__, url_prefix="/api")

PROGRESS_S = 0.5  # many viewers of one film share an answer
LIST_MAX = 100
OFFSET_MAX = 2**31 - 1  # databases refuse numbers they cannot hold
_progress: dict[str, tuple[float, dict[str, Any]]] = {}


@blueprint.get("/videos")
@limiter.limit(lambda: settings().rate_limit_public_default)
def videos() -> Response:
    """Newest first. `limit` 1..100, `offset`."""
    limit = min(max(request.args.get("limit", 50, int), 1), LIST_MAX)
    offset = min(max(request.args.get("offset", 0, int), 0), OFFSET_MAX)
    listed = (
        Video.deleted_at.is_(None),
        Video.published_at <= database_now(db.session()),
        Video.state.in_(("viewable", "ready")),
    )
    query = select(Video).where(*listed).order_by(Video.published_at.desc(), Video.id.desc())
    response = jsonify([_summary(video) for video in db.session.scalars(query.limit(limit).offset(offset))])
    response.headers["X-Total-Count"] = str(db.session.scalar(select(func.count(Video.id)).where(*listed)))
    return response


@blueprint.get("/videos/<slug>")
@limiter.limit(lambda: settings().rate_limit_public_default)
def video(slug: str) -> Response:
    found = _visible(slug)
    made = load_availability(db.session(), found)
    rows = [row.rendition for row in made.rungs] if made else []
    qualities = [
        {"quality": r.name, "width": r.width, "height": r.height, "bitrate": r.max_bitrate_bps // 1000}
        for r in rows
    ]
    more = {
        "source_width": found.width,
        "source_height": found.height,
        "stream_url": url_for("media.master", slug=slug),
        "captions_url": None,
        "transcription_status": None,
        "qualities": qualities,
    }
    return jsonify(_summary(found) | more)


@blueprint.get("/videos/<slug>/progress")
@limiter.exempt
def progress(slug: str) -> Response:
    """What is ready of each rendition, as runs of segment indexes [first, end)."""
    known = _progress.get(slug)
    if known is None or known[0] < time.monotonic():
        _progress.pop(slug, None)
        found = _visible(slug)
        made = load_availability(db.session(), found)
        if made is None:
            abort(404)
        known = _progress[slug] = (time.monotonic() + PROGRESS_S, _progress_of(found, made))
    response = jsonify(known[1])
    response.headers["Cache-Control"] = "no-store"
    return response


def _progress_of(found: Video, made: Availability) -> dict[str, Any]:
    plan = made.plan
    return {
        "status": "processing" if found.state == "pending" else found.state,
        "duration_s": plan.duration_s,
        "segment_s": plan.segment_s,
        "segments": plan.segment_count,
        "generation": made.encode.generation,
        "percent": _percent(made),
        "storyboard": _storyboard_url(found),
        "poster": links.poster_url(found),
        "renditions": [
            {
                "name": row.rendition.name,
                "kind": row.rendition.kind,
                "rung": row.rendition.is_rung,
                "width": row.rendition.width,
                "height": row.rendition.height,
                "ready": [[0, plan.segment_count]] if row.is_foreign else runs(row.durations),
                "done": len(row.durations),
                "planned": row.rendition.planned_segments,
            }
            for row in made.playable
        ],
    }


def runs(indexes: Iterable[int]) -> list[list[int]]:
    """Sorted indexes as runs [first, end)."""
    found: list[list[int]] = []
    for index in sorted(indexes):
        if found and found[-1][1] == index:
            found[-1][1] = index + 1
        else:
            found.append([index, index + 1])
    return found


def _percent(made: Availability) -> int:
    """By work, not by count: a segment weighs as many pixels as it has. 99 until really done."""
    if made.is_whole:
        return 100
    cells = made.plan.segment_count
    weights = [(max(1, r.rendition.width * r.rendition.height), r) for r in made.rows]
    total = sum(weight * cells for weight, _row in weights)
    done = sum(weight * (cells if row.is_foreign else len(row.durations)) for weight, row in weights)
    return min(99, int(100 * done / total))


def _storyboard_url(found: Video) -> str | None:
    if not found.storyboard_version:
        return None
    return url_for("media.file", slug=found.slug, name="storyboard.vtt", v=found.storyboard_version)


def _visible(slug: str) -> Video:
    found = db.session.scalars(select(Video).where(Video.slug == slug)).first()
    if found is None or not is_visible(found):
        abort(404)
    return found


def _summary(found: Video) -> dict[str, Any]:
    poster = url_for("media.file", slug=found.slug, name="thumbnail.jpg", v=found.poster_version)
    return {
        "id": found.id,
        "title": found.title,
        "slug": found.slug,
        "description": found.description,
        "category_id": None,
        "category_name": None,
        "duration": found.duration_s,
        "status": found.state,
        "created_at": found.created_at.isoformat(),
        "published_at": found.published_at.isoformat() if found.published_at else None,
        "thumbnail_url": poster if found.poster_version else None,
        "thumbnail_source": "auto",
        "thumbnail_timestamp": None,
        "tags": [],
    }
