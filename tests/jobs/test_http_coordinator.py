"""A worker's line to the site: patient where patience helps, quick to hear a no, and never the same bytes twice."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from encoder.errors import SourceUnreadable, StorageFull
from encoder.inputs import Loopback
from encoder.model import Chunk, Segment
from encoder.plan import make_plan
from jobs import film, http_client, http_coordinator, source_line
from jobs.blocks import BLOCK_BYTES
from jobs.contract import (
    Claim,
    Dismissed,
    Drained,
    Failure,
    Incomplete,
    LeaseLost,
    OpenedSource,
    Refused,
    Slot,
    Unavailable,
    WorkerInfo,
)
from jobs.health import Health
from jobs.http_bell import HttpBell
from jobs.http_client import Api
from jobs.http_coordinator import HttpCoordinator
from jobs.sources import Sources
from jobs.wire import VERSION
from tests.contract.worker_api import remote_coordinator
from tests.factories import make_source

ATLAS = WorkerInfo("remote:atlas", "atlas", {"cores": 8})
PLAN = make_plan(make_source(seconds=12, width=640, height=360))
FILM = bytes(range(256)) * 4000
CLAIM = Claim(7, "f" * 32, 2.0, 1, "encode", 1, PLAN, Chunk(0, 2), ("360p",))


@dataclass
class Answer:
    """What the scripted server says. `cut_after`: it hangs up after so many bytes of the body."""

    status: int = 200
    body: bytes = b"{}"
    headers: dict[str, str] = field(default_factory=dict)
    cut_after: int | None = None


def say(status: int = 200, code: str = "", *, headers: dict[str, str] | None = None, **facts: Any) -> Answer:
    body = {"detail": f"about {code}", "code": code} if code else facts
    return Answer(status, json.dumps(body).encode(), headers or {})


@dataclass
class Script:
    """Gives its answers one after the other, the last one for ever; keeps what it was asked."""

    answers: list[Answer]
    asked: list[tuple[str, str, dict[str, str], bytes]] = field(default_factory=list)
    url: str = ""

    def next(self) -> Answer:
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]

    @property
    def bodies(self) -> list[Any]:
        return [json.loads(body) for _, _, _, body in self.asked]


@contextmanager
def serving(*answers: Answer) -> Iterator[Script]:
    script = Script(list(answers))

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle_any(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            script.asked.append((self.command, self.path, dict(self.headers), body))
            answer = script.next()
            self.send_response(answer.status)
            for name, value in answer.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(answer.body)))
            self.end_headers()
            self.wfile.write(answer.body[: answer.cut_after])
            self.close_connection = answer.cut_after is not None

        do_GET = do_POST = do_PUT = handle_any  # noqa: N815

        def log_message(self, *_words: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    script.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield script
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_client, "FIRST_PAUSE_S", 0.01)
    monkeypatch.setattr(source_line, "BREAK_PAUSE_S", 0.01)
    monkeypatch.setattr(film, "BREAK_PAUSE_S", 0.01)
    monkeypatch.setattr(http_coordinator, "GOODBYE_PATIENCE_S", 0.1)


Connect = Callable[..., HttpCoordinator]


@pytest.fixture
def connect(tmp_path: Path) -> Iterator[Connect]:
    opened: list[tuple[HttpCoordinator, Api]] = []

    def open_line(script: Script, **more: Any) -> HttpCoordinator:
        opened.append(remote_coordinator(script.url, "vlw_key", tmp_path, **more))
        return opened[-1][0]

    yield open_line
    for coordinator, api in opened:
        coordinator.close()
        api.close()


def made(tmp_path: Path) -> tuple[Segment, Path]:
    path = tmp_path / "360p_0000.ts"
    path.write_bytes(b"pictures")
    return Segment("360p", 0, 6.0, 8, "0" * 64, 150, "avc1.64001F"), path


# --- no ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (say(409, "lease_lost"), LeaseLost),
        (say(409, ""), LeaseLost),
        (say(403, "not_yours"), LeaseLost),
        (say(403, "worker_disabled"), LeaseLost),
        (say(401, "key_invalid"), LeaseLost),
        (say(422, "refused"), Refused),
        (say(413, "too_large"), Refused),
        (say(422, "incomplete"), Incomplete),
        (say(503, "storage_low", headers={"Retry-After": "60"}), StorageFull),
        (Answer(body=b"<html>"), Unavailable),
        (Answer(body=b"[]"), Unavailable),
        (Answer(404, b"<html>"), Unavailable),
    ],
)
def test_a_no_means_what_it_says_and_is_not_asked_for_twice(
    connect: Connect, answer: Answer, error: type[Exception]
) -> None:
    with serving(answer) as script, pytest.raises(error):
        connect(script).finish(CLAIM)
    assert len(script.asked) == 1


def test_a_worker_that_is_not_wanted_hears_so_when_it_greets(connect: Connect) -> None:
    with serving(say(401, "key_invalid")) as script, pytest.raises(Dismissed, match="about key_invalid"):
        connect(script).greet(ATLAS)


def test_a_worker_of_another_version_hears_which_one_is_wanted(connect: Connect) -> None:
    newer = say(lease=None, version_ok=False, required_version="vlog/9.9")
    with serving(newer) as script:
        for call in (
            lambda line: line.greet(ATLAS),
            lambda line: line.beat(ATLAS),
            lambda line: line.claim(ATLAS, Slot("x", ("encode",))),
        ):
            with pytest.raises(Dismissed, match=r"vlog/9\.9"):
                call(connect(script))
    assert {body["code_version"] for body in script.bodies} == {VERSION}


def test_giving_back_what_is_lost_already_is_no_failure(connect: Connect) -> None:
    with serving(say(409, "lease_lost")) as script:
        connect(script).release(CLAIM)
        connect(script).fail(CLAIM, Failure("x", "y"))
    assert [path.rpartition("/")[2] for _, path, _, _ in script.asked] == ["release", "fail"]


def test_a_segment_that_another_made_differently_is_in(connect: Connect, tmp_path: Path) -> None:
    segment, file = made(tmp_path)
    with serving(say(409, "segment_differs")) as script:
        assert connect(script).checkpoint(CLAIM, segment, file) is False
    assert not file.exists()


# --- patience ------------------------------------------------------------------------------------------------


def test_a_server_that_is_busy_is_asked_again(connect: Connect, tmp_path: Path) -> None:
    segment, file = made(tmp_path)
    busy = [
        say(503, "database_busy"),
        say(429, "too_many_requests"),
        Answer(502, b"<html>"),
        say(500, "internal"),
    ]
    with serving(*busy, say(written=True)) as script:
        assert connect(script).checkpoint(CLAIM, segment, file) is True
    assert [body for _, _, _, body in script.asked] == [b"pictures"] * 5


def test_bytes_that_were_damaged_on_the_way_are_sent_again(connect: Connect, tmp_path: Path) -> None:
    segment, file = made(tmp_path)
    with serving(say(422, "wrong_checksum"), say(written=True)) as script:
        assert connect(script).checkpoint(CLAIM, segment, file) is True
    assert len(script.asked) == 2


def test_the_server_says_how_long_to_wait(connect: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []
    monkeypatch.setattr(http_client.time, "sleep", waits.append)
    with serving(say(503, "database_busy", headers={"Retry-After": "1"}), say()) as script:
        connect(script).finish(CLAIM)
    assert [1.0 <= wait <= 1.2 for wait in waits] == [True]


def test_waits_grow_and_are_never_the_same_for_all(monkeypatch: pytest.MonkeyPatch) -> None:
    assert http_client._wait_s(None, 8.0) != http_client._wait_s(None, 8.0)
    assert 4.0 <= http_client._wait_s(None, 8.0) <= 8.0


def test_a_renewal_is_not_asked_for_again_since_the_next_one_comes_soon(connect: Connect) -> None:
    with serving(say(503, "database_busy")) as script, pytest.raises(Unavailable):
        connect(script).renew(CLAIM, None)
    assert len(script.asked) == 1


def test_patience_ends_with_the_lease(connect: Connect, tmp_path: Path) -> None:
    segment, file = made(tmp_path)
    with serving(Answer(502)) as script, pytest.raises(Unavailable):
        connect(script).checkpoint(CLAIM, segment, file)
    assert len(script.asked) > 3
    assert file.exists()


def test_a_claim_that_was_not_heard_is_asked_for_by_the_same_token(connect: Connect) -> None:
    slot = Slot("bulk", ("encode",))
    nothing = say(lease=None, version_ok=True)
    with serving(Answer(502), nothing, nothing) as script:
        line = connect(script)
        with pytest.raises(Unavailable):
            line.claim(ATLAS, slot)
        line.claim(ATLAS, slot)
        line.claim(ATLAS, slot)
    first, again, fresh = (body["token"] for body in script.bodies)
    assert first == again != fresh


def test_facts_are_said_when_they_change(connect: Connect) -> None:
    with serving(say(version_ok=True)) as script:
        line = connect(script)
        line.greet(ATLAS)
        line.beat(ATLAS)
        line.beat(WorkerInfo(ATLAS.id, ATLAS.name, {"cores": 8, "devices": ["gpu"]}))
        line.beat(WorkerInfo(ATLAS.id, ATLAS.name, {"cores": 8, "devices": ["gpu"]}))
    assert ["facts" in body for body in script.bodies] == [True, False, True, False]


# --- the source ----------------------------------------------------------------------------------------------


HEAD = FILM[:BLOCK_BYTES]


def part(start: int, stop: int, etag: str = '"1"', data: bytes = FILM, **more: Any) -> Answer:
    span = {"ETag": etag, "Content-Range": f"bytes {start}-{stop - 1}/{len(data)}"}
    return Answer(206, data[start:stop], span, **more)


def read(source: OpenedSource, start: int, stop: int) -> bytes:
    import httpx2

    assert isinstance(source.address, Loopback)
    return httpx2.get(source.address.url, headers={"Range": f"bytes={start}-{stop - 1}"}, timeout=20).content


def test_a_source_is_opened_by_its_first_block_and_the_rest_is_asked_for_when_it_is_read(
    connect: Connect,
) -> None:
    far = 5 * BLOCK_BYTES
    with serving(part(0, BLOCK_BYTES), part(far, far + BLOCK_BYTES)) as script:
        source = connect(script).open_source(CLAIM)
        assert read(source, 0, BLOCK_BYTES) == HEAD
        assert read(source, far, far + 10) == FILM[far : far + 10]
    ranges = [headers.get("Range") for _, _, headers, _ in script.asked]
    assert ranges == [f"bytes=0-{BLOCK_BYTES - 1}", f"bytes={far}-{far + BLOCK_BYTES - 1}"]
    assert script.asked[1][2]["If-Range"] == '"1"'
    assert {headers["X-Lease-Token"] for _, _, headers, _ in script.asked} == {CLAIM.token}


def test_a_broken_connection_is_tried_again(connect: Connect) -> None:
    far = 3 * BLOCK_BYTES
    head = [part(0, BLOCK_BYTES, cut_after=10), part(0, BLOCK_BYTES)]
    rest = [part(far, far + BLOCK_BYTES, cut_after=1000), Answer(502), part(far, far + BLOCK_BYTES)]
    with serving(*head, *rest) as script:
        source = connect(script).open_source(CLAIM)
        assert read(source, far, far + BLOCK_BYTES) == FILM[far : far + BLOCK_BYTES]
    assert len(script.asked) == 5


@pytest.mark.parametrize(
    "answer",
    [Answer(200, b"another", {"ETag": '"2"'}), part(3 * BLOCK_BYTES, 4 * BLOCK_BYTES, '"2"'), Answer(416)],
)
def test_a_source_that_is_another_one_by_now_ends_the_job(connect: Connect, answer: Answer) -> None:
    with serving(part(0, BLOCK_BYTES), answer) as script:
        line = connect(script)
        source = line.open_source(CLAIM)
        reader = threading.Thread(target=hung_up_on, args=(source, 3 * BLOCK_BYTES))
        reader.start()
        with pytest.raises(SourceUnreadable) as caught:
            until_trouble(source)
        assert caught.value.code == "source_changed"
        line.release(CLAIM)
        reader.join(10)


def hung_up_on(source: OpenedSource, start: int) -> None:
    import httpx2

    with pytest.raises(httpx2.HTTPError):
        read(source, start, start + 10)


def until_trouble(source: OpenedSource) -> None:
    for _ in range(200):
        source.check()
        threading.Event().wait(0.05)


def test_a_kept_source_is_fetched_anew_only_when_the_site_has_another(connect: Connect) -> None:
    new = b"new" * 100
    with serving(part(0, BLOCK_BYTES), Answer(304), part(0, 300, '"2"', new)) as script:
        line = connect(script)
        for _ in range(2):
            assert read(line.open_source(CLAIM), 0, BLOCK_BYTES) == HEAD
        assert script.asked[1][2]["If-None-Match"] == '"1"'
        assert read(line.open_source(CLAIM), 0, 300) == new


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (say(409, "lease_lost"), LeaseLost),
        (say(404, "source_missing"), SourceUnreadable),
        (Answer(416), SourceUnreadable),
        (Answer(200, FILM, {"ETag": '"1"'}), Unavailable),
    ],
)
def test_a_source_that_cannot_be_opened_says_why(
    connect: Connect, answer: Answer, error: type[Exception]
) -> None:
    with serving(answer) as script, pytest.raises(error):
        connect(script).open_source(replace(CLAIM, lease_s=0.2))


def test_a_worker_that_is_asked_to_leave_does_not_wait_for_a_site_that_is_away(connect: Connect) -> None:
    leaving = threading.Event()
    leaving.set()
    with serving(Answer(502)) as script, pytest.raises(Drained):
        connect(script, leaving=leaving).open_source(CLAIM)


# --- in the background ---------------------------------------------------------------------------------------


def test_finish_waits_for_what_is_still_on_its_way(connect: Connect, tmp_path: Path) -> None:
    segment, file = made(tmp_path)
    with serving(say(written=True)) as script:
        line = connect(script, sends_beside=True)
        line.checkpoint(CLAIM, segment, file)
        line.finish(CLAIM)
    assert [path.rpartition("/")[2] for _, path, _, _ in script.asked] == ["0", "finish"]


def test_a_segment_that_was_refused_is_heard_of_at_the_end(connect: Connect, tmp_path: Path) -> None:
    segment, file = made(tmp_path)
    with serving(say(422, "refused"), say(lease_s=2.0, end_segment=2)) as script:
        line = connect(script, sends_beside=True)
        line.checkpoint(CLAIM, segment, file)
        with pytest.raises(Refused):
            line.finish(CLAIM)


def test_a_segment_that_a_demand_gave_to_another_job_is_not_missed(connect: Connect, tmp_path: Path) -> None:
    segment, file = made(tmp_path)
    with serving(say(422, "refused"), say(lease_s=2.0, end_segment=0), say()) as script:
        line = connect(script, sends_beside=True)
        line.checkpoint(CLAIM, segment, file)
        line.finish(CLAIM)
    assert script.asked[-1][1].endswith("/finish")


# --- the bell, and how a worker is ---------------------------------------------------------------------------


def test_the_bell_is_heard(connect: Connect) -> None:
    leaving = threading.Event()
    with serving(say(bell="41"), say(bell="42")) as script, closing(Api(script.url, "k")) as api:
        bell = HttpBell(api, leaving)
        bell.start()
        waited = threading.Event()
        for _ in range(100):
            if bell.heard() == 42:
                break
            waited.wait(0.05)
        leaving.set()
        assert bell.heard() == 42
        assert [path for _, path, _, _ in script.asked[:2]] == [
            "/api/worker/bell?heard=0",
            "/api/worker/bell?heard=41",
        ]


def test_a_worker_that_reached_its_server_is_healthy(connect: Connect) -> None:
    import httpx2

    from tests.provision.site import free_ports

    port = free_ports()
    with serving(say(version_ok=True)) as script, closing(Api(script.url, "vlw_secret")) as api:
        line = HttpCoordinator(
            api, Sources(Path("/nowhere"), 1, threading.Event()), Path(), threading.Event()
        )
        with Health(port, api, line, 60.0):
            answer = httpx2.get(f"http://127.0.0.1:{port}/healthz")
            assert (answer.status_code, answer.json()["status"]) == (503, "unhealthy")
            line.greet(ATLAS)
            answer = httpx2.get(f"http://127.0.0.1:{port}/healthz")
            assert (answer.status_code, answer.json()["status"], answer.json()["jobs"]) == (200, "healthy", 0)
            assert "vlw_secret" not in answer.text
            assert httpx2.get(f"http://127.0.0.1:{port}/etc/passwd").status_code == 404


# --- what a worker needs -------------------------------------------------------------------------------------

WITHOUT = """
import sys
class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {blocked!r}:
            raise ImportError(f"{{name}} is not installed here")
