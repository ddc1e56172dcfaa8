"""`flask vlog ...`: one file per noun. Commands import what they need when they run, so that starting is quick."""

from flask import Flask
from flask.cli import AppGroup

from . import database, doctor, listing, reencode, scheduler, settings, up, upload, worker

vlog = AppGroup("vlog", help="Run and use VLog.")

for command in (
    up.up,
    upload.upload,
    listing.list_videos,
    reencode.reencode,
    doctor.doctor,
    settings.show_settings,
    worker.worker,
    scheduler.scheduler,
    database.database,
):
    vlog.add_command(command)


def init_app(app: Flask) -> None:
    app.cli.add_command(vlog)
