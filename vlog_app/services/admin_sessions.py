"""Who may act as the owner: the secret, sign-ins, one-time links, and how often a wrong secret may be tried."""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from flask import Flask, current_app
from limits import RateLimitItemPerMinute
from limits.storage import storage_from_string
from limits.strategies import FixedWindowRateLimiter
from sqlalchemy import delete, select, update

from ..config import settings
from ..extensions import db, transaction
from ..models import AdminSession

KEEP_DAYS = 14  # "Keep me signed in"
MAX_TRIES = 5
WAIT_MINUTES = 5
TRIES = RateLimitItemPerMinute(MAX_TRIES, WAIT_MINUTES, namespace="login")
SEEN_EVERY = timedelta(minutes=5)  # last_seen_at is for people; it need not cost a write per request
SECRET_FILE = "admin-secret"  # noqa: S105 (a file name)
LINK_FILE = "login-link"
LIMITER_KEY = "vlog.login_tries"


@dataclass(frozen=True, slots=True)
class SignIn:
    """A new sign-in: `token` goes into the cookie and is kept nowhere else."""

    token: str
    expires_at: datetime
    is_kept: bool


def init_app(app: Flask) -> None:
    """Counts wrong secrets where Flask-Limiter counts requests, by a count of its own."""
    storage = storage_from_string(
        app.config["RATELIMIT_STORAGE_URI"], **app.config["RATELIMIT_STORAGE_OPTIONS"]
    )
    app.extensions[LIMITER_KEY] = FixedWindowRateLimiter(storage)


def admin_secret() -> str | None:
    """The configured secret; else the one generated at the first start; "" = no login; None = nobody can sign in."""
    configured = settings().admin_api_secret
    if configured is not None:
        return configured
    try:
        return (settings().storage_path / SECRET_FILE).read_text(encoding="utf-8").strip() or None
    except OSError:
        return None


def needs_no_login() -> bool:
    """Only an owner on loopback can ask for this; config.py refuses any other address."""
    return admin_secret() == ""


def is_secret(given: str) -> bool:
    secret = admin_secret()
    return bool(secret) and hmac.compare_digest(_digest(given), _digest(str(secret)))


def tries_left(address: str) -> int:
    return int(_limiter().get_window_stats(TRIES, address).remaining)


def seconds_to_wait(address: str) -> int:
    stats = _limiter().get_window_stats(TRIES, address)
    return max(1, int(stats.reset_time - time.time()) + 1) if stats.remaining == 0 else 0


def count_wrong_try(address: str) -> None:
    _limiter().hit(TRIES, address)


def forget_wrong_tries(address: str) -> None:
    _limiter().clear(TRIES, address)


def sign_in(now: datetime, *, keep: bool) -> SignIn:
    """Opens a session; expired ones are swept on the way."""
    lasts = timedelta(days=KEEP_DAYS) if keep else timedelta(hours=settings().admin_session_expiry_hours)
    token, expires_at = secrets.token_urlsafe(32), now + lasts
    with transaction() as session:
        session.execute(delete(AdminSession).where(AdminSession.expires_at <= now))
        session.add(
            AdminSession(
                token_sha256=_fingerprint(token), created_at=now, last_seen_at=now, expires_at=expires_at
            )
        )
    return SignIn(token, expires_at, keep)


def is_signed_in(token: str | None, now: datetime) -> bool:
    if not token:
        return False
    query = select(AdminSession.id, AdminSession.last_seen_at).where(
        AdminSession.token_sha256 == _fingerprint(token), AdminSession.expires_at > now
    )
    row = db.session.execute(query).one_or_none()
    if row is None:
        return False
    if now - row.last_seen_at > SEEN_EVERY:
        _mark_seen(row.id, now)
    return True


def sign_out(token: str) -> None:
    with transaction() as session:
        session.execute(delete(AdminSession).where(AdminSession.token_sha256 == _fingerprint(token)))


def forget_expired() -> int:
    """Remove sign-ins that are over; returns how many there were."""
    with transaction() as session:
        over = delete(AdminSession).where(AdminSession.expires_at < utc_now())
        return int(session.execute(over).rowcount)  # type: ignore[attr-defined]


def is_login_link(token: str) -> bool:
    """Would this one-time link still work? Does not use it up."""
    return _read_link(token) is not None


def use_login_link(token: str) -> bool:
    """Uses the link up; of two that try at once, one wins."""
    path = _read_link(token)
    if path is None:
        return False
    try:
        path.unlink()
    except FileNotFoundError:
        return False
    return True


def _read_link(token: str) -> Path | None:
    path = settings().storage_path / LINK_FILE
    try:
        link = json.loads(path.read_text(encoding="utf-8"))
        expected, expires_at = str(link["sha256"]), float(link["expires_at"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    given = hashlib.sha256(token.encode()).hexdigest()
    return path if hmac.compare_digest(given, expected) and expires_at > time.time() else None


def _mark_seen(session_id: int, now: datetime) -> None:
    with transaction() as session:
        session.execute(update(AdminSession).where(AdminSession.id == session_id).values(last_seen_at=now))


def _fingerprint(token: str) -> str:
    """Keyed with the secret, so that changing the secret ends every session."""
    return hmac.new((admin_secret() or "").encode(), token.encode(), hashlib.sha256).hexdigest()


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()


def _limiter() -> FixedWindowRateLimiter:
    limiter: FixedWindowRateLimiter = current_app.extensions[LIMITER_KEY]
    return limiter


def utc_now() -> datetime:
    return datetime.now(UTC)
