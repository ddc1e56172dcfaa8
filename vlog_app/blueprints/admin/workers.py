"""The workers page, the page of one worker, and the buttons. Every button is a form or a page that asks first."""

from __future__ import annotations

import socket
from collections.abc import Callable
from datetime import datetime
from urllib.parse import urlsplit

from flask import Response, render_template, request, url_for

from ...config import settings
from ...extensions import db, limiter
from ...fragments import local_path, render_block, see_other
from ...services import fleet, wakeup, worker_keys
from ...services.clock import database_now
from ...services.fleet import StillHere, UnknownWorker
from . import workers_api
from .blueprint import blueprint
from .hardware import read_hardware
from .shell import address_of
from .workers_page import read_fleet, read_panel, read_recent

blueprint.register_error_handler(UnknownWorker, workers_api.unknown)
blueprint.register_error_handler(StillHere, workers_api.still_here)

MOST_NAME = 100
#: What a key may be good for, in days; anything else is until it is revoked.
KEY_ENDS = {"30": 30, "90": 90, "365": 365}
ID_CHARS = 64
#: What is done at once: nothing of it is lost, and each has its opposite.
SWITCHES: dict[str, Callable[[str], object]] = {
    "disable": lambda worker_id: fleet.set_disabled(worker_id, is_disabled=True),
    "enable": lambda worker_id: fleet.set_disabled(worker_id, is_disabled=False),
    "hand-over": fleet.hand_over,
}
#: What is asked about first.
FINAL: dict[str, Callable[[str], None]] = {"revoke": fleet.revoke, "remove": fleet.remove}


@blueprint.get("/workers")
def workers() -> str:
    return render_template("admin/workers.html", fleet=read_fleet(_now()), now=_now())


@blueprint.get("/workers/board")
@limiter.exempt  # asked for whenever something changes, at most every two seconds
def workers_board() -> str:
    return render_block("admin/workers.html", "board", fleet=read_fleet(_now()), now=_now())


@blueprint.get("/workers/<worker_id>")
def worker(worker_id: str) -> str:
    return render_template(
        "admin/worker.html",
        worker=read_panel(worker_id, _now()),
        recent=read_recent(worker_id),
        hardware=read_hardware(fleet.member(worker_id).worker),
        key_ends=worker_keys.end_of(worker_id),
        now=_now(),
    )


@blueprint.get("/workers/new")
def new_worker() -> str:
    return _new_page()


@blueprint.post("/workers/new")
def register_worker() -> str | tuple[str, int]:
    """Shows the key in the answer and nowhere else."""
    given = request.form.get("name", "")
    name = fleet.clean_name(given)
    problem = _problem_with(name)
    if problem:
        return _new_page(name=given[:MOST_NAME], problem=problem), 422
    days = KEY_ENDS.get(request.form.get("key_days", ""))
    return _new_page(new=fleet.register(name, "remote", {}, {}, days))


@blueprint.post("/workers/<worker_id>/<any(disable, enable, 'hand-over'):verb>")
def switch_worker(worker_id: str, verb: str) -> Response:
    SWITCHES[verb](worker_id)
    return _back(url_for("admin.workers"))


@blueprint.get("/workers/<worker_id>/<any(revoke, remove):verb>")
def confirm_worker(worker_id: str, verb: str) -> str:
    return render_template("admin/worker_confirm.html", worker=read_panel(worker_id, _now()), verb=verb)


@blueprint.post("/workers/<worker_id>/<any(revoke, remove):verb>")
def end_worker(worker_id: str, verb: str) -> Response:
    FINAL[verb](worker_id)
    wakeup.ring(())
    return see_other(url_for("admin.workers"))


def _back(default: str) -> Response:
    wakeup.ring(())
    return see_other(local_path(request.form.get("next"), default))


def _problem_with(name: str) -> str:
    if not name:
        return "Give it a name, such as that of its host."
    if len(name) > MOST_NAME:
        return f"A name has at most {MOST_NAME} characters."
    if name in fleet.names_taken():
        return f"There is a worker called {name} already. Choose another name, or revoke that one first."
    return ""


def _new_page(*, name: str = "", problem: str = "", new: fleet.Registered | None = None) -> str:
    config = settings()
    return render_template(
        "admin/worker_new.html",
        name=name,
        problem=problem,
        new=new,
        api_url=_api_url(),
        is_closed=config.is_loopback,
    )


def _api_url() -> str:
    """Where another host reaches the worker API: as set, or this site's own name with that port."""
    config = settings()
    if not _is_here(urlsplit(config.worker_api_url).hostname):
        return config.worker_api_url.rstrip("/")
    name = urlsplit(request.host_url).hostname
    host = socket.gethostname() if name is None or _is_here(name) else name
    return address_of("http", host, config.worker_api_port).rstrip("/")


def _is_here(name: str | None) -> bool:
    """Names that mean another host on every host."""
    return name is not None and (name in ("localhost", "::1") or name.startswith("127."))


def _now() -> datetime:
    """The clock that heartbeats and leases are judged by."""
    return database_now(db.session())
