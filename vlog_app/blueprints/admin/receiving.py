"""What every way of sending a file shares: reading the body, and saying what went wrong with it."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager

from flask import request
from werkzeug.exceptions import ClientDisconnected, HTTPException

from encoder.errors import SourceUnreadable

from ...errors import Problem
from ...services.incoming import Busy, Gone, TooLong
from ...services.uploads import UploadError
from ...storage import StorageError, StorageLow

PIECE_BYTES = 256 * 1024
STALL_S = 30.0  # a sender that is silent this long is taken for gone; what came is kept
DRAIN_BYTES = (
    64 << 20
)  # read and thrown away so that the answer arrives: browsers drop it when we hang up first

STATUS = {
    "empty_file": 400,
    "unsupported_media": 415,
    "upload_too_large": 413,
    "too_many_uploads": 429,
    "offset_mismatch": 409,
    "checksum_mismatch": 460,  # tus: checksum extension
}
UNPROCESSABLE = 422
GONE = "This upload is not here any more: it was cancelled, refused, or stood still for a day. Choose the file again."
BUSY = "This upload is still taking bytes from another connection. What came is safe. Try again in a moment."
TOO_LONG = "More bytes came than were announced. What was announced is safe."
ROOM_RETRY_S = 60


class SenderGone(Problem):
    """The connection broke, or nothing came for a while."""

    def __init__(self) -> None:
        super().__init__(
            408, "sender_silent", "The connection went silent. What came is safe. Go on from there."
        )


@contextmanager
def receiving() -> Iterator[None]:
    """Around everything that takes bytes: silent senders end, and what goes wrong becomes an answer."""
    request.max_content_length = None  # our own limit applies: the setting, and what was announced
    with _silent_senders_end():
        try:
            yield
        except (SenderGone, ClientDisconnected):
            raise
        except (Gone, Busy, TooLong, UploadError, StorageError, SourceUnreadable) as error:
            drain()
            raise as_problem(error) from error
        except HTTPException:
            drain()
            raise


def as_problem(error: Exception) -> Problem:
    if isinstance(error, Gone):
        return Problem(404, "upload_gone", GONE)
    if isinstance(error, Busy):
        return Problem(423, "upload_busy", BUSY, headers={"Retry-After": "1"})
    if isinstance(error, TooLong):
        return Problem(413, "upload_too_long", TOO_LONG)
    if isinstance(error, StorageLow):
        numbers = {"X-Needed-Bytes": str(error.needed_bytes), "X-Free-Bytes": str(error.free_bytes)}
        return Problem(
            503, error.code, error.public_message, headers={"Retry-After": str(ROOM_RETRY_S), **numbers}
        )
    if isinstance(error, StorageError):
        return Problem(503, error.code, error.public_message, headers={"Retry-After": str(ROOM_RETRY_S)})
    assert isinstance(error, UploadError | SourceUnreadable)
    return Problem(STATUS.get(error.code, UNPROCESSABLE), error.code, error.public_message)


def read_body(size: int) -> bytes:
    """Some of the request's body, as soon as that much is here; empty at its end."""
    try:
        return request.stream.read(size)
    except OSError as error:
        raise SenderGone from error


def body_pieces() -> Iterator[bytes]:
    """The request's body as it arrives."""
    while piece := read_body(PIECE_BYTES):
        yield piece


def drain() -> None:
    """Read what is still coming, up to a limit."""
    left = DRAIN_BYTES
    try:
        while left > 0 and (piece := read_body(PIECE_BYTES)):
            left -= len(piece)
    except HTTPException:
        return


@contextmanager
def _silent_senders_end() -> Iterator[None]:
    """A phone that left the network never says goodbye: without a limit its request would hold the file's lock."""
    connection = request.environ.get("gunicorn.socket")
    if not isinstance(connection, socket.socket):
        yield
        return
    before = connection.gettimeout()
    connection.settimeout(STALL_S)
    try:
        yield
    finally:
        connection.settimeout(before)
