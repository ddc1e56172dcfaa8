"""What the frame around every admin page shows: counts, storage, trouble."""

from __future__ import annotations

import math
import shutil
from dataclasses import dataclass
from functools import cached_property
from urllib.parse import urlsplit

from flask import Response, jsonify, request
from sqlalchemy import func, select

from ...config import settings
from ...extensions import db, limiter
from ...models import Encode, Video
from ...services import fleet, wakeup
from ...services.control import UNFINISHED
from .blueprint import blueprint


@dataclass(frozen=True, slots=True)
class Storage:
    used_bytes: int
    total_bytes: int
    used_pct: int
    is_low: bool


class Shell:
    """What the frame around every admin page shows; each part is read when the template asks for it."""

    def __init__(self, *, signed_in: bool) -> None:
        self.signed_in = signed_in

    @cached_property
    def videos(self) -> int:
        return db.session.scalar(select(func.count(Video.id)).where(Video.deleted_at.is_(None))) or 0

    @cached_property
    def queued(self) -> int:
        """Films that are not finished."""
        return db.session.scalar(select(func.count(Encode.id)).where(Encode.state.in_(UNFINISHED))) or 0

    @cached_property
    def workers(self) -> int:
        """Those that are up."""
        return sum(member.state.is_up for member in fleet.roster())

    @cached_property
    def storage(self) -> Storage | None:
        try:
            disk = shutil.disk_usage(settings().storage_path)
        except OSError:
            return None
        used = disk.total - disk.free
        is_low = disk.free < 2 * settings().storage_reserve_bytes
        return Storage(used, disk.total, math.ceil(100 * used / disk.total), is_low)

    @cached_property
    def trouble(self) -> str | None:
        """What does not answer, and what that means."""
        return wakeup.trouble()

    @cached_property
    def public_url(self) -> str:
        """The same host on the public port; behind a proxy on the standard ports, the same host."""
        host = urlsplit(request.host_url)
        if host.port != settings().admin_port:
            return f"{host.scheme}://{host.hostname}/"
        return address_of(host.scheme, host.hostname or "", settings().public_port)


def address_of(scheme: str, host: str, port: int) -> str:
    name = f"[{host}]" if ":" in host else host
    return f"{scheme}://{name}:{port}/"


@blueprint.get("/api/counts")
@limiter.exempt  # asked for every few seconds by each open page
def counts() -> Response:
    """The numbers in the navigation."""
    shell = Shell(signed_in=True)
    answer = jsonify(videos=shell.videos, queue=shell.queued, workers=shell.workers)
    answer.headers["Cache-Control"] = "no-store"
    return answer
