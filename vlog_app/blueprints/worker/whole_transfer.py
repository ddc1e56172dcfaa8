"""Files of a whole film on their way out and in, for workers of an existing installation. All are streamed.

Not limited by the number of calls: a lease limits them.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from flask import Blueprint, Response, jsonify, request
from pydantic import TypeAdapter, ValidationError

from jobs.contract import Claim

from ...bodies import body_pieces, read_body, silent_senders_end
from ...config import settings
from ...errors import Problem
from ...extensions import limiter
from ...multipart import FileForm
from ...services import foreign_intake, foreign_parts, whole
from ...services.handing_in import Parcel
from . import auth
from .transfer import SHA256, send_source
from .whole_wire import Quality, SegmentsDone
from .wire import invalid, read_json

blueprint = Blueprint("worker_whole_transfer", __name__, url_prefix="/api/worker")
auth.answer_problems(blueprint)
blueprint.before_request(auth.require_worker_key)
limiter.exempt(blueprint)

SHA256_HEADER = "X-Content-SHA256"
FORM_BYTES = 64 * 1024  # what the headers of the one part may take of a body
_QUALITY: TypeAdapter[Quality] = TypeAdapter(Quality)


def _held(video_id: int) -> Claim:
    return whole.held_video(video_id, auth.require_worker().id)


@blueprint.get("/source/<int:video_id>")
def source(video_id: int) -> Response:
    """The upload, with Range. What moves renews the lease."""
    return send_source(_held(video_id))


@blueprint.post("/upload/<int:video_id>/quality/<quality>")
def upload_quality(video_id: int, quality: str) -> Response:
    """One rendition as tar.gz, watchable as soon as it was looked through."""
    claim = _held(video_id)
    with _archive() as pieces:
        is_new = foreign_intake.receive_quality(claim, _known(quality), pieces)
    return _ok(f"{quality} is published." if is_new else f"{quality} is in already.")


@blueprint.post("/upload/<int:video_id>/finalize")
def upload_extras(video_id: int) -> Response:
    """The poster, and playlists that the site does not need."""
    claim = _held(video_id)
    with _archive() as pieces:
        foreign_intake.receive_extras(claim, pieces)
    return _ok("Taken in. The playlists of the site are its own.")


@blueprint.post("/upload/<int:video_id>")
def upload_everything(video_id: int) -> Response:
    """All renditions in one tar.gz."""
    claim = _held(video_id)
    with _archive() as pieces:
        names = foreign_intake.receive_everything(claim, pieces)
    return _ok(f"Published: {', '.join(names)}.")


@blueprint.post("/upload/<int:video_id>/segment/<quality>/<filename>")
def upload_part(video_id: int, quality: str, filename: str) -> Response:
    """One file of a rendition, with its SHA-256."""
    claim = _held(video_id)
    parcel = _parcel()
    with silent_senders_end():
        written = foreign_parts.receive_part(claim, _known(quality), filename, parcel)
    return jsonify(
        status="ok",
        written=written,
        bytes_written=parcel.size_bytes if written else 0,
        checksum_verified=True,
    )


@blueprint.get("/upload/<int:video_id>/segments/status")
def parts_there(video_id: int) -> Response:
    """Which segments of `quality` came in one by one."""
    claim = _held(video_id)
    quality = _known(request.args.get("quality", ""))
    names, size = foreign_parts.parts_there(claim, quality)
    return jsonify(quality=quality, received_segments=names, total_size_bytes=size)


@blueprint.post("/upload/<int:video_id>/segment/finalize")
def finish_parts(video_id: int) -> Response:
    """Publish a rendition that came file by file, or say what is missing of it."""
    body = read_json(SegmentsDone)
    missing = foreign_parts.finish_parts(_held(video_id), body.quality, body.segment_count)
    return jsonify(status="incomplete" if missing else "ok", complete=not missing, missing_segments=missing)


def _ok(message: str) -> Response:
    return jsonify(status="ok", message=message)


def _known(quality: str) -> Quality:
    try:
        return _QUALITY.validate_python(quality)
    except ValidationError as error:
        raise invalid(error, "quality") from None


@contextmanager
def _archive() -> Iterator[Iterator[bytes]]:
    """The one file of a form as it arrives. Raises Problem: 400 for another kind of body, 413 for one too large."""
    boundary = request.mimetype_params.get("boundary")
    if request.mimetype != "multipart/form-data" or not boundary:
        raise Problem(400, "bad_request", "Send the archive as multipart/form-data with a part called file.")
    if (request.content_length or 0) > settings().max_hls_archive_size + FORM_BYTES:
        raise Problem(413, "too_large", "An archive is never this large. Nothing was kept.")
    request.max_content_length = None  # our own limits apply
    form = FileForm(read_body, boundary)
    with silent_senders_end():
        if not form.open_file("file"):
            raise Problem(400, "file_missing", "No file came with this form. Nothing was kept.")
        yield form.pieces()
        form.rest()


def _parcel() -> Parcel:
    """Raises Problem: 411 without a length, 400 without a checksum."""
    if request.content_length is None:
        raise Problem(411, "length_required", "Send the length of the file in Content-Length.")
    match = SHA256.fullmatch(request.headers.get(SHA256_HEADER, ""))
    if match is None:
        raise Problem(400, "wrong_checksum", f"Send the SHA-256 of the body in {SHA256_HEADER}.")
    request.max_content_length = None
    return Parcel(body_pieces(), request.content_length, match[1].lower())
