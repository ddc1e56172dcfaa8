"""Keys of remote workers: `vlw_<id>_<43 random characters>_<crc>`, shown once, kept as id and SHA-256.

The random part has 256 bits. The last eight characters are the CRC-32 of what stands before them, so that a scanner
can tell a real key in a log or a repository from a word that looks like one.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import zlib
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from sqlalchemy import bindparam, select, update
from sqlalchemy.orm import Session

from ..extensions import db, glance, transaction
from ..models import Worker, WorkerKey
from ..statements import Statement

KEY = re.compile(r"(?P<body>vlw_(?P<id>[0-9a-f]{8})_[A-Za-z0-9_-]{43})_(?P<crc>[0-9a-f]{8})", re.ASCII)
RANDOM_BYTES = 32  # 43 characters
USED_EVERY = timedelta(minutes=1)  # last_used_at is for people; it need not cost a write per call
NO_DIGEST = "0" * 64

# One look-up by primary key. Columns and not objects: this runs before every call of every worker.
_LOOK_UP = Statement(
    select(
        WorkerKey.sha256,
        WorkerKey.revoked_at,
        WorkerKey.expires_at,
        WorkerKey.last_used_at,
        Worker.id,
        Worker.name,
        Worker.is_disabled,
    )
    .join(Worker, Worker.id == WorkerKey.worker_id)
    .where(WorkerKey.id == bindparam("key_id"))
)


@dataclass(frozen=True, slots=True)
class KnownWorker:
    """Who holds the key of this call."""

    key_id: str
    id: str
    name: str
    is_disabled: bool
    is_use_noted: bool


def mint(session: Session, worker_id: str, now: datetime, days: int | None = None) -> str:
    """A new key of a worker, good for so many days; the only time anyone sees it. Call inside a transaction."""
    key_id = secrets.token_hex(4)
    body = f"vlw_{key_id}_{secrets.token_urlsafe(RANDOM_BYTES)}"
    key = f"{body}_{_crc(body)}"
    ends = None if days is None else now + timedelta(days=days)
    session.add(
        WorkerKey(id=key_id, worker_id=worker_id, sha256=_digest(key), created_at=now, expires_at=ends)
    )
    return key


def find(key: str) -> KnownWorker | None:
    """None for every key that is not good, whatever is wrong with it, after the same work."""
    match = KEY.fullmatch(key)
    is_whole = match is not None and match["crc"] == _crc(match["body"])
    key_id = match["id"] if match and is_whole else ""
    with glance() as connection:
        row = _LOOK_UP.first(connection, key_id=key_id)
    is_right = hmac.compare_digest(_digest(key), row.sha256 if row else NO_DIGEST)
    now = datetime.now(UTC)
    if row is None or not is_right or row.revoked_at is not None:
        return None
    if row.expires_at is not None and row.expires_at <= now:
        return None
    is_use_noted = row.last_used_at is not None and now - row.last_used_at < USED_EVERY
    return KnownWorker(key_id, row.id, row.name, row.is_disabled, is_use_noted)


def note_use(key_id: str) -> None:
    with transaction() as session:
        session.execute(
            update(WorkerKey).where(WorkerKey.id == key_id).values(last_used_at=datetime.now(UTC))
        )


def end_of(worker_id: str) -> datetime | None:
    """When the newest key of a worker ends by itself; None: never, or there is none."""
    mine = WorkerKey.worker_id == worker_id, WorkerKey.revoked_at.is_(None)
    query = select(WorkerKey.expires_at).where(*mine).order_by(WorkerKey.created_at.desc())
    ends: datetime | None = db.session.scalar(query.limit(1))
    return ends


def revoke_all(session: Session, worker_id: str, now: datetime) -> None:
    """No key of this worker is good from the commit on. Call inside a transaction."""
    live = update(WorkerKey).where(WorkerKey.worker_id == worker_id, WorkerKey.revoked_at.is_(None))
    session.execute(live.values(revoked_at=now))


def _crc(body: str) -> str:
    return f"{zlib.crc32(body.encode()):08x}"


def _digest(key: str) -> str:
    return hashlib.sha256(key.encode(errors="replace")).hexdigest()
