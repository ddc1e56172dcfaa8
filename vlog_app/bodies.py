"""Reading the body of a request as it arrives, whoever sends it."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager

from flask import request
from werkzeug.exceptions import HTTPException

from .errors import Problem

PIECE_BYTES = 256 * 1024
STALL_S = 30.0  # a sender that is silent this long is taken for gone
DRAIN_BYTES = (
    64 << 20
)  # read and thrown away so that the answer arrives: clients drop it when we hang up first


class SenderGone(Problem):
    """The connection broke, or nothing came for a while."""

    def __init__(self) -> None:
        super().__init__(
            408, "sender_silent", "The connection went silent. What came is safe. Go on from there."
        )


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
def silent_senders_end() -> Iterator[None]:
    """A sender that left the network never says goodbye: without a limit its request would be held for hours."""
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