sys.meta_path.insert(0, Missing())
from jobs.__main__ import main
main({argv!r})
"""
BLOCKED = tuple(
    "flask werkzeug jinja2 markupsafe sqlalchemy flask_sqlalchemy alembic psycopg2 gunicorn click limits argon2 rich "
    "slugify humanize".split()
)


def work_without_flask(tmp_path: Path, url: str, **settings: str) -> subprocess.CompletedProcess[str]:
    code = WITHOUT.format(blocked=BLOCKED, argv=["work", "--api", url])
    environment = {
        "PATH": "/usr/bin:/bin",
        "VLOG_WORKER_WORK_DIR": str(tmp_path),
        "VLOG_HWACCEL_TYPE": "none",
    }
    return subprocess.run(
        [sys.executable, "-c", code],
        env=environment | settings,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_a_remote_worker_needs_no_flask_and_no_database(tmp_path: Path, ffmpeg_path: str) -> None:
    """It gets as far as the server, which does not want it."""
    with serving(say(401, "key_invalid")) as script:
        done = work_without_flask(tmp_path, script.url, VLOG_WORKER_API_KEY="vlw_x", VLOG_FFMPEG=ffmpeg_path)
    assert done.stderr.strip().splitlines()[-1] == "about key_invalid"
    assert done.returncode == 1
    assert "/api/worker/greet" in [path for _, path, _, _ in script.asked]
    assert script.asked[0][2]["X-Worker-API-Key"] == "vlw_x"


def test_without_a_key_it_says_where_the_key_belongs(tmp_path: Path) -> None:
    done = work_without_flask(tmp_path, "http://127.0.0.1:1")
    assert (done.returncode, done.stderr.strip()) == (
        1,
        "Set VLOG_WORKER_API_KEY, or VLOG_WORKER_API_KEY_FILE, to the key of this worker.",
    )


def test_a_wrong_address_is_one_sentence(tmp_path: Path) -> None:
    done = work_without_flask(tmp_path, "localhost:9002", VLOG_WORKER_API_KEY="vlw_x")
    assert done.returncode == 1
    assert (
        done.stderr.strip() == 'VLOG_WORKER_API_URL is "localhost:9002": it must be an http or https address.'
    )
