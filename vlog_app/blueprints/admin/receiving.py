"""What every way of sending a file shares: reading the body, and saying what went wrong with it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from flask import request
from sqlalchemy.exc import SQLAlchemyError
from werkzeug.exceptions import ClientDisconnected, HTTPException

from encoder.errors import SourceUnreadable

from ...bodies import SenderGone, drain, silent_senders_end
from ...errors import Problem
from ...services.incoming import Busy, Gone, TooLong
from ...services.uploads import UploadError
from ...storage import StorageError, StorageLow

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


@contextmanager
def receiving() -> Iterator[None]:
    """Around everything that takes bytes: silent senders end, and what goes wrong becomes an answer."""
    request.max_content_length = None  # our own limit applies: the setting, and what was announced
    with silent_senders_end():
        try:
            yield
        except (SenderGone, ClientDisconnected):
            raise
        except (Gone, Busy, TooLong, UploadError, StorageError, SourceUnreadable) as error:
            drain()
            raise as_problem(error) from error
        except (HTTPException, SQLAlchemyError):
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
