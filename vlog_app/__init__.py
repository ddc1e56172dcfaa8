"""The site: keeps the truth, decides, and talks. `create_app` only wires."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from . import config as config_module
from .config import Settings, load_settings

if TYPE_CHECKING:
    from flask import Flask

Surface = Literal["public", "admin", "worker_api", "cli"]


def create_app(config: Settings | None = None, surface: Surface = "cli") -> Flask:
    """One code base, several WSGI apps: `surface` says whose routes it serves."""
    from flask import Flask  # here, so that a remote worker can use parts of this package without Flask

    app = Flask(__name__)
    settings = config or load_settings()
    app.config["VLOG_SURFACE"] = surface
    config_module.init_app(app, settings)
    _init_extensions(app, settings)
    _init_web(app, surface)
    return app


def _init_extensions(app: Flask, settings: Settings) -> None:
    from . import cli, database, models  # noqa: F401  (models must be known before migrations look)
    from .extensions import db, htmx, limiter, migrate
    from .services import wakeup
    from .shared_counts import counts

    if not settings.uses_sqlite:
        database.limit_waiting(settings.database_timeout)
    db.init_app(app)
    database.init_app(app)
    migrate.init_app(app, db)
    htmx.init_app(app)
    processes = settings.worker_api_processes if app.config["VLOG_SURFACE"] == "worker_api" else 1
    storage, options = counts(settings, processes)
    app.config |= {"RATELIMIT_STORAGE_URI": storage, "RATELIMIT_STORAGE_OPTIONS": options}
    limiter.init_app(app)
    cli.init_app(app)
    wakeup.init_app(app, settings)


def _init_web(app: Flask, surface: Surface) -> None:
    from . import errors, formats, security
    from .blueprints import register_blueprints

    security.init_app(app)
    errors.init_app(app)
    formats.init_app(app)
    register_blueprints(app, surface)
