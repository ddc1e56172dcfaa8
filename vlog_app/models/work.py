"""The work on a video: encodes, renditions, segments, jobs, attempts, and what happened."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    CheckConstraint,
    ColumnElement,
    ForeignKey,
    Index,
    SmallInteger,
    String,
    Text,
    UniqueConstraint,
)
from sqlalchemy.ext.hybrid import hybrid_property
from sqlalchemy.orm import Mapped, mapped_column, relationship

from encoder.model import AUDIO_NAME, is_rung
from jobs.layout import Priority
from jobs.states import AttemptOutcome, JobState, Verdict

from ..extensions import db
from .catalog import Video
from .types import UtcDateTime

ENCODE_STATES = ("planned", "encoding", "viewable", "publishing", "done", "failed", "cancelled")
JOB_STATES = tuple(state.value for state in JobState)
ORIGINS = ("grid", "foreign")
OUTCOMES = tuple(outcome.value for outcome in AttemptOutcome)
VERDICTS = tuple(verdict.value for verdict in Verdict)


class Encode(db.Model):  # type: ignore[name-defined,misc]
    """One encode of one video. The plan is frozen JSON (encoder.model.EncodePlan).

    A later generation is made beside the one that plays. `rungs`: the renditions it encodes, None: all; it takes the
    others over. `superseded_at`: another one plays since then; `retired_at`: nobody is told of it any more, its
    files go.
    """

    __tablename__ = "encodes"
    __table_args__ = (
        UniqueConstraint("video_id", "generation"),
        CheckConstraint(f"state IN {ENCODE_STATES}", name="state"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    video_id: Mapped[int] = mapped_column(ForeignKey("videos.id", ondelete="CASCADE"), index=True)
    generation: Mapped[int] = mapped_column(default=1)
    state: Mapped[str] = mapped_column(String(16), default="planned", index=True)
    priority: Mapped[int] = mapped_column(SmallInteger, default=int(Priority.NORMAL))  # jobs.layout.Priority
    paused_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    plan: Mapped[dict[str, Any]] = mapped_column(JSON)
    error_code: Mapped[str | None] = mapped_column(String(64))
    error_message: Mapped[str | None] = mapped_column(String(500))
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    finished_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    rungs: Mapped[list[str] | None] = mapped_column(JSON(none_as_null=True))
    superseded_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    retired_at: Mapped[datetime | None] = mapped_column(UtcDateTime)

    video: Mapped[Video] = relationship(back_populates="encodes", lazy="raise")
    renditions: Mapped[list[Rendition]] = relationship(order_by="Rendition.position", lazy="raise")

    @property
    def is_over(self) -> bool:
        """Nothing may be made of it any more."""
        return self.superseded_at is not None or self.retired_at is not None


class Rendition(db.Model):  # type: ignore[name-defined,misc]
    """One row of the grid. `done_segments` counts its Segment rows; `index` replaces them once published:
    {"durations": [s], "sizes": [bytes], "sha256": [hex]}, one entry a segment; in CMAF also "inits". `inits` are the
    SHA-256 of its headers (CMAF), each in a file of its own (encoder.names.init_name).

    One of foreign origin is not of the grid: somebody else cut it, with the sound inside. It comes in whole, so it has
    an index from the start, which also says "fps" and "is_independent"; `container` and `codecs` (of picture and sound)
    are its own.
    """

    __tablename__ = "renditions"
    __table_args__ = (
        UniqueConstraint("encode_id", "name"),
        CheckConstraint(f"origin IN {ORIGINS}", name="origin"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    encode_id: Mapped[int] = mapped_column(ForeignKey("encodes.id", ondelete="CASCADE"), index=True)
    name: Mapped[str] = mapped_column(String(32))
    kind: Mapped[str] = mapped_column(String(8))
    origin: Mapped[str] = mapped_column(String(8), default="grid")
    container: Mapped[str | None] = mapped_column(String(8))  # None: that of the plan
    position: Mapped[int]
    width: Mapped[int] = mapped_column(default=0)
    height: Mapped[int] = mapped_column(default=0)
    max_bitrate_bps: Mapped[int]
    planned_segments: Mapped[int]
    done_segments: Mapped[int] = mapped_column(default=0)
    size_bytes: Mapped[int] = mapped_column(BigInteger, default=0)
    codecs: Mapped[str | None] = mapped_column(String(64))
    peak_bps: Mapped[int | None]
    average_bps: Mapped[int | None]
    inits: Mapped[list[str]] = mapped_column(JSON, default=list, server_default="[]")
    index: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    taken_from: Mapped[int | None]

    @hybrid_property
    def is_rung(self) -> bool:
        return is_rung(self.name)

    @is_rung.inplace.expression
    @classmethod
    def _is_rung(cls) -> ColumnElement[bool]:
        return cls.name.not_like(f"{AUDIO_NAME}%")

    @property
    def is_foreign(self) -> bool:
        return self.origin == "foreign"


class Segment(db.Model):  # type: ignore[name-defined,misc]
    """The checkpoint: a finished segment, fsynced in place before this row is committed. `init` is the number of its
    header among its rendition's (CMAF).
    """

    __tablename__ = "segments"

    rendition_id: Mapped[int] = mapped_column(
        ForeignKey("renditions.id", ondelete="CASCADE"), primary_key=True
    )
    index: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    duration_s: Mapped[float]
    size_bytes: Mapped[int]
    sha256: Mapped[str] = mapped_column(String(64))
    init: Mapped[int] = mapped_column(default=0, server_default="0")
    attempt_id: Mapped[int] = mapped_column(ForeignKey("attempts.id", ondelete="CASCADE"), index=True)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)


class Job(db.Model):  # type: ignore[name-defined,misc]
    """A rectangle of the grid that one worker makes under one lease; or a small job beside it (poster, storyboard).

    `rank` is what it is for; `place`, made of it, of the encode's priority and of its pause, is where it stands in
    the queue, lower first; among equals the lower `turn` goes first (services.places writes both). `progress` is
    what the worker said last: {"segment": n, "fraction": 0..1, "speed": x realtime}; of a whole film (services.whole)
    also {"step": word, "qualities": {name: percent}, "said_at": time}.
    """

    __tablename__ = "jobs"
    __table_args__ = (
        CheckConstraint(f"state IN {JOB_STATES}", name="state"),
        CheckConstraint("(state = 'leased') = (lease_token IS NOT NULL)", name="lease"),
        Index("ix_jobs_queue", "state", "place", "turn", "id"),
        {"sqlite_autoincrement": True},
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    kind: Mapped[str] = mapped_column(String(16))
    video_id: Mapped[int] = mapped_column(ForeignKey("videos.id", ondelete="CASCADE"), index=True)
    encode_id: Mapped[int] = mapped_column(ForeignKey("encodes.id", ondelete="CASCADE"), index=True)
    state: Mapped[str] = mapped_column(String(16), default=JobState.QUEUED.value)
    rank: Mapped[int]
    place: Mapped[int]
    turn: Mapped[int] = mapped_column(default=0)
    first_segment: Mapped[int] = mapped_column(default=0)
    end_segment: Mapped[int] = mapped_column(default=0)
    renditions: Mapped[list[str]] = mapped_column(JSON, default=list)
    attempts_used: Mapped[int] = mapped_column(default=0)
    max_attempts: Mapped[int]
    not_before_at: Mapped[datetime] = mapped_column(UtcDateTime)
    lease_token: Mapped[str | None] = mapped_column(String(64), index=True)
    lease_expires_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    worker_id: Mapped[str | None] = mapped_column(String(64))
    attempt_id: Mapped[int | None]
    progress: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    error_code: Mapped[str | None] = mapped_column(String(64))
    error_message: Mapped[str | None] = mapped_column(String(500))
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    finished_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


class Attempt(db.Model):  # type: ignore[name-defined,misc]
    """One worker's try at a job, opened by a claim and closed by its outcome. History; only `verdict` is judged again:
    when a worker is paused for failing, its failures are no longer charged to the jobs.
    """

    __tablename__ = "attempts"
    __table_args__ = (
        CheckConstraint(f"outcome IN {OUTCOMES}", name="outcome"),
        CheckConstraint(f"verdict IN {VERDICTS}", name="verdict"),
        Index("ix_attempts_worker", "worker_id", "id"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    job_id: Mapped[int] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), index=True)
    worker_id: Mapped[str] = mapped_column(String(64))
    worker_name: Mapped[str] = mapped_column(String(100))
    device: Mapped[str] = mapped_column(String(32), default="cpu")
    started_at: Mapped[datetime] = mapped_column(UtcDateTime)
    ended_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    outcome: Mapped[str | None] = mapped_column(String(16))
    verdict: Mapped[str | None] = mapped_column(String(16))  # of a failed one: whose fault
    error_code: Mapped[str | None] = mapped_column(String(64))
    error_message: Mapped[str | None] = mapped_column(String(500))
    error_detail: Mapped[str | None] = mapped_column(Text)  # ffmpeg's last lines, for the owner only
    speed: Mapped[float | None]
    segments_done: Mapped[int] = mapped_column(default=0)
    damage: Mapped[int] = mapped_column(default=0)  # how often the source was found damaged


class Event(db.Model):  # type: ignore[name-defined,misc]
    """What happened, in order: read by the video page and, by id, by the live hub. Kinds: services.events."""

    __tablename__ = "events"
    __table_args__ = (Index("ix_events_video", "video_id", "id"), {"sqlite_autoincrement": True})

    id: Mapped[int] = mapped_column(primary_key=True)
    video_id: Mapped[int] = mapped_column(ForeignKey("videos.id", ondelete="CASCADE"))
    kind: Mapped[str] = mapped_column(String(32))
    data: Mapped[dict[str, Any]] = mapped_column(JSON, default=dict)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)


class Hold(db.Model):  # type: ignore[name-defined,misc]
    """Something the owner holds back for all videos; a row means held. `queue`: no job is handed out."""

    __tablename__ = "holds"

    name: Mapped[str] = mapped_column(String(32), primary_key=True)
    since: Mapped[datetime] = mapped_column(UtcDateTime)
