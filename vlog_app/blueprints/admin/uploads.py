"""Sending files in: the upload page, and tus 1.0 (creation, checksum, expiration, termination) under /uploads."""

from __future__ import annotations

import base64
import binascii
import re
from datetime import UTC, datetime
from email.utils import format_datetime

from flask import Blueprint, Response, jsonify, redirect, render_template, request, url_for

from ...bodies import body_pieces
from ...config import settings
from ...errors import Problem, answer_http_error
from ...extensions import limiter
from ...services import uploads
from ...services.incoming import CHECKSUMS, Gone
from ...services.uploads import Incoming, NewUpload, Received
from .forms import take_form
from .receiving import receiving

blueprint = Blueprint("admin_uploads", __name__)

TUS = "1.0.0"
EXTENSIONS = "creation,creation-with-upload,checksum,expiration,termination"
PATCH_TYPE = "application/offset+octet-stream"
NUMBER = re.compile(r"[0-9]{1,19}", re.ASCII)
MAX_KEY = 128


def _upload_rate() -> str:
    return settings().rate_limit_admin_upload


def _page_rate() -> str:
    return settings().rate_limit_admin_default


# -- the page -----------------------------------------------------------------------------------------------------


@blueprint.get("/upload")
@limiter.limit(_page_rate)
def page() -> str:
    return _render_page()


@blueprint.post("/upload")
@limiter.limit(_upload_rate)
def send_form() -> Response | tuple[str, int]:
    """The plain form, for browsers without JavaScript."""
    try:
        received = take_form()
    except Problem as problem:
        return _render_page(reason=problem.detail), problem.code or 422
    return redirect(url_for("admin.video", video_id=received.video_id), code=303)  # type: ignore[return-value]


def _render_page(reason: str | None = None) -> str:
    return render_template(
        "admin/upload.html",
        nav="upload",
        reason=reason,
        waiting=[upload for upload in uploads.list_open_uploads() if upload.is_exact],
        max_bytes=settings().max_upload_size,
    )


# -- tus ----------------------------------------------------------------------------------------------------------


@blueprint.before_request
def speak_tus() -> Response | None:
    """Every tus request names the version; one we do not speak is told which we do."""
    if not _is_tus() or request.method in ("OPTIONS", "GET") or request.headers.get("Tus-Resumable") == TUS:
        return None
    answer = answer_http_error(Problem(412, "tus_version", f"Send the header Tus-Resumable: {TUS}."))
    answer.headers["Tus-Version"] = TUS
    return answer


@blueprint.after_request
def name_version(response: Response) -> Response:
    if _is_tus():
        response.headers["Tus-Resumable"] = TUS
        response.headers["Cache-Control"] = "no-store"
    return response


def _is_tus() -> bool:
    return request.path == "/uploads" or (
        request.path.startswith("/uploads/") and request.endpoint != "admin_uploads.rename"
    )


@blueprint.route("/uploads", methods=["OPTIONS"])
@blueprint.route("/uploads/<upload_id>", methods=["OPTIONS"])
@limiter.exempt
def offer(upload_id: str = "") -> Response:
    answer = Response(status=204)
    answer.headers["Tus-Version"] = TUS
    answer.headers["Tus-Extension"] = EXTENSIONS
    answer.headers["Tus-Max-Size"] = str(settings().max_upload_size)
    answer.headers["Tus-Checksum-Algorithm"] = ",".join(CHECKSUMS)
    return answer


@blueprint.get("/uploads")
@limiter.limit(_page_rate)
def open_uploads() -> Response:
    """What is under way, for a page that was reloaded."""
    return jsonify([uploads.as_json(upload) for upload in uploads.list_open_uploads() if upload.is_exact])


@blueprint.post("/uploads")
@limiter.limit(_upload_rate)
def create() -> Response:
    with receiving():
        upload = uploads.create_upload(_announced())
        answer = Response(status=201)
        if request.headers.get("Content-Type") == PATCH_TYPE and upload.video_id is None:
            end, received = _append(upload.id, 0)
            answer.headers["Upload-Offset"] = str(end)
            _name_video(answer, received)
        elif upload.video_id is not None:
            _name_video(answer, uploads.finish_upload(upload.id))
    answer.headers["Location"] = url_for("admin_uploads.patch", upload_id=upload.id)
    answer.headers["Upload-Expires"] = _http_date(upload.expires_at)
    return answer


