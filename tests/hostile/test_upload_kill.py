"""The server is killed while bytes arrive: the client goes on from what HEAD says, and the file is the same."""

from __future__ import annotations

import hashlib
import http.client
import random
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.conftest import ADMIN_SECRET
from tests.hostile.clips import Clips
from tests.hostile.server import Server

pytestmark = pytest.mark.media
HEADERS = {"Tus-Resumable": "1.0.0", "X-Admin-Secret": ADMIN_SECRET}
PART = HEADERS | {"Content-Type": "application/offset+octet-stream"}
KILLS = 5
PIECE = 128 * 1024


@pytest.fixture
def server(storage: Path, database_url: str, tmp_path: Path) -> Iterator[Server]:
    server = Server(storage, tmp_path / "server.log")
    server.start()
    yield server
    server.kill()


def ask(server: Server, method: str, path: str, headers: dict[str, str]) -> http.client.HTTPResponse:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)
    connection.request(method, path, headers=headers)
    answer = connection.getresponse()
    answer.read()
    connection.close()
    return answer


def send_until(server: Server, path: str, film: bytes, begin: int, end: int) -> None:
    """One long PATCH of which only the bytes up to `end` are sent before the server dies."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)
    connection.putrequest("PATCH", path)
    for name, value in (
        PART | {"Upload-Offset": str(begin), "Content-Length": str(len(film) - begin)}
    ).items():
        connection.putheader(name, value)
    connection.endheaders()
    for at in range(begin, end, PIECE):
        connection.send(film[at : min(at + PIECE, end)])
    time.sleep(0.2)
    server.kill()
    connection.close()


def test_kills_in_the_middle_lose_no_byte_that_was_promised(
    server: Server, clips: Clips, storage: Path
) -> None:
    whole = clips.faststart.read_bytes()
    padding = random.Random(7).randbytes(12 << 20)
    film = whole + (8 + len(padding)).to_bytes(4, "big") + b"free" + padding
    created = ask(server, "POST", "/uploads", HEADERS | {"Upload-Length": str(len(film))})
    path, promised = str(created.headers["Location"]), 0
    for kill in range(KILLS):
        end = len(film) * (kill + 1) // (KILLS + 1) + 777
        send_until(server, path, film, promised, end)
        server.start()
        offset = int(ask(server, "HEAD", path, HEADERS).headers["Upload-Offset"])
        assert promised <= offset <= end
        assert offset > end - 2 * (1 << 20), "what had arrived long before the kill is on disk"
        promised = offset
    with closing(http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)) as connection:
        connection.request(
            "PATCH", path, body=film[promised:], headers=PART | {"Upload-Offset": str(promised)}
        )
        answer = connection.getresponse()
    assert answer.status == 204
    kept = (storage / f"uploads/{answer.headers['X-Video-Id']}.mp4").read_bytes()
    assert hashlib.sha256(kept).hexdigest() == hashlib.sha256(film).hexdigest()


def test_kill_after_the_last_byte_is_finished_by_the_next_question(
    server: Server, clips: Clips, storage: Path
) -> None:
    film = clips.mp4.read_bytes()
    created = ask(server, "POST", "/uploads", HEADERS | {"Upload-Length": str(len(film))})
    path = str(created.headers["Location"])
    server.kill()
    (storage / "uploads/.incoming" / path.rpartition("/")[2]).write_bytes(film)
    server.start()
    answers = [ask(server, "HEAD", path, HEADERS) for _ in range(2)]
    assert [answer.headers["X-Video-Id"] for answer in answers] == ["1", "1"]
    assert (storage / "uploads/1.mp4").read_bytes() == film


def test_refusal_reaches_a_sender_that_has_more_to_send(server: Server) -> None:
    """Hanging up on a sender would lose the reason."""
    junk = b"#EXTM3U\n" * (1 << 20)
    created = ask(server, "POST", "/uploads", HEADERS | {"Upload-Length": str(len(junk))})
    with closing(http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)) as connection:
        headers = PART | {"Upload-Offset": "0"}
        connection.request("PATCH", str(created.headers["Location"]), body=junk, headers=headers)
        answer = connection.getresponse()
        assert answer.status == 415
        assert b"This is a playlist" in answer.read()
