"""Live streams with Redis: every process hears at once, nothing is lost while Redis is away, and it comes back."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from tests.conftest import ADMIN_SECRET, AppFactory
from tests.factories import make_video, utc_now
from tests.provision.proxy import Wire
from tests.provision.redis import Redis
from tests.web.test_live import listening
from vlog_app.blueprints.admin import live as stream_module
from vlog_app.config import Settings
from vlog_app.extensions import transaction
from vlog_app.models import Video
from vlog_app.services import live
from vlog_app.services.events import EventKind, record

NEVER_S = 600.0


@pytest.fixture
def config(config: Settings, wire: Wire) -> Settings:
    return config.model_copy(update={"redis_url": wire.url})


@pytest.fixture(autouse=True)
def _only_redis_tells(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "CALM_S", NEVER_S)
    monkeypatch.setattr(stream_module, "BEAT_S", 0.1)


@pytest.fixture
def video(app: Flask) -> Video:
    return make_video()


class Site:
    """One web process."""

    def __init__(self, app_factory: AppFactory) -> None:
        self.app = app_factory("admin")
        self.client: FlaskClient = self.app.test_client()
        self.client.environ_base["HTTP_X_ADMIN_SECRET"] = ADMIN_SECRET

    @property
    def hub(self) -> Any:
        return self.app.extensions[live.HUB_KEY]

    def until_it_listens(self, expected: bool = True) -> None:
        ends_at = time.monotonic() + 60
        while self.hub._ear.is_listening is not expected:
            assert time.monotonic() < ends_at
            time.sleep(0.02)


@pytest.fixture
def sites(app_factory: AppFactory) -> Iterator[list[Site]]:
    sites = [Site(app_factory), Site(app_factory)]
    yield sites
    for site in sites:
        site.hub.stop()


def tell(video: Video, kind: EventKind) -> None:
    with transaction() as session:
        record(session, video.id, kind, utc_now())


def test_every_process_hears_of_every_change(sites: list[Site], video: Video) -> None:
    with listening(sites[0].client) as first, listening(sites[1].client) as second:
        for reader, site in ((first, sites[0]), (second, sites[1])):
            reader.until("beat")
            site.until_it_listens()
        for kind in (EventKind.POSTER, EventKind.EDITED):
            tell(video, kind)
            for reader in (first, second):
                assert reader.until("changed") == {"video_id": video.id, "kinds": [kind.value]}


@pytest.mark.parametrize("fault", ["cut", "swallow"])
def test_without_redis_the_database_is_read_and_with_it_the_channel_again(
    sites: list[Site], video: Video, wire: Wire, fault: str
) -> None:
    site = sites[0]
    with listening(site.client) as reader:
        reader.until("beat")
        site.until_it_listens()
        getattr(wire, fault)()
        tell(video, EventKind.POSTER)
        assert reader.until("changed")["kinds"] == ["poster"]
        site.until_it_listens(False)
        tell(video, EventKind.EDITED)
        assert reader.until("changed")["kinds"] == ["edited"]
        wire.mend()
        site.until_it_listens()
        with sites[1].app.app_context():  # a process whose breaker has seen nothing
            tell(video, EventKind.RETRIED)
        assert reader.until("changed")["kinds"] == ["retried"]


def test_a_stopped_hub_leaves_the_channel(sites: list[Site], video: Video, redis_server: Redis) -> None:
    with listening(sites[0].client) as reader:
        reader.until("beat")
        sites[0].until_it_listens()
        assert "vlog:changes" in redis_server.ask("PUBSUB CHANNELS")
        sites[0].hub.stop()
        ends_at = time.monotonic() + 60
        while "vlog:changes" in redis_server.ask("PUBSUB CHANNELS"):
            assert time.monotonic() < ends_at
            time.sleep(0.05)
