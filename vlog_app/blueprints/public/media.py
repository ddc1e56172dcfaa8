"""Media of a video: playlists rendered from rows, segments and pictures from the disk, gated by the video's state."""

from __future__ import annotations

import functools
import re
import time
from dataclasses import dataclass
from pathlib import Path

from flask import Blueprint, Response, abort, current_app, jsonify, request, send_file
from sqlalchemy import select

from encoder.names import CMAF, init_name, playlist_name, segment_name

from ...config import settings
from ...extensions import db, limiter
from ...models import Video
from ...services.demand import demand_segment, expected_wait_s
from ...services.generations import former_generations
from ...services.manifest import manifest_text
from ...services.media_files import generation_folder, video_folder
from ...services.playlists import INIT_ARG, load_availability, master_text, media_text
from .visibility import is_visible

blueprint = Blueprint("media", __name__)
limiter.exempt(blueprint)  # a film is hundreds of requests; the state check below is cheap

GATE_S = 2.0  # how long a video's state may be believed
YEAR_S = 31_536_000
GENERATION_DIGITS = 6
RENDITION = "(?P<rendition>[a-z0-9]+(-[a-z0-9]+)?)"
SEGMENT = re.compile(rf"{RENDITION}(_(?P<ts>[0-9]{{4,6}})\.ts|/seg_(?P<m4s>[0-9]{{4,6}})\.m4s)")
PLAYLIST = re.compile(rf"{RENDITION}(\.m3u8|/stream\.m3u8)")
INIT = re.compile(rf"{RENDITION}/init(_[0-9]{{1,3}})?\.mp4")
PICTURE = re.compile(r"(thumbnail(_candidate_[1-5])?|storyboard_[0-9]{1,5})\.jpg|storyboard\.vtt")
TYPES = {
    ".ts": "video/mp2t",
    ".m4s": "video/iso.segment",
    ".mp4": "video/mp4",
    ".mpd": "application/dash+xml",
    ".m3u8": "application/vnd.apple.mpegurl",
    ".jpg": "image/jpeg",
    ".vtt": "text/vtt",
}


@dataclass(frozen=True, slots=True)
class Gate:
    """What a media request must know about its video, remembered for GATE_S."""

    folder: Path
    folders: dict[
        int, Path
    ]  # generation -> where its renditions lie: what viewers get, and what they got until lately
    generation: int
    is_finished: bool
    until: float


_gates: dict[tuple[str, str], Gate] = {}


@blueprint.get("/videos/<slug>/master.m3u8")
def master(slug: str) -> Response:
    made = load_availability(db.session(), _video(slug), _generation())
    if made is None or not any(row.durations for row in made.rows):
        abort(404)
    return _playlist(master_text(made, timeline=request.args.get("timeline")))


@blueprint.get("/videos/<slug>/manifest.mpd")
def manifest(slug: str) -> Response:
    """DASH, of a finished film in CMAF."""
    made = load_availability(db.session(), _video(slug), _generation())
    is_in_dash = made and made.is_whole and made.is_of_the_grid and made.plan.container == CMAF
    if made is None or not is_in_dash:
        abort(404)
    return _text(manifest_text(made), ".mpd")


@blueprint.get("/videos/<slug>/<path:name>")
def file(slug: str, name: str) -> Response:
    if match := PLAYLIST.fullmatch(name):
        return _media_playlist(slug, match["rendition"], name)
    if match := SEGMENT.fullmatch(name):
        return _segment(slug, match["rendition"], int(match["ts"] or match["m4s"]), name)
    if match := INIT.fullmatch(name):
        return _init(slug, match["rendition"], name)
    if not PICTURE.fullmatch(name):
        abort(404)
    return _picture(slug, name)


@blueprint.post("/api/videos/<slug>/demand")
def demand(slug: str) -> tuple[Response, int]:
    """The player waits for a segment: `{"segment": n}`. Answers whether some rung has it already, and about how many
    seconds it will take (null: nobody knows).
    """
    body = request.get_json(silent=True)
    index = body.get("segment") if isinstance(body, dict) else None
    if not isinstance(index, int) or isinstance(index, bool):
        return jsonify(detail="segment must be a whole number", code="bad_segment"), 422
    video = _video(slug)
    made = load_availability(db.session(), video)
    if made is None or not 0 <= index < made.plan.segment_count:
        abort(404)
    is_ready = any(row.is_foreign or index in row.durations for row in made.rungs)
    if not is_ready:
        demand_segment(video, index)
    return jsonify(ready=is_ready, eta_s=0 if is_ready else expected_wait_s(video, index)), 202


def _media_playlist(slug: str, rendition: str, name: str) -> Response:
    made = load_availability(db.session(), _video(slug), _generation())
    row = made.row(rendition) if made else None
    timeline = request.args.get("timeline")
    if made is None or row is None or not (row.begun or timeline):
        abort(404)
    if name != playlist_name(row.container(made.plan), rendition):
        abort(404)
    return _playlist(media_text(made, row, timeline=timeline))


