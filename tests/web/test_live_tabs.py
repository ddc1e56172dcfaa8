"""Twenty tabs: what a worker says to one process reaches every stream of another, and is read once for all of them."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import event

from jobs.contract import JobProgress, WorkerInfo
from tests.contract.conftest import ANY
from tests.contract.worker_api import WORKER_SECRET, register, remote_coordinator
from tests.factories import make_video, utc_now
from tests.provision.surfaces import on_free_ports, running_surfaces, url_of
from tests.provision.tabs import open_tabs
from tests.web.test_live import listening
from vlog_app.config import Settings
from vlog_app.extensions import db, transaction
from vlog_app.services.events import EventKind, record

TABS = 20

pytestmark = pytest.mark.usefixtures("database")


@pytest.fixture
def config(config: Settings) -> Settings:
    return on_free_ports(config.model_copy(update={"worker_admin_secret": WORKER_SECRET}))


def test_progress_told_to_the_worker_api_reaches_every_tab(
    app: Flask, config: Settings, tmp_path: Path
) -> None:
    video = make_video()
    api_url, admin_url = url_of(config, "worker_api"), url_of(config, "admin")
    with running_surfaces(config, "worker_api", "admin"), open_tabs(admin_url, TABS) as tabs:
        line, api = remote_coordinator(api_url, register(api_url, "atlas")["api_key"], tmp_path)
        claim = line.claim(WorkerInfo("", "atlas"), ANY)
        assert claim is not None
        for number in range(3):
            told_at = time.monotonic()
            line.renew(claim, JobProgress(number, 0.5, 2.0))
            heard = [tab.first("changed", after=told_at) for tab in tabs]
            assert all(each and each.data["video_id"] == video.id for each in heard)
        api.close()


@contextmanager
def counted(app: Flask) -> Iterator[list[str]]:
    """The statements that ask for renditions."""
    asked: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_more: Any) -> None:
        if "FROM videos JOIN encodes" in statement:
            asked.append(statement)

    with app.app_context():
        engine = db.engine
    event.listen(engine, "before_cursor_execute", note)
    try:
        yield asked
    finally:
        event.remove(engine, "before_cursor_execute", note)


def test_the_numbers_are_read_once_for_all_tabs(app: Flask, admin_client: FlaskClient) -> None:
    video = make_video()
    with ExitStack() as stack:
        readers = [stack.enter_context(listening(admin_client)) for _ in range(TABS)]
        for reader in readers:
            assert reader.next()[0] == "initial"
        with counted(admin_client.application) as asked:
            with transaction() as session:
                record(session, video.id, EventKind.SEGMENT, utc_now(), rendition="360p", index=0)
            told = [reader.until("progress") for reader in readers]
        assert all(each == told[0] for each in told)
        assert len(asked) == 1
