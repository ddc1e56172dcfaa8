"""What a worker may not do: touch a job that is not its own, or one that it had once. Nothing of it is kept."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from sqlalchemy.exc import OperationalError
from werkzeug.test import TestResponse

from encoder.model import Segment
from jobs.contract import Claim
from tests.conftest import AppFactory
from tests.contract.conftest import measured_segment
from tests.contract.worker_api import WORKER_SECRET
from tests.worker_api.conftest import RemoteWorker
from vlog_app.config import settings
from vlog_app.extensions import db
from vlog_app.models import Attempt, Video
from vlog_app.services import queue
from vlog_app.services.clock import SHIFT_KEY

OVER = 10_000.0
VERBS: dict[str, dict[str, Any]] = {
    "renew": {"progress": {"segment": 0, "fraction": 0.5, "speed": 2.0, "device": "nvidia:0"}},
    "finish": {"speed": 2.0, "damage": 1},
    "fail": {"code": "encode_failed", "message": "It stopped."},
    "release": {},
}


def every_call(worker: RemoteWorker, claim: Claim, tmp_path: Path) -> dict[str, TestResponse]:
    """All that can be said about a job."""
    facts, file = measured_segment(tmp_path, claim, "360p", 0)
    picture = {"X-Content-SHA256": "0" * 64}
    answers = {verb: worker.about(claim, "POST", verb, json=body) for verb, body in VERBS.items()}
    return answers | {
        "source": worker.about(claim, "GET", "source"),
        "finished segment": worker.about(claim, "GET", "segments/360p/0"),
        "checkpoint": worker.put_segment(claim, facts, file.read_bytes()),
        "still": worker.about(claim, "PUT", "stills/thumbnail.jpg", data=b"x", headers=picture),
    }


def test_a_lost_lease_is_409_on_everything_and_nothing_is_kept(
    server: Flask,
    atlas: RemoteWorker,
    cellar: RemoteWorker,
    film: Video,
    tmp_path: Path,
    truth: Callable[[], object],
) -> None:
    old = atlas.claim("encode")
    assert old is not None
    with server.app_context():
        server.config[SHIFT_KEY] = OVER
        assert queue.sweep_expired_leases() == 1
    new = cellar.claim("encode")
    assert new is not None
    assert new.job_id == old.job_id
    before = truth()
    answers = every_call(atlas, old, tmp_path)
    assert {name: answer.status_code for name, answer in answers.items()} == dict.fromkeys(answers, 409)
    assert {answer.json["code"] for answer in answers.values()} == {"lease_lost"}
    assert truth() == before


def test_a_token_opens_nothing_without_the_key_it_was_given_to(
    atlas: RemoteWorker, cellar: RemoteWorker, film: Video, tmp_path: Path, truth: Callable[[], object]
) -> None:
    claim = atlas.claim("encode")
    assert claim is not None
    cellar.claim("audio")
    before = truth()
    answers = every_call(cellar, claim, tmp_path)
    assert {name: answer.status_code for name, answer in answers.items()} == dict.fromkeys(answers, 403)
    assert {answer.json["code"] for answer in answers.values()} == {"not_yours"}
    assert truth() == before


def test_a_key_opens_nothing_without_the_token(
    atlas: RemoteWorker, film: Video, tmp_path: Path, truth: Callable[[], object]
) -> None:
    claim = atlas.claim("encode")
    assert claim is not None
    before = truth()
    for token in ("", "0" * 32, "x" * 99):
        answers = every_call(atlas, replace(claim, token=token), tmp_path)
        assert {answer.status_code for answer in answers.values()} == {409}
    assert truth() == before


def test_without_a_key_everything_is_401(atlas: RemoteWorker, film: Video, tmp_path: Path) -> None:
    claim = atlas.claim("encode")
    assert claim is not None
    atlas.key = ""
    answers = every_call(atlas, claim, tmp_path)
    assert {answer.status_code for answer in answers.values()} == {401}


def test_every_route_for_workers_asks_for_a_key(server: Flask) -> None:
    """A route that somebody adds is in this test by itself."""
    open_ones = {"health.health", "worker_openapi.document", "static"}
    client = server.test_client()
    for rule in server.url_map.iter_rules():
        if rule.endpoint in open_ones:
            continue
        path = rule.rule.replace("<int:job_id>", "1").replace("<int:index>", "0")
        path = path.replace("<int:video_id>", "1").replace("<quality>", "360p").replace("<filename>", "x")
        path = path.replace("<rendition>", "360p").replace("<name>", "x.jpg").replace("<worker_id>", "x")
        for method in (rule.methods or set()) - {"OPTIONS", "HEAD"}:
            assert client.open(path, method=method).status_code == 401, (method, path)


def test_the_same_claim_asked_for_again_is_the_same_lease(atlas: RemoteWorker, film: Video) -> None:
    first = atlas.claim("encode")
    atlas.tokens -= 1  # its answer was lost on the way
    again = atlas.claim("encode")
    assert again == first


def test_an_empty_look_writes_nothing(server: Flask, atlas: RemoteWorker, storage: Path) -> None:
    atlas.claim()  # notes the use of the key
    before = (storage / "vlog.db-wal").stat().st_size
    for _ in range(20):
        assert atlas.claim() is None
    assert (storage / "vlog.db-wal").stat().st_size == before


# --- segments ------------------------------------------------------------------------------------------------


@pytest.fixture
def claim(atlas: RemoteWorker, film: Video) -> Claim:
    held = atlas.claim("encode")
    assert held is not None
    return held


@pytest.fixture
def made(claim: Claim, tmp_path: Path) -> tuple[Segment, bytes]:
    facts, file = measured_segment(tmp_path, claim, "360p", 0)
    return facts, file.read_bytes()


def test_the_same_bytes_again_are_fine_and_other_bytes_are_not(
    atlas: RemoteWorker, claim: Claim, made: tuple[Segment, bytes], tmp_path: Path, storage: Path
) -> None:
    first = atlas.put_segment(claim, *made)
    assert (first.status_code, first.json["written"]) == (200, True)
    assert first.json["bytes_written"] == len(made[1])
    again = atlas.put_segment(claim, *made)
    assert (again.status_code, again.json["written"], again.json["bytes_written"]) == (200, False, 0)
    facts, file = measured_segment(tmp_path, claim, "360p", 0, "other")
    refused = atlas.put_segment(claim, facts, file.read_bytes())
    assert (refused.status_code, refused.json["code"]) == (409, "segment_differs")
    stored = next((storage / "videos").rglob("360p_0000.ts"))
    assert stored.read_bytes() == made[1]


def test_a_checksum_may_say_that_it_is_one(
    atlas: RemoteWorker, claim: Claim, made: tuple[Segment, bytes]
) -> None:
    header = {"X-Content-SHA256": f"sha256:{made[0].sha256.upper()}"}
    assert atlas.put_segment(claim, *made, **header).status_code == 200


def lie(**values: Any) -> Callable[[Segment, bytes], tuple[Segment, bytes, dict[str, str]]]:
    return lambda facts, data: (replace(facts, **values), data, {})


def other_bytes(facts: Segment, data: bytes) -> tuple[Segment, bytes, dict[str, str]]:
    return facts, data[:-1] + b"!", {}


def fewer_bytes(facts: Segment, data: bytes) -> tuple[Segment, bytes, dict[str, str]]:
    return facts, data[:-188], {}


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (other_bytes, "wrong_checksum"),
        (fewer_bytes, "invalid"),  # the facts say another length than the header
        (lie(frames=7), "wrong_facts"),
        (lie(codecs="avc1.42001F"), "wrong_facts"),
        (lie(size_bytes=5), "invalid"),
        (lie(sha256="0" * 64), "wrong_checksum"),
        (lie(rendition="1080p"), "refused"),
        (lie(rendition="../360p"), "not_found"),
        (lie(index=2), "refused"),
        (lie(index=10**9), "refused"),
    ],
)
def test_what_is_not_as_it_is_said_is_refused_and_leaves_nothing(
    atlas: RemoteWorker,
    claim: Claim,
    made: tuple[Segment, bytes],
    change: Callable[[Segment, bytes], tuple[Segment, bytes, dict[str, str]]],
    code: str,
    truth: Callable[[], object],
) -> None:
    before = truth()
    facts, data, headers = change(*made)
    answer = atlas.put_segment(claim, facts, data, **headers)
    assert (answer.json["code"], answer.status_code) == (code, 404 if code == "not_found" else 422)
    assert truth() == before


@pytest.mark.parametrize(
    "facts", ["", "{}", "[]", "nonsense", '{"rendition": "360p", "index": 0, "colour": "red"}']
)
def test_facts_that_cannot_be_read_are_422(
    atlas: RemoteWorker, claim: Claim, made: tuple[Segment, bytes], facts: str
) -> None:
    answer = atlas.put_segment(claim, *made, **{"X-Segment": facts})
    assert (answer.status_code, answer.json["code"]) == (422, "invalid")


@pytest.mark.parametrize("checksum", ["", "x", "0" * 63, "md5:" + "0" * 32])
def test_a_checksum_that_is_none_is_422(
    atlas: RemoteWorker, claim: Claim, made: tuple[Segment, bytes], checksum: str
) -> None:
    answer = atlas.put_segment(claim, *made, **{"X-Content-SHA256": checksum})
    assert answer.status_code == 422


def test_bytes_that_are_no_film_are_refused(
    atlas: RemoteWorker, claim: Claim, made: tuple[Segment, bytes], truth: Callable[[], object]
) -> None:
    data = b"<script>" * 100
    facts = replace(made[0], size_bytes=len(data), sha256=hashlib.sha256(data).hexdigest())
    before = truth()
    answer = atlas.put_segment(claim, facts, data)
    assert (answer.status_code, answer.json["code"]) == (422, "not_mpegts")
    assert truth() == before


def test_a_segment_that_is_far_too_large_is_refused_before_it_is_read(
    atlas: RemoteWorker, claim: Claim, made: tuple[Segment, bytes]
) -> None:
    facts = replace(made[0], size_bytes=50 << 20)
    headers = {"X-Content-SHA256": facts.sha256, "X-Segment": json.dumps(asdict(facts))}
    length = {"CONTENT_LENGTH": str(facts.size_bytes)}
    answer = atlas.about(
        claim, "PUT", "segments/360p/0", data=b"x", headers=headers, environ_overrides=length
    )
    assert (answer.status_code, answer.json["code"]) == (422, "too_large")


def test_a_nearly_full_storage_is_503_and_blames_nobody(
    server: Flask, atlas: RemoteWorker, claim: Claim, made: tuple[Segment, bytes], truth: Callable[[], object]
) -> None:
    from vlog_app.config import APP_KEY

    before = truth()
    with server.app_context():
        server.extensions[APP_KEY] = settings().model_copy(update={"storage_reserve_bytes": 1 << 60})
    answer = atlas.put_segment(claim, *made)
    assert (answer.status_code, answer.json["code"]) == (503, "storage_low")
    assert int(answer.headers["Retry-After"]) > 0
    assert truth() == before


# --- what workers say ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "progress",
    [
        '{"segment": 0, "fraction": NaN}',
        '{"segment": 0, "fraction": -0.1}',
        '{"segment": 0, "fraction": 1.1}',
        '{"segment": -1, "fraction": 0}',
        '{"segment": 1e99, "fraction": 0}',
        '{"segment": 0, "fraction": 0, "speed": 1e9}',
        '{"segment": 0, "fraction": 0, "speed": Infinity}',
        '{"segment": 0, "fraction": 0, "mood": 1}',
        '{"segment": "0; --", "fraction": 0}',
    ],
)
def test_progress_that_cannot_be_is_422(atlas: RemoteWorker, claim: Claim, progress: str) -> None:
    answer = atlas.about(claim, "POST", "renew", data=f'{{"progress": {progress}}}')
    assert answer.status_code == 422


def test_what_a_worker_says_of_a_failure_is_cut_and_cleaned(
    server: Flask, atlas: RemoteWorker, claim: Claim
) -> None:
    body = {
        "code": "encode_failed",
        "message": "\x1b[31mIt\x00 stopped.",
        "detail": "first\n" + "x" * 30_000 + "\nlast\x07",
    }
    assert atlas.about(claim, "POST", "fail", json=body).status_code == 200
    with server.app_context():
        attempt = db.session.get_one(Attempt, claim.attempt_id)
        assert attempt.error_message == "[31mIt stopped."
        assert attempt.error_detail is not None
        assert len(attempt.error_detail) <= 4000
        assert attempt.error_detail.endswith("\nlast")


@pytest.mark.parametrize(
    "body",
    [
        {"code": "Encode Failed", "message": ""},
        {"code": "x", "message": "y" * 2001},
        {"code": "x", "message": "y", "is_final": "perhaps"},
        {"message": "y"},
    ],
)
def test_a_failure_that_cannot_be_read_is_422(
    atlas: RemoteWorker, claim: Claim, body: dict[str, Any]
) -> None:
    assert atlas.about(claim, "POST", "fail", json=body).status_code == 422


def test_ten_megabytes_of_error_are_refused(atlas: RemoteWorker, claim: Claim) -> None:
    answer = atlas.about(
        claim, "POST", "fail", json={"code": "x", "message": "y", "detail": "z" * 10_000_000}
    )
    assert (answer.status_code, answer.json["code"]) == (400, "body_too_large")


# --- a database that does not answer -------------------------------------------------------------------------


def no_answer(*_arguments: object, **_more: object) -> None:
    raise OperationalError("SELECT", {}, Exception("database is locked"))


@pytest.mark.parametrize("part", ["worker_keys.find", "queue.renew_lease"])
def test_a_busy_database_is_503_and_says_when_to_come_back(
    app_factory: AppFactory, atlas: RemoteWorker, claim: Claim, part: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With limits on: they are counted by worker, so that even they must know whose key it is."""
    limited = app_factory("worker_api", worker_admin_secret=WORKER_SECRET, rate_limit_enabled=True)
    atlas.client = limited.test_client()
    monkeypatch.setattr(f"vlog_app.services.{part}", no_answer)
    answer = atlas.about(claim, "POST", "renew", json={})
    assert (answer.status_code, answer.json["code"]) == (503, "database_busy")
    assert int(answer.headers["Retry-After"]) > 0
    assert "locked" not in answer.text
