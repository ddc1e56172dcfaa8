"""`flask vlog upload`: resumes where it stopped, says why a file was refused, says when nothing answers."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from flask import Flask

from vlog_app.cli.tus import ConnectionBroken, NothingAnswers, TusClient, UploadFailed

SIZE = 3 << 20


class TusServer(ThreadingHTTPServer):
    """As much of tus 1.0 as the client uses, with faults to order."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.lock = threading.Lock()
        self.files: dict[str, bytearray] = {}
        self.lengths: dict[str, int] = {}
        self.seen: list[str] = []
        self.secret = ""
        self.break_after: int | None = None  # bytes of a PATCH that are kept before the line is cut, once
        self.refusal: dict[str, str] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    server: TusServer
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: object) -> None:
        pass

    def do_POST(self) -> None:
        self.server.seen.append("POST")
        self.server.secret = self.headers.get("X-Admin-Secret", "")
        location = f"/uploads/{len(self.server.files)}"
        self.server.files[location] = bytearray()
        self.server.lengths[location] = int(self.headers["Upload-Length"])
        self._answer(201, {"Location": location})

    def do_HEAD(self) -> None:
        with self.server.lock:
            self.server.seen.append("HEAD")
            if self.path not in self.server.files:
                return self._answer(404)
            return self._answer(200, {"Upload-Offset": str(len(self.server.files[self.path]))})

    def do_PATCH(self) -> None:
        with self.server.lock:
            self._take()

    def _take(self) -> None:
        self.server.seen.append(f"PATCH {self.headers['Upload-Offset']}")
        file, length = self.server.files[self.path], int(self.headers["Content-Length"])
        if int(self.headers["Upload-Offset"]) != len(file):
            return self._answer(409)
        if self.server.break_after is not None:
            file += self.rfile.read(self.server.break_after)
            self.server.break_after = None
            self.close_connection = True
            return self.connection.close()
        file += self.rfile.read(length)
        if len(file) < self.server.lengths[self.path]:  # the other side went away; what arrived is kept
            self.close_connection = True
            return None
        if self.server.refusal:
            return self._answer(415, body=json.dumps(self.server.refusal))
        return self._answer(
            204, {"Upload-Offset": str(len(file)), "X-Video-Id": "7", "X-Video-Slug": "a-film"}
        )

    def _answer(self, status: int, headers: dict[str, str] | None = None, body: str = "") -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body.encode())


@pytest.fixture
def server() -> Iterator[TusServer]:
    server = TusServer()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def film(tmp_path: Path) -> Path:
    path = tmp_path / "film.mp4"
    path.write_bytes(bytes(range(256)) * (SIZE // 256))
    return path


@pytest.fixture
def client_for(tmp_path: Path) -> Iterator[Callable[[str], TusClient]]:
    clients: list[TusClient] = []

    def make(url: str) -> TusClient:
        clients.append(TusClient(url, "the secret", answer_s=5, deadline_s=20, home=tmp_path / "home"))
        return clients[-1]

    yield make
    for client in clients:
        client.close()


ClientFor = Callable[[str], TusClient]


def test_a_file_arrives_whole(server: TusServer, film: Path, client_for: ClientFor) -> None:
    heard: list[int] = []
    video = client_for(server.url).upload(film, "A film", heard.append)
    assert (video.video_id, video.slug) == (7, "a-film")
    assert bytes(server.files["/uploads/0"]) == film.read_bytes()
    assert server.secret == "the secret"
    assert heard[0] == 0
    assert heard[-1] == SIZE
    assert heard == sorted(heard)


def test_a_broken_connection_is_taken_up_where_it_broke(
    server: TusServer, film: Path, client_for: ClientFor
) -> None:
    server.break_after = 1_000_000
    client_for(server.url).upload(film, "", lambda _offset: None)
    assert bytes(server.files["/uploads/0"]) == film.read_bytes()
    assert server.seen == ["POST", "PATCH 0", "HEAD", "PATCH 1000000"]


def wait_for(is_true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not is_true():
        assert time.monotonic() < deadline
        time.sleep(0.01)


class Interrupted(Exception):
    """As Ctrl-C would."""


def test_an_interrupted_upload_goes_on_in_the_next_run(
    server: TusServer, film: Path, client_for: ClientFor
) -> None:
    def interrupt(offset: int) -> None:
        if offset >= 1 << 20:
            raise Interrupted

    first = client_for(server.url)
    with pytest.raises(Interrupted):
        first.upload(film, "", interrupt)
    first.close()
    wait_for(lambda: "PATCH 0" in server.seen)
    client_for(server.url).upload(film, "", lambda _offset: None)
    assert server.seen[:3] == ["POST", "PATCH 0", "HEAD"]
    assert server.seen[3] == f"PATCH {1 << 20}"
    assert len(server.seen) == 4
    assert bytes(server.files["/uploads/0"]) == film.read_bytes()


def test_a_refusal_says_why_and_is_forgotten(server: TusServer, film: Path, client_for: ClientFor) -> None:
    server.refusal = {"detail": "This is a text file and not a video.", "code": "unsupported_media"}
    with pytest.raises(UploadFailed, match="not a video") as caught:
        client_for(server.url).upload(film, "", lambda _offset: None)
    assert caught.value.code == "unsupported_media"
    assert not isinstance(caught.value, ConnectionBroken)
    server.refusal = None
    client_for(server.url).upload(film, "", lambda _offset: None)
    assert server.seen.count("POST") == 2


def test_nothing_answers_is_a_sentence(film: Path, client_for: ClientFor) -> None:
    with pytest.raises(NothingAnswers, match=r"Nothing answers at http://127\.0\.0\.1:9;"):
        client_for("http://127.0.0.1:9").upload(film, "", lambda _offset: None)


def test_the_command_prints_one_object_per_file(
    app: Flask, server: TusServer, film: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(Path, "home", lambda: tmp_path / "home")
    config = app.extensions["vlog.settings"].model_copy(update={"admin_api_url": server.url})
    app.extensions["vlog.settings"] = config
    result = app.test_cli_runner().invoke(args=["vlog", "upload", "--json", str(film)])
    assert result.exit_code == 0, result.output
    facts = json.loads(result.stdout)
    assert facts == {"file": str(film), "video_id": 7, "slug": "a-film", "status": "uploaded"}
