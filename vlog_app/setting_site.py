"""Settings of the site: where it lies, where it listens, who may come in."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict

from .setting_types import FOLDER_NAME, AbsolutePath, Csv, DatabaseUrl, embedded_database
from .setting_words import option


class SiteSettings(BaseModel):
    """The first part of config.Settings."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)

    storage_path: AbsolutePath = option(
        Path("var"),
        "Storage root: videos, uploads and the embedded database.",
        allowed="a folder",
        shown="./var",
    )
    videos_subdir: str = option(
        "videos",
        "Folder under the storage root for encoded videos.",
        allowed="a folder name",
        pattern=FOLDER_NAME,
    )
    uploads_subdir: str = option(
        "uploads", "Folder under the storage root for sources.", allowed="a folder name", pattern=FOLDER_NAME
    )
    database_url: DatabaseUrl = option(
        embedded_database,
        "Database; empty is an embedded SQLite file under the storage root.",
        allowed="a sqlite:/// or postgresql:// address",
        shown="empty",
        pattern=r"^sqlite:///|^postgresql\+psycopg2://",
    )
    database_timeout: float = option(
        15, "Longest wait for a sign of life of PostgreSQL; 0 is no limit.", unit="seconds", ge=0
    )
    bind_address: str = option(
        "127.0.0.1",
        "Address the three surfaces listen on.",
        allowed="an IP address such as 127.0.0.1 or 0.0.0.0",
    )
    public_port: int = option(9000, "Port of the public site.", ge=1, le=65535)
    admin_port: int = option(9001, "Port of the admin site.", ge=1, le=65535)
    worker_api_port: int = option(9002, "Port of the worker API.", ge=1, le=65535)
    site_name: str = option(
        "VLog",
        "Name shown in the header and in titles.",
        allowed="1 to 60 characters",
        min_length=1,
        max_length=60,
    )
    trusted_hosts: Csv = option(
        (), "Host names the site answers to; empty is any.", allowed="host names with commas"
    )
    trusted_proxies: Csv = option(
        (), "Proxies whose X-Forwarded-For is believed.", allowed="IP addresses or networks with commas"
    )
    secure_cookies: bool | None = option(
        None, "Secure flag of cookies; empty sets it whenever the request came by https.", shown="empty"
    )

    admin_api_secret: str | None = option(
        None,
        "Password of the admin site. Unset: generated at the first start. Set to nothing on purpose: no "
        "login, allowed only while bound to loopback.",
        allowed="any text",
        shown="generated",
        secret=True,
    )
    admin_session_expiry_hours: int = option(24, "How long a login lasts.", unit="hours", ge=1, le=8760)

    worker_admin_secret: str | None = option(
        None,
        "Secret with which workers are registered and revoked; empty turns that off.",
        allowed="any text",
        shown="empty",
        secret=True,
    )

    max_upload_size: int = option(100 * 1024**3, "Largest file accepted as an upload.", unit="bytes", ge=1)
    storage_reserve_bytes: int = option(1024**3, "Free space that is never used up.", unit="bytes", ge=0)
