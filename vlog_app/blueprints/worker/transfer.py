"""Files of a lease on their way in and out. Each is streamed: none is ever held in memory.

Not limited by the number of calls: a lease limits them, since each cell of its job is taken once.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from flask import Blueprint, Response, jsonify, request, send_file

from encoder.model import Segment
from jobs.contract import Claim, LeaseLost, Refused, SegmentFile
from jobs.source_state import state_of
from jobs.wire import INIT_HEADER, INIT_LENGTH_HEADER, SEGMENT_HEADER, SHA256_HEADER

from ...bodies import PIECE_BYTES, body_pieces, silent_senders_end
from ...errors import Problem
from ...extensions import db, limiter
from ...models import Video
from ...services import segment_files
from ...services.handing_in import Parcel, receive_segment, receive_still
from ...services.leases import KeptLease
from ...services.media_files import SourceGone, source_file, source_to_read
from . import auth
from .wire import read_segment

blueprint = Blueprint("worker_transfer", __name__, url_prefix="/api/worker/leases/<int:job_id>")
auth.answer_problems(blueprint)
blueprint.before_request(auth.require_worker_key)
limiter.exempt(blueprint)

SHA256 = re.compile(r"(?:sha256:)?([0-9a-fA-F]{64})", re.ASCII)
BYTES_TYPE = "application/octet-stream"


@blueprint.get("/source")
def source(job_id: int) -> Response:
    """The upload, with Range. What moves renews the lease; a lost one ends the answer in the middle."""
    return send_source(auth.require_claim(job_id))


def send_source(claim: Claim) -> Response:
    """Whoever begins to read gets no other file than the film was planned from; who reads on sees it by `If-Range`."""
    find = source_file if "If-Range" in request.headers else source_to_read
    return _ranged(find(_video_of(claim)), claim)


@blueprint.get("/segments/<rendition>/<int:index>")
def finished_segment(job_id: int, rendition: str, index: int) -> Response:
    """A segment that is in already, for the storyboard. In CMAF the answer names the header it needs."""
    file = _finished(job_id, rendition, index)
    answer = send_file(file.path, mimetype=BYTES_TYPE, etag=False)
    if file.init is not None:
        answer.headers[INIT_HEADER] = file.init.name
    return answer


@blueprint.get("/segments/<rendition>/<int:index>/init")
def finished_init(job_id: int, rendition: str, index: int) -> Response:
    """The header of a segment that is in already."""
    init = _finished(job_id, rendition, index).init
    if init is None:
        raise Refused("these segments need no header")
    return send_file(init, mimetype=BYTES_TYPE, etag=False)


def _finished(job_id: int, rendition: str, index: int) -> SegmentFile:
    claim = auth.require_claim(job_id)
    names = [row.name for row in claim.plan.renditions]
    if rendition not in names or index >= claim.plan.segment_count:
        raise Refused(f"there is no segment {index} of {rendition}")
    return segment_files.finished_segment(claim, rendition, index)


@blueprint.put("/segments/<rendition>/<int:index>")
def checkpoint(job_id: int, rendition: str, index: int) -> Response:
    """Hand in one segment. In CMAF its header stands before it in the body, and a header says how long that is."""
    claim = auth.require_claim(job_id)
    declared = read_segment(request.headers.get(SEGMENT_HEADER, ""))
    parcel = _parcel()
    if (declared.rendition, declared.index) != (rendition, index):
        raise _wrong_header(SEGMENT_HEADER, "must be of the segment that the address names")
    with silent_senders_end():
        written = receive_segment(claim, _as_announced(declared, parcel), parcel)
    return jsonify(
        status="ok",
        written=written,
        bytes_written=parcel.size_bytes if written else 0,
        checksum_verified=True,
    )


@blueprint.put("/stills/<name>")
def hand_in(job_id: int, name: str) -> Response:
    claim = auth.require_claim(job_id)
    parcel = _parcel()
    with silent_senders_end():
        receive_still(claim, name, parcel)
    return jsonify(status="ok")


def _parcel() -> Parcel:
    """Raises Problem: 411 without a length, 422 without a checksum."""
    if request.content_length is None:
        raise Problem(411, "length_required", "Send the length of the file in Content-Length.")
    request.max_content_length = None  # our own limits apply
    match = SHA256.fullmatch(request.headers.get(SHA256_HEADER, ""))
    if match is None:
        raise _wrong_header(SHA256_HEADER, "must be the SHA-256 of the body, 64 hexadecimal digits")
    return Parcel(body_pieces(), request.content_length, match[1].lower(), _init_length())


def _init_length() -> int:
    text = request.headers.get(INIT_LENGTH_HEADER, "0")
    if not text.isascii() or not text.isdigit() or len(text) > 9:
        raise _wrong_header(INIT_LENGTH_HEADER, "must be a number of bytes")
    return int(text)


def _as_announced(declared: Segment, parcel: Parcel) -> Segment:
    """What the facts say of size and checksum must be what the other headers say."""
    if declared.size_bytes != parcel.size_bytes - parcel.init_bytes:
        raise _wrong_header(SEGMENT_HEADER, "size_bytes must be what Content-Length leaves for the segment")
    if not parcel.init_bytes and declared.sha256.lower() != parcel.sha256:
        raise _wrong_header(SEGMENT_HEADER, f"sha256 must be the one in {SHA256_HEADER}")
    return declared


def _wrong_header(header: str, message: str) -> Problem:
    return Problem(422, "invalid", [{"loc": ["header", header], "msg": message}])


def _video_of(claim: Claim) -> Video:
    video = db.session.get(Video, claim.video_id)
    db.session.rollback()
    if video is None:
        raise LeaseLost("the video is gone")
    return video


def _ranged(path: Path, claim: Claim) -> Response:
    """One range, or all of it. An `If-Range` that names another state of the file gets all of it."""
    try:
        facts = path.stat()
    except FileNotFoundError:
        raise SourceGone from None
    etag = f'"{state_of(facts)}"'
    if etag in request.headers.get("If-None-Match", ""):
        return Response(status=304, headers={"ETag": etag})
    span = _wanted(facts.st_size, etag)
    if span == ():
        return Response(status=416, headers={"Content-Range": f"bytes */{facts.st_size}"})
    start, stop = span or (0, facts.st_size)
    body = KeptLease(claim).while_moving(_pieces_of(path, start, stop))
    answer = Response(body, status=206 if span else 200, mimetype=BYTES_TYPE, direct_passthrough=True)
    answer.headers.update({"Accept-Ranges": "bytes", "ETag": etag, "Content-Length": str(stop - start)})
    answer.headers["Content-Disposition"] = f"attachment; filename={claim.video_id}{path.suffix}"
    if span:
        answer.headers["Content-Range"] = f"bytes {start}-{stop - 1}/{facts.st_size}"
    return answer


def _wanted(size: int, etag: str) -> tuple[int, int] | tuple[()] | None:
    """[start, stop) that was asked for; None: all of it; (): it cannot be had."""
    wanted, still = request.range, request.headers.get("If-Range")
    is_one = wanted is not None and wanted.units == "bytes" and len(wanted.ranges) == 1
    if wanted is None or not is_one or (still is not None and still != etag):
        return None
    return wanted.range_for_length(size) or ()


def _pieces_of(path: Path, start: int, stop: int) -> Iterator[bytes]:
    with path.open("rb") as file:
        file.seek(start)
        left = stop - start
        while left > 0 and (piece := file.read(min(PIECE_BYTES, left))):
            left -= len(piece)
            yield piece
