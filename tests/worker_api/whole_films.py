"""What an existing worker says about a film, without a network, and a rendition that comes in without an encoder."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path
from typing import Any

from flask import Flask
from sqlalchemy import select
from werkzeug.test import TestResponse

from encoder.foreign import ForeignFacts
from tests.worker_api.conftest import RemoteWorker
from vlog_app.extensions import db
from vlog_app.models import Job
from vlog_app.services import foreign, whole
from vlog_app.services.foreign import ForeignFiles
from vlog_app.services.tarballs import Unpacked

OVER = 10_000.0
DONE = {"qualities": [{"name": "720p", "width": 1280, "height": 720, "bitrate": 2500}]}


def claim(worker: RemoteWorker, query: str = "") -> dict[str, Any]:
    answer = worker.call("POST", f"/claim{query}")
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json
    return body


def every_call(worker: RemoteWorker, job: dict[str, Any]) -> dict[str, TestResponse]:
    """All that can be said about a job."""
    upload = f"/upload/{job['video_id']}"
    data, digest = b"bytes", hashlib.sha256(b"bytes").hexdigest()
    return {
        "progress": worker.call("POST", f"/{job['job_id']}/progress", json={"progress_percent": 5}),
        "source": worker.call("GET", f"/source/{job['video_id']}"),
        "quality": worker.call("POST", f"{upload}/quality/720p", data=sent(b"x")),
        "finalize": worker.call("POST", f"{upload}/finalize", data=sent(b"x")),
        "everything": worker.call("POST", upload, data=sent(b"x")),
        "segment": worker.call(
            "POST",
            f"{upload}/segment/720p/720p_0000.ts",
            data=data,
            headers={"X-Content-SHA256": digest},
        ),
        "status": worker.call("GET", f"{upload}/segments/status?quality=720p"),
        "segments finalize": worker.call(
            "POST", f"{upload}/segment/finalize", json={"quality": "720p", "segment_count": 1}
        ),
        "complete": worker.call("POST", f"/{job['job_id']}/complete", json=DONE),
        "fail": worker.call("POST", f"/{job['job_id']}/fail", json={"error_message": "It broke."}),
    }


def sent(archive: bytes) -> dict[str, Any]:
    return {"file": (io.BytesIO(archive), "quality.tar.gz", "application/gzip")}


def deliver(server: Flask, worker: RemoteWorker, job: dict[str, Any], name: str, folder: Path) -> None:
    """A rendition of two pieces comes in, as measured."""
    with server.app_context():
        held = whole.held_job(job["job_id"], worker.id)
        pieces = []
        for index in range(2):
            path = folder / f"{name}-{index}"
            path.write_bytes(f"{name}{index}".encode() * 1000)
            pieces.append(Unpacked(path, path.stat().st_size, f"{index:064x}"))
        height = int(name.removesuffix("p"))
        codecs = ("avc1.64001F", "mp4a.40.2")
        facts = ForeignFacts((31.0, 29.0), height * 16 // 9, height, 25.0, codecs, True)
        assert foreign.take_rendition(held, ForeignFiles(name, "ts", tuple(pieces)), facts)


def states(server: Flask) -> dict[str, set[str]]:
    """Kind -> states of its jobs."""
    with server.app_context():
        found: dict[str, set[str]] = {}
        for job in db.session.scalars(select(Job)):
            found.setdefault(job.kind, set()).add(job.state)
        db.session.rollback()
        return found