@blueprint.route("/uploads/<upload_id>", methods=["HEAD"])
@limiter.exempt
def offset(upload_id: str) -> Response:
    with receiving():
        upload = uploads.find_upload(upload_id)
        if upload is None:
            raise Gone
    answer = Response(status=200)
    answer.headers["Upload-Offset"] = str(upload.offset)
    answer.headers["Upload-Length"] = str(upload.length_bytes)
    answer.headers["Upload-Expires"] = _http_date(upload.expires_at)
    _name_video(answer, _received(upload))
    return answer


@blueprint.patch("/uploads/<upload_id>")
@limiter.exempt
def patch(upload_id: str) -> Response:
    with receiving():
        if request.headers.get("Content-Type") != PATCH_TYPE:
            raise Problem(415, "wrong_type", f"Parts of an upload are sent as {PATCH_TYPE}.")
        begin = _number("Upload-Offset")
        end, received = _append(upload_id, begin)
    answer = Response(status=204)
    answer.headers["Upload-Offset"] = str(end)
    answer.headers["Upload-Expires"] = _http_date(datetime.now(UTC) + uploads.UPLOAD_LIFE)
    _name_video(answer, received)
    return answer


@blueprint.post("/uploads/<upload_id>")
@limiter.exempt
def override(upload_id: str) -> Response:
    """tus for clients that can only POST."""
    method = request.headers.get("X-HTTP-Method-Override", "").upper()
    if method == "PATCH":
        return patch(upload_id)
    if method == "DELETE":
        return cancel(upload_id)
    raise Problem(
        405, "method_not_allowed", "Parts of an upload are sent with PATCH.", headers={"Allow": "PATCH"}
    )


@blueprint.delete("/uploads/<upload_id>")
@limiter.limit(_page_rate)
def cancel(upload_id: str) -> Response:
    with receiving():
        if not uploads.discard(upload_id):
            raise Gone
    return Response(status=204)


@blueprint.post("/uploads/<upload_id>/title")
@limiter.limit(_page_rate)
def rename(upload_id: str) -> Response:
    """A title typed while the file is on its way."""
    with receiving():
        given = request.get_json(silent=True)
        title = given.get("title") if isinstance(given, dict) else None
        if not isinstance(title, str):
            raise Problem(422, "invalid", "A title is missing. Nothing was changed.")
        uploads.rename_upload(upload_id, title)
    return Response(status=204)


def _append(upload_id: str, begin: int) -> tuple[int, Received | None]:
    return uploads.append(
        upload_id, begin, body_pieces(), announced=request.content_length, checksum=_checksum()
    )


def _announced() -> NewUpload:
    facts = _metadata(request.headers.get("Upload-Metadata", ""))
    return NewUpload(
        length_bytes=_number("Upload-Length"),
        filename=facts.get("filename", ""),
        title=facts.get("title", ""),
        description=facts.get("description", ""),
        modified=facts.get("modified", ""),
        idempotency_key=idempotency_key(),
    )


def idempotency_key() -> str | None:
    key = request.headers.get("Idempotency-Key", "").strip()
    if len(key) > MAX_KEY or not key.isascii() or not key.isprintable():
        raise Problem(400, "bad_request", f"An Idempotency-Key has at most {MAX_KEY} plain characters.")
    return key or None


def _metadata(header: str) -> dict[str, str]:
    """`filename aG9saWRheS5tcDQ=,title ...`"""
    facts: dict[str, str] = {}
    for pair in header.split(","):
        key, _, value = pair.strip().partition(" ")
        try:
            facts[key] = base64.b64decode(value, validate=True).decode("utf-8")
        except (binascii.Error, UnicodeDecodeError):
            raise Problem(400, "bad_request", "The header Upload-Metadata cannot be read.") from None
    return facts


def _number(header: str) -> int:
    value = request.headers.get(header, "")
    if not NUMBER.fullmatch(value):
        raise Problem(400, "bad_request", f"The header {header} must be a whole number.")
    return int(value)


def _checksum() -> uploads.Checksum | None:
    header = request.headers.get("Upload-Checksum")
    if header is None:
        return None
    try:
        return uploads.parse_checksum(header)
    except ValueError:
        raise Problem(400, "bad_request", f"Upload-Checksum knows {', '.join(CHECKSUMS)}.") from None


def _received(upload: Incoming) -> Received | None:
    if upload.video_id is None or upload.slug is None:
        return None
    return Received(upload.video_id, upload.slug, upload.title)


def _name_video(answer: Response, received: Received | None) -> None:
    if received is not None:
        answer.headers["X-Video-Id"] = str(received.video_id)
        answer.headers["X-Video-Slug"] = received.slug


def _http_date(when: datetime) -> str:
    return format_datetime(when.astimezone(UTC), usegmt=True)
