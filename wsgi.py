"""The WSGI apps: `wsgi:public`, `wsgi:admin`, `wsgi:worker_api`; `wsgi:app` carries the command line."""

import logging

from flask import Flask

from vlog_app import Surface, create_app
from vlog_app.config import SettingsError, load_settings, notices

SURFACES: dict[str, Surface] = {
    "public": "public",
    "admin": "admin",
    "worker_api": "worker_api",
    "app": "cli",
}


def __getattr__(name: str) -> Flask:
    """Builds an app when it is asked for, so that each process pays for one surface only."""
    if name not in SURFACES:
        raise AttributeError(name)
    try:
        config = load_settings()
    except SettingsError as error:
        raise SystemExit(f"VLog: {error}") from None
    for notice in notices():
        logging.getLogger("vlog_app.config").warning(notice)
    app = create_app(config, surface=SURFACES[name])
    globals()[name] = app
    return app
