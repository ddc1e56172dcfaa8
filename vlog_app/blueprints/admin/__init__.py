"""The owner's side: everything here but signing in needs a sign-in."""

from __future__ import annotations

from flask import Flask


def register(app: Flask) -> None:
    """Wires the surface: the guard first, so that nothing is ever registered without it."""
    from ...services import fleet_watch
    from ...services import live as live_hub
    from . import (
        api,
        auth,
        live,
        queue,
        queue_api,
        reencode,
        shell,
        uploads,
        videos,
        workers,
        workers_api,
        workers_live,
    )
    from .blueprint import blueprint

    auth.init_app(app)
    live_hub.init_app(app)
    fleet_watch.init_app(app)
    live.init_app(app)
    parts = (
        live,
        queue,
        reencode,
        shell,
        videos,
        workers,
        workers_live,
    )  # their routes hang on the one blueprint
    for module in parts:
        assert module.blueprint is blueprint
    app.register_blueprint(blueprint)
    app.register_blueprint(uploads.blueprint)
    app.register_blueprint(api.blueprint)
    app.register_blueprint(queue_api.blueprint)
    app.register_blueprint(workers_api.blueprint)
