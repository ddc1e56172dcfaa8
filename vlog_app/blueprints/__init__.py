"""HTTP: which blueprints answer on which surface."""

from __future__ import annotations

from flask import Flask


def register_blueprints(app: Flask, surface: str) -> None:
    from . import health

    app.register_blueprint(health.blueprint)
    if surface == "public":
        _register_public(app)
    elif surface == "admin":
        _register_admin(app)
    elif surface == "worker_api":
        from .worker import register

        register(app)


def _register_public(app: Flask) -> None:
    from .public.api import blueprint as api
    from .public.media import blueprint as media
    from .public.pages import blueprint as pages

    for blueprint in (pages, media, api):
        app.register_blueprint(blueprint)


def _register_admin(app: Flask) -> None:
    from .admin import register
    from .public.media import blueprint as media

    register(app)
    app.register_blueprint(media)
