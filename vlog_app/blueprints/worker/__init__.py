"""The worker API: registration, the verbs of jobs.contract over HTTP, and files on their way in and out."""

from __future__ import annotations

from flask import Flask


def register(app: Flask) -> None:
    from . import fleet, leases, openapi, transfer, whole, whole_transfer

    for blueprint in (
        fleet.owners,
        fleet.workers,
        leases.blueprint,
        transfer.blueprint,
        whole.blueprint,
        openapi.blueprint,
    ):
        app.register_blueprint(blueprint)
    app.register_blueprint(whole_transfer.blueprint)
