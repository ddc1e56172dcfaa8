"""Who encodes: the workers this installation has heard of, and the keys with which remote ones show who they are."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, CheckConstraint, ForeignKey, String
from sqlalchemy.orm import Mapped, mapped_column

from ..extensions import db
from .types import UtcDateTime

WORKER_KINDS = ("local", "remote")
ACTIVITIES = ("active", "busy", "idle")


class Worker(db.Model):  # type: ignore[name-defined,misc]
    """One worker process. A local one is known by the id it chose at start, a remote one by that of its registration.

    `facts` is what our own workers say of their host; `capabilities` and `about` are what a registration says.
    """

    __tablename__ = "workers"
    __table_args__ = (
        CheckConstraint(f"kind IN {WORKER_KINDS}", name="kind"),
        CheckConstraint(f"activity IN {ACTIVITIES}", name="activity"),
    )

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    name: Mapped[str] = mapped_column(String(100))
    kind: Mapped[str] = mapped_column(String(8), default="local")
    facts: Mapped[dict[str, Any]] = mapped_column(JSON, default=dict)  # ffmpeg version, cores, devices
    capabilities: Mapped[dict[str, Any]] = mapped_column(JSON, default=dict)
    about: Mapped[dict[str, Any]] = mapped_column(JSON, default=dict)  # pod, node, region, labels
    activity: Mapped[str] = mapped_column(String(8), default="idle")  # what it said last
    code_version: Mapped[str | None] = mapped_column(String(100))
    is_disabled: Mapped[bool] = mapped_column(default=False)  # may do nothing at all
    registered_at: Mapped[datetime] = mapped_column(UtcDateTime)
    started_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    heartbeat_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    stopped_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    # services.workers: paused, it takes nothing new; draining, it also gives back what it has.
    paused_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    pause_reason: Mapped[str | None] = mapped_column(String(200))  # a sentence
    probe_at: Mapped[datetime | None] = mapped_column(UtcDateTime)  # paused by itself: may try one job then
    probes: Mapped[int] = mapped_column(default=0)  # tries since it was paused; each wait is longer
    drain_requested_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


class Chore(db.Model):  # type: ignore[name-defined,misc]
    """Housekeeping that several schedulers could do: whoever moves `due_at` on does it."""

    __tablename__ = "chores"

    name: Mapped[str] = mapped_column(String(64), primary_key=True)
    due_at: Mapped[datetime] = mapped_column(UtcDateTime)


class WorkerKey(db.Model):  # type: ignore[name-defined,misc]
    """A key of a remote worker. Only its public id and the SHA-256 of the whole key are kept: 256 random bits cannot
    be guessed, so a slow hash would protect nothing and cost a second of every call.
    """

    __tablename__ = "worker_keys"

    id: Mapped[str] = mapped_column(String(8), primary_key=True)
    worker_id: Mapped[str] = mapped_column(ForeignKey("workers.id", ondelete="CASCADE"), index=True)
    sha256: Mapped[str] = mapped_column(String(64))
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    expires_at: Mapped[datetime | None] = mapped_column(UtcDateTime)  # None: good until it is revoked
    last_used_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    revoked_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
