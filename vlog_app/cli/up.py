"""`flask vlog up`: everything on this machine, in the foreground, until Ctrl-C."""

import os
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click
from flask import Flask
from flask.cli import with_appcontext

from .. import Surface, create_app
from ..config import Settings, notices, settings
from ..setting_types import EMBEDDED

if TYPE_CHECKING:
    from ..supervisor import Program

SEGMENT_GRACE_S = 60.0  # a segment of the slowest preset on a slow machine; ffmpeg is ended after that
THREADS = 64  # each live stream holds one
SURFACE_GRACE_S = 3
REDIS_GRACE_S = 10.0
MEMORY_FOLDER = Path("/dev/shm")  # noqa: S108  (gunicorn's heartbeat file; a disk under load would delay it)
SURFACES: tuple[Surface, ...] = ("public", "admin", "worker_api")
WORDS = {"public": "Public site", "admin": "Admin site", "worker_api": "Worker API"}


@click.command("up")
@click.option(
    "--port-base", type=click.IntRange(1, 65533), help="Use this port for the public site and the next two."
)
@with_appcontext
def up(port_base: int | None) -> None:
    """Start the three sites, a worker and the scheduler; Ctrl-C ends them all."""
    config = _with_ports(settings(), port_base)
    for notice in notices():
        click.echo(notice, err=True)
    _check(config)
    _migrate()
    raise SystemExit(_supervise(config))


def _with_ports(config: Settings, base: int | None) -> Settings:
    if base is None:
        return config
    ports = {"public_port": base, "admin_port": base + 1, "worker_api_port": base + 2}
    return config.model_copy(update=ports)


def _check(config: Settings) -> None:
    from ..preflight import start_checks

    for check in start_checks(config):
        if not (result := check()).is_ok:
            raise click.ClickException(result.sentence())


def _migrate() -> None:
    from ..extensions import db
    from .database import upgrade_database

    upgrade_database()
    db.engine.dispose()  # a connection cannot be shared with the processes that are forked next


def _supervise(config: Settings) -> int:
    from ..preflight import answers
    from ..secret_files import ensure_admin_secret
    from ..supervisor import Supervisor

    is_new_secret = ensure_admin_secret(config)
    waiting = set(config.ports)

    def is_ready() -> bool:
        waiting.difference_update({surface for surface in waiting if answers(config, surface)})
        return not waiting

    supervisor = Supervisor(
        programs(config),
        is_ready=is_ready,
        on_ready=lambda: supervisor.say(greeting(config, is_new_secret)),
    )
    return supervisor.run()


def programs(config: Settings) -> "list[Program]":
    from ..embedded_redis import serve as serve_redis
    from ..supervisor import Program
    from .scheduler import run_scheduler
    from .worker import run_worker

    surfaces = [
        Program(name.replace("_", "-"), partial(serve, config, name), SURFACE_GRACE_S + 2, must_start=True)
        for name in SURFACES
    ]
    redis = [Program("redis", partial(serve_redis, config), REDIS_GRACE_S)]
    return [
        *(redis if config.redis_url == EMBEDDED else ()),
        *surfaces,
        Program("worker", partial(run_worker, config), SEGMENT_GRACE_S, "the worker to finish its segment"),
        Program("scheduler", partial(run_scheduler, config), 10.0),
    ]


def serve(config: Settings, surface: Surface) -> None:
    """Becomes the gunicorn of one surface; returns when that ends."""
    from gunicorn.app.base import BaseApplication

    class Site(BaseApplication):  # type: ignore[misc]
        def load_config(self) -> None:
            for name, value in gunicorn_options(config, surface).items():
                self.cfg.set(name, value)

        def load(self) -> Flask:
            return create_app(config, surface=surface)

    Site().run()


def gunicorn_options(config: Settings, surface: str) -> dict[str, object]:
    host = f"[{config.bind_address}]" if ":" in config.bind_address else config.bind_address
    options: dict[str, object] = {
        "bind": f"{host}:{config.ports[surface]}",
        "worker_class": "gthread",
        "threads": THREADS,
        "workers": config.worker_api_processes if surface == "worker_api" else 1,
        "graceful_timeout": SURFACE_GRACE_S,
        "loglevel": "warning",
        # It lies in the home folder, where three of them would collide.
        "control_socket_disable": True,
    }
    if os.access(MEMORY_FOLDER, os.W_OK):
        options["worker_tmp_dir"] = str(MEMORY_FOLDER)
    return options


def greeting(config: Settings, is_new_secret: bool) -> str:
    from ..preflight import local_host
    from ..secret_files import write_login_link

    host = local_host(config)
    lines = ["", f"{config.site_name} is running.", ""]
    lines += [f"  {WORDS[name]:<12} http://{host}:{port}" for name, port in config.ports.items()]
    if config.admin_api_secret == "":
        lines += ["", "  The admin site asks for no login, because VLOG_ADMIN_API_SECRET is set to nothing."]
    else:
        link = f"http://{host}:{config.admin_port}/login?link={write_login_link(config)}"
        lines += ["", "  Log in with this link (works once, for 15 minutes):", f"  {link}", ""]
        lines += [_secret_line(config, is_new_secret)]
    return "\n".join([*lines, "", "  Ctrl-C ends everything; a segment being encoded is finished first.", ""])


def _secret_line(config: Settings, is_new_secret: bool) -> str:
    from ..secret_files import admin_secret, admin_secret_path

    if config.admin_api_secret:
        return "  The admin secret is the one in VLOG_ADMIN_API_SECRET."
    if is_new_secret:
        kept = f"(shown once; kept in {admin_secret_path(config)})"
        return f"  Admin secret  {admin_secret(config)}  {kept}"
    return f"  The admin secret is in {admin_secret_path(config)}"
