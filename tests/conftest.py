"""Fixtures that every test may ask for: settings, apps, clients, databases, servers, programs."""

import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

import pytest
from flask import Flask
from flask.testing import FlaskClient

from tests.provision.chromium import find_chromium
from tests.provision.postgres import Postgres, running_postgres
from tests.provision.processes import NotProvided
from tests.provision.proxy import Wire, wired
from tests.provision.redis import Redis, running_redis
from tests.provision.site import Site, running_site
from tests.shared_work import _once_a_process, forget, share
from vlog_app import create_app
from vlog_app.config import Settings
from vlog_app.ffmpeg import FfmpegNotFound, find_ffmpeg

__all__ = ["_once_a_process"]

#: Where the tests themselves find programs.
NOT_OURS = ("VLOG_TEST_POSTGRES_URL", "VLOG_CHROMIUM", "VLOG_FFMPEG", "VLOG_OTHER_FFMPEG")
ADMIN_SECRET = "correct horse battery staple"


#: Their files take the longest. Begun first, none of them is left to run alone while the other processor rests.
LONG = ("faults", "e2e", "worker_api", "media", "cli", "hostile")


class AppFactory(Protocol):
    def __call__(self, surface: str = "public", **overrides: Any) -> Flask: ...


def pytest_configure() -> None:
    """Asked to end, in whatever way, the run still takes its servers and folders down."""
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        signal.signal(number, signal.default_int_handler)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """One after the other, files come by name as ever."""
    if hasattr(config, "workerinput"):
        rooms = {config.rootpath / "tests" / room: place for place, room in enumerate(LONG)}
        items.sort(key=lambda item: rooms.get(item.path.parent, len(rooms)))


@pytest.fixture(scope="session", autouse=True)
def _no_settings_from_outside() -> Iterator[None]:
    """A test says what it sets; what the developer's shell sets is not part of it."""
    kept = {name: os.environ.pop(name) for name in list(os.environ) if _is_ours(name)}
    yield
    os.environ.update(kept)


def _is_ours(name: str) -> bool:
    return name.startswith("VLOG_") and name not in NOT_OURS


# --- databases


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated, empty SQLite file; tests copy it."""
    path = tmp_path_factory.mktemp("template") / "vlog.db"
    migrate(f"sqlite:///{path}")
    return path


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[Postgres]:
    """A real server with a migrated template database."""
    try:
        with running_postgres() as server:
            server.make_template(migrate)
            yield server
    except NotProvided as error:
        pytest.exit(str(error), returncode=3)


@pytest.fixture
def postgres_url(postgres_server: Postgres) -> Iterator[str]:
    """A migrated, empty PostgreSQL database of this test's own."""
    with postgres_server.database() as url:
        yield url


@pytest.fixture
def empty_postgres_url(postgres_server: Postgres) -> Iterator[str]:
    """A PostgreSQL database without any table."""
    with postgres_server.database(is_empty=True) as url:
        yield url


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest) -> str:
    """Ask for this to run a test on both databases; a test that does not ask gets SQLite."""
    return str(request.param)


@pytest.fixture
def database_url(request: pytest.FixtureRequest, storage: Path) -> str:
    kind = request.getfixturevalue("database") if "database" in request.fixturenames else "sqlite"
    if kind == "postgresql":
        return str(request.getfixturevalue("postgres_url"))
    shutil.copyfile(request.getfixturevalue("sqlite_template"), storage / "vlog.db")
    return f"sqlite:///{storage / 'vlog.db'}"


def migrate(database_url: str) -> None:
    """The only way a test database gets its tables: the migrations users get."""
    from vlog_app.cli.database import upgrade_database
    from vlog_app.extensions import db

    app = create_app(Settings(database_url=database_url), surface="cli")
    with app.app_context():
        upgrade_database()
        db.engine.dispose()


# --- settings, apps, clients


@pytest.fixture
def storage(tmp_path: Path) -> Path:
    folder = tmp_path / "storage"
    folder.mkdir()
    return folder


@pytest.fixture
def config(storage: Path, database_url: str) -> Settings:
    """Settings of a small installation of this test's own."""
    return Settings(
        storage_path=storage,
        database_url=database_url,
        admin_api_secret=ADMIN_SECRET,
        rate_limit_enabled=False,
        storage_reserve_bytes=0,
    )


@pytest.fixture
def app_factory(config: Settings) -> Iterator[AppFactory]:
    """Makes apps of any surface on one storage and database; `overrides` are settings."""
    apps: list[Flask] = []

    def make(surface: str = "public", **overrides: Any) -> Flask:
        app = create_app(config.model_copy(update=overrides), surface=surface)
        app.testing = True
        share(app)
        apps.append(app)
        return app

    yield make
    for app in apps:
        dispose(app)
    forget()


def dispose(app: Flask) -> None:
    from vlog_app.extensions import db

    with app.app_context():
        db.session.remove()
        db.engine.dispose()


@pytest.fixture
def app(app_factory: AppFactory) -> Iterator[Flask]:
    """An app without routes of its own, its context open: for services, queries and commands."""
    app = app_factory("cli")
    with app.app_context():
        yield app


@pytest.fixture
def client(app_factory: AppFactory) -> FlaskClient:
    """A visitor of the public site."""
    return app_factory("public").test_client()


@pytest.fixture
def admin_client(app_factory: AppFactory) -> FlaskClient:
    """The owner on the admin site, by the secret in a header as programs send it."""
    client = app_factory("admin").test_client()
    client.environ_base["HTTP_X_ADMIN_SECRET"] = ADMIN_SECRET
    return client


@pytest.fixture
def stranger(app_factory: AppFactory) -> FlaskClient:
    """Someone on the admin site who has not logged in."""
    return app_factory("admin").test_client()


# --- servers and programs


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """A whole VLog as `./run` starts it: three sites, worker, scheduler."""
    with running_site(tmp_path / "var") as site:
        yield site


@pytest.fixture(scope="session")
def redis_server() -> Iterator[Redis]:
    try:
        with running_redis() as server:
            yield server
    except NotProvided as error:
        pytest.exit(str(error), returncode=3)


@pytest.fixture
def redis_url(redis_server: Redis) -> str:
    """An empty Redis."""
    redis_server.ask("FLUSHALL")
    return redis_server.url


@pytest.fixture
def own_redis() -> Iterator[Redis]:
    """A Redis of this test's own, to be killed."""
    with running_redis() as server:
        yield server


@pytest.fixture
def wire(redis_server: Redis, redis_url: str) -> Iterator[Wire]:
    """A way to an empty Redis that can be cut."""
    with wired(redis_server.path) as wire:
        yield wire


@pytest.fixture(scope="session")
def ffmpeg_path() -> str:
    try:
        return find_ffmpeg(os.environ.get("VLOG_FFMPEG", "")).path
    except FfmpegNotFound as error:
        pytest.exit(str(error), returncode=3)


@pytest.fixture(scope="session")
def chromium_path() -> str:
    path = find_chromium()
    if path is None:
        pytest.exit(
            "The tests need Chromium; run ./test, which installs it, or set VLOG_CHROMIUM.", returncode=3
        )
    return path


@pytest.fixture(scope="session")
def browser(chromium_path: str) -> Iterator[Any]:
    """One real Chromium for the whole run; each test opens contexts of its own."""
    from playwright.sync_api import sync_playwright

    # Chromium's sandbox needs rights that root in a container does not have.
    arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium_path, args=arguments)
        yield browser
        browser.close()
