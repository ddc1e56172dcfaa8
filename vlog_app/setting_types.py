"""The types of settings: how what people write becomes a value, and the defaults that follow from other settings."""

from __future__ import annotations

import ipaddress
import os
import tempfile
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator

RATE_LIMIT = r"^\d+ ?(/|per) ?(second|minute|hour|day)( ?; ?\d+ ?(/|per) ?(second|minute|hour|day))*$"
FOLDER_NAME = r"^[A-Za-z0-9_-][A-Za-z0-9._-]*$"
HTTP_URL = r"^https?://[^\s/]+"
EMBEDDED = "embedded"
EMBEDDED_SOCKET = "redis/socket"  # under the storage root


def embedded_database(data: dict[str, Any]) -> str:
    return f"sqlite:///{data['storage_path'] / 'vlog.db'}"


def local_admin(data: dict[str, Any]) -> str:
    return f"http://localhost:{data['admin_port']}"


def local_worker_api(data: dict[str, Any]) -> str:
    return f"http://localhost:{data['worker_api_port']}"


def temporary_folder(_data: dict[str, Any]) -> Path:
    return Path(tempfile.gettempdir()) / "vlog-worker"


def shared_counts(data: dict[str, Any]) -> str:
    return redis_address(str(data.get("redis_url", "")), data["storage_path"]) or "memory://"


def api_processes(data: dict[str, Any]) -> int:
    """SQLite has one lock for all that write; PostgreSQL keeps two processes busy on two cores."""
    is_alone = str(data.get("database_url", "")).startswith("sqlite")
    return 1 if is_alone else min(2, os.cpu_count() or 1)


def redis_address(url: str, storage: Path) -> str:
    """`embedded` is the server that `flask vlog up` starts, on a socket that only this user may open."""
    return f"unix://{storage / EMBEDDED_SOCKET}" if url == EMBEDDED else url


def _split_csv(value: object) -> object:
    if isinstance(value, str):
        return tuple(part.strip() for part in value.split(",") if part.strip())
    return value


def _absolute(value: object) -> object:
    return Path(value).expanduser().absolute() if isinstance(value, str | Path) else value


def _sqlalchemy_url(value: object) -> object:
    """SQLAlchemy 2.1 takes a bare postgresql:// for psycopg 3, and refuses postgres://; people paste both."""
    if isinstance(value, str):
        for scheme in ("postgres://", "postgresql://"):
            if value.startswith(scheme):
                return "postgresql+psycopg2://" + value.removeprefix(scheme)
    return value


Csv = Annotated[tuple[str, ...], BeforeValidator(_split_csv)]
AbsolutePath = Annotated[Path, BeforeValidator(_absolute)]
DatabaseUrl = Annotated[str, BeforeValidator(_sqlalchemy_url)]
HardwareKind = Literal["auto", "nvidia", "intel", "none"]
QueueMode = Literal["database", "redis", "hybrid"]
Preset = Literal[
    "ultrafast", "superfast", "veryfast", "faster", "fast", "medium", "slow", "slower", "veryslow"
]


def parse_address(value: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    try:
        return ipaddress.ip_address("127.0.0.1" if value == "localhost" else value)
    except ValueError:
        raise ValueError(
            f'VLOG_BIND_ADDRESS is "{value}": it must be an IP address such as 127.0.0.1 or 0.0.0.0.'
        ) from None


def require_network(value: str) -> None:
    try:
        ipaddress.ip_network(value, strict=False)
    except ValueError:
        raise ValueError(
            f'VLOG_TRUSTED_PROXIES holds "{value}": each entry must be an IP address or a network, '
            "such as 10.0.0.0/8."
        ) from None


def require_redis(mode: str, url: str) -> None:
    if mode != "database" and not url:
        raise ValueError(
            f"VLOG_JOB_QUEUE_MODE is {mode}, which needs a Redis: set VLOG_REDIS_URL to its address or to "
            "embedded, or set VLOG_JOB_QUEUE_MODE to database."
        )