def _playlist(text: str) -> Response:
    return _text(text, ".m3u8")


def _text(text: str, kind: str) -> Response:
    response = Response(text, mimetype=TYPES[kind])
    response.add_etag()
    response.headers["Cache-Control"] = "no-cache"
    response.make_conditional(request)
    return response


def _generation() -> int | None:
    """The one an address names; None: what viewers get. 404 for what is no number."""
    text = request.args.get("g")
    if text is None:
        return None
    if not text.isascii() or not text.isdecimal() or len(text) > GENERATION_DIGITS:
        abort(404)
    return int(text)


def _segment(slug: str, rendition: str, index: int, name: str) -> Response:
    generation = _generation()
    gate, path = _place(slug, name, generation)
    is_growing = not gate.is_finished and generation in (None, gate.generation)
    if path.is_file():
        promised = request.args.get(INIT_ARG, type=int)
        if promised is not None and is_growing:
            return _send_as_promised(slug, rendition, index, path, promised)
        return _send(path, immutable=generation is not None)
    if not is_growing:
        abort(404)
    video = _video(slug)
    made = load_availability(db.session(), video)
    row = made.row(rendition) if made else None
    if made is None or row is None or row.is_foreign or index >= made.plan.segment_count:
        abort(404)
    if name != segment_name(made.plan.container, rendition, index):
        abort(404)
    if row.rendition.kind == "video":
        demand_segment(video, index)
    return _not_yet()


def _place(slug: str, name: str, generation: int | None) -> tuple[Gate, Path]:
    """Where a file of this generation lies. 404 for one that viewers do not get, or not any more."""
    gate = _gate(slug)
    wanted = gate.generation if generation is None else generation
    if wanted not in gate.folders:
        gate = _gate(slug, is_fresh=True)  # it may have begun a moment ago
    if wanted not in gate.folders:
        abort(404)
    return gate, gate.folders[wanted] / name


def _send_as_promised(slug: str, rendition: str, index: int, path: Path, promised: int) -> Response:
    """A segment whose header is another than its playlist said brings its own along: what a player buffers is one
    stream of headers and fragments.
    """
    made = load_availability(db.session(), _video(slug))
    row = made.row(rendition) if made else None
    actual = row.inits.get(index, promised) if row else promised
    if actual == promised:
        return _send(path, immutable=_generation() is not None)
    own = path.parent / Path(init_name(rendition, actual)).name
    response = Response(own.read_bytes() + path.read_bytes(), mimetype=TYPES[path.suffix])
    response.headers["Cache-Control"] = "no-store"
    return response


def _init(slug: str, rendition: str, name: str) -> Response:
    generation = _generation()
    gate, path = _place(slug, name, generation)
    if path.is_file():
        return _send(path, immutable=generation is not None)
    made = load_availability(db.session(), _video(slug), generation)
    is_to_come = made and made.plan.container == CMAF and made.row(rendition) and not made.is_whole
    if not is_to_come or gate.is_finished:
        abort(404)
    return _not_yet()


def _not_yet() -> Response:
    """Without holding a thread: the player asks again."""
    response = jsonify(detail="This part is being made now.", code="not_encoded_yet")
    response.status_code = 503
    response.headers["Retry-After"] = "1"
    response.headers["Cache-Control"] = "no-store"
    return response


def _picture(slug: str, name: str) -> Response:
    path = _gate(slug).folder / name
    if not path.is_file():
        abort(404)
    return _send(path, immutable="v" in request.args)


def _send(path: Path, *, immutable: bool) -> Response:
    response = send_file(
        path, mimetype=TYPES[path.suffix], conditional=True, max_age=YEAR_S if immutable else 0
    )
    if immutable:
        response.cache_control.immutable = True
    return response


def _video(slug: str) -> Video:
    """404 for what viewers may not have: the owner's surface has the same rule but for publishing."""
    video = db.session.scalars(select(Video).where(Video.slug == slug)).first()
    if video is None or not is_visible(video):
        abort(404)
    return video


def _gate(slug: str, *, is_fresh: bool = False) -> Gate:
    """A film is many requests: its state is looked up once every GATE_S, not once a segment."""
    key = current_app.config["VLOG_SURFACE"], slug  # the owner sees what viewers may not
    gate = _gates.get(key)
    if gate is None or is_fresh or gate.until < time.monotonic():
        _gates.pop(key, None)
        gate = _gates[key] = _look(slug)
    return gate


def _look(slug: str) -> Gate:
    video = _video(slug)
    folder = functools.partial(generation_folder, settings().videos_dir, video)
    seen = [video.generation, *former_generations(db.session(), video)]
    return Gate(
        folder=video_folder(settings().videos_dir, video),
        folders={generation: folder(generation) for generation in seen},
        generation=video.generation,
        is_finished=video.state == "ready",
        until=time.monotonic() + GATE_S,
    )
