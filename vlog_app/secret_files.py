"""Secrets VLog makes for itself: files under the storage root that only their owner can read."""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # config reads the signing key, so it comes after this module
    from .config import Settings

SECRET_BYTES = 32  # 256 bits: nothing to gain from guessing, so a plain hash of it is safe to store
LOGIN_LINK_LASTS_S = 15 * 60


def admin_secret(config: Settings) -> str | None:
    """The admin password: the setting, else the generated one; "" is no login, None is not made yet."""
    if config.admin_api_secret is not None:
        return config.admin_api_secret
    path = admin_secret_path(config)
    return path.read_text(encoding="ascii").strip() if path.exists() else None


def admin_secret_path(config: Settings) -> Path:
    return config.storage_path / "admin-secret"


def ensure_admin_secret(config: Settings) -> bool:
    """Makes the admin secret when there is none; True when this call made it."""
    if admin_secret(config) is not None:
        return False
    return _write_once(admin_secret_path(config), secrets.token_urlsafe(18))


def secret_key(storage_path: Path) -> str:
    """Signs cookies. Made on first need; three surfaces may start at once and must agree."""
    path = storage_path / "secret-key"
    if not path.exists():
        _write_once(path, secrets.token_hex(SECRET_BYTES))
    return path.read_text(encoding="ascii").strip()


def login_link_path(config: Settings) -> Path:
    return config.storage_path / "login-link"


def write_login_link(config: Settings) -> str:
    """Mints a token that logs in once within 15 minutes; only its hash is kept. The last link wins."""
    token = secrets.token_urlsafe(SECRET_BYTES)
    digest = hashlib.sha256(token.encode()).hexdigest()
    record = {"sha256": digest, "expires_at": time.time() + LOGIN_LINK_LASTS_S}
    _replace(login_link_path(config), json.dumps(record))
    return token


def _write_once(path: Path, text: str) -> bool:
    """Creates `path` whole or not at all; False when another process was first."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = _draft(path, text)
    try:
        os.link(draft, path)
    except FileExistsError:
        return False
    finally:
        draft.unlink()
    return True


def _replace(path: Path, text: str) -> None:
    _draft(path, text).replace(path)


def _draft(path: Path, text: str) -> Path:
    draft = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(text + "\n")
        file.flush()
        os.fsync(descriptor)
    return draft
