"""The settings: one typed value read once from VLOG_* names; nothing else here reads the environment.

A remote worker reads them too, on a host that may have no Flask: it is imported only where an app is at hand.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from .secret_files import secret_key
from .setting_names import is_read, notice
from .setting_types import (
    FOLDER_NAME,
    HTTP_URL,
    RATE_LIMIT,
    AbsolutePath,
    Csv,
    DatabaseUrl,
    HardwareKind,
    Preset,
    QueueMode,
    embedded_database,
    local_admin,
    local_worker_api,
    parse_address,
    redis_address,
    require_network,
    require_redis,
    shared_counts,
    temporary_folder,
)
from .setting_words import SettingRow, allowed_text, display, extra_of, option, row

if TYPE_CHECKING:
    from flask import Flask

PREFIX = "VLOG_"
# Held by the Flask app so that a request, a command and a job all see the same value.
APP_KEY = "vlog.settings"


class SettingsError(Exception):
    """A setting is wrong; the text is one sentence for the person who set it."""


class Settings(BaseModel):
    """Every setting this version reads. Field `x` is the environment variable `VLOG_X`."""

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

    ffmpeg: str = option(
        "", "The ffmpeg to use; empty looks on PATH, then takes the bundled one.", allowed="path of a program"
    )
    x264_preset: Preset = option("veryfast", "How much time x264 spends on each frame.")
    hwaccel_type: HardwareKind = option(
        "auto", "Which GPUs are looked for: any, NVIDIA's, those with VAAPI (Intel, AMD), or none."
    )
    hwaccel_vaapi_device: str = option(
        "",
        "The render node to use; empty tries each.",
        allowed="a path such as /dev/dri/renderD128",
        pattern=r"^(/dev/dri/renderD\d+)?$",
    )
    hwaccel_max_sessions: int = option(
        0, "How many encoders one GPU may run at once; 0 asks its driver.", ge=0, le=100
    )
    parallel_qualities_auto: bool = option(
        True,
        "How many rungs one ffmpeg makes is left to the device: a CPU all with one decode, a GPU up to three, "
        "one fewer than it has sessions.",
    )
    parallel_qualities: int = option(
        1,
        "Rungs that one ffmpeg makes when it is not left to the device; each group decodes once.",
        ge=1,
        le=6,
    )
    streaming_format: Literal["hls_ts", "cmaf"] = option(
        "hls_ts",
        "Container of H.264 films: MPEG-TS, or CMAF (fragmented MP4, with a DASH manifest beside HLS).",
    )
    hwaccel_preferred_codec: Literal["h264", "hevc", "av1"] = option(
        "h264", "Codec of films. HEVC and AV1 always come as CMAF, and need fewer bytes for the same picture."
    )
    h264_fallback: bool = option(
        True, "With HEVC or AV1: a second ladder in H.264, for players that do not have the newer codec."
    )
    hls_segment_duration: int = option(6, "Length of a segment.", unit="seconds", ge=1, le=60)
    split_seconds: int = option(
        60,
        "Length of the pieces a long video is cut into for several workers; 0 is never.",
        unit="seconds",
        ge=0,
    )
    ffmpeg_timeout_base_multiplier: float = option(
        2.0, "Longest run of ffmpeg as a multiple of the length it encodes.", ge=0.1
    )
    ffmpeg_timeout_minimum: int = option(
        300, "No run of ffmpeg is ended sooner than this.", unit="seconds", ge=1
    )
    ffmpeg_timeout_maximum: int = option(
        14400, "No run of ffmpeg lasts longer than this.", unit="seconds", ge=60
    )
    no_progress_timeout: int = option(
        90, "ffmpeg is ended after this long without output.", unit="seconds", ge=5
    )

    max_retry_attempts: int = option(
        3, "Attempts before a job fails for good; lost leases count.", ge=1, le=100
    )
    retry_backoff_base: int = option(
        60, "First wait before a retry; doubles each time.", unit="seconds", ge=0
    )
    worker_claim_duration: float = option(
        2, "How long a lease lasts when nothing renews it.", unit="minutes", gt=0, le=1440
    )
    quarantine_after: int = option(
        3, "Videos a worker may fail on in a row before it is paused.", ge=1, le=100
    )
    gpu_head_start: float = option(
        5,
        "How long a worker without a GPU leaves a piece of a film to an idle GPU; 0 is not at all.",
        unit="seconds",
        ge=0,
        le=3600,
    )
    worker_encode_slots: int = option(
        1,
        "Pieces of films one worker encodes at once; more than 1 pays on a GPU or on many cores.",
        ge=1,
        le=16,
    )
    worker_heartbeat_interval: float = option(30, "Time between renewals of a lease.", unit="seconds", gt=0)
    worker_poll_interval: float = option(10, "Longest wait between two looks for work.", unit="seconds", gt=0)
    worker_offline_threshold: float = option(
        5, "A worker that is silent this long is shown as offline.", unit="minutes", gt=0, le=1440
    )
    worker_api_url: str = option(
        local_worker_api,
        "Worker API that remote workers and the command line talk to.",
        shown="http://localhost:9002",
        allowed="an http or https address",
        pattern=HTTP_URL,
    )
    worker_api_key: str | None = option(
        None,
        "Key of a remote worker, as shown when it was registered.",
        allowed="a key that begins with vlw_",
        shown="empty",
        secret=True,
    )
    worker_work_dir: AbsolutePath = option(
        temporary_folder,
        "Scratch of a remote worker: sources and segments that are not handed in yet.",
        allowed="a folder",
        shown="vlog-worker in the temporary folder",
    )
    worker_cache_size: int = option(
        20 * 1024**3,
        "Sources a remote worker keeps for its next job while they take no more than this.",
        unit="bytes",
        ge=0,
    )
    worker_health_port: int = option(
        0, "Port on loopback where a remote worker says how it is; 0 is none.", ge=0, le=65535
    )
    max_hls_single_file_size: int = option(
        500 * 1024**2, "Largest file that a worker may hand in.", unit="bytes", ge=1
    )
    max_thumbnail_size: int = option(10 * 1024**2, "Largest picture that is taken in.", unit="bytes", ge=1)
    stale_job_check_interval: int = option(
        60, "Time between sweeps for lost leases and forgotten uploads.", unit="seconds", ge=1
    )

    job_queue_mode: QueueMode = option(
        "database",
        "How workers hear of work: by looking into the database; by Redis; or by Redis with the database as a "
        "fallback.",
    )
    redis_url: str = option(
        "",
        "Redis for messages, live pages and shared limits; empty is off, embedded starts the bundled server.",
        allowed="a redis://, rediss:// or unix:// address, or embedded",
        pattern=r"^$|^embedded$|^rediss?://.|^unix://.",
    )
    redis_pool_size: int = option(10, "Connections to Redis per process.", ge=1, le=1000)
    redis_socket_timeout: float = option(
        0.5, "Longest wait for an answer of Redis.", unit="seconds", gt=0, le=60
    )
    redis_socket_connect_timeout: float = option(
        0.5, "Longest wait for a connection to Redis.", unit="seconds", gt=0, le=60
    )
    redis_health_check_interval: float = option(
        30, "A connection that was idle this long is tested before it is used.", unit="seconds", gt=0
    )
    redis_pubsub_prefix: str = option(
        "vlog", "First part of the name of the channel for live pages.", allowed="a name", pattern=FOLDER_NAME
    )

    rate_limit_enabled: bool = option(True, "Limits on requests on or off.")
    rate_limit_public_default: str = option(
        "100/minute", "Requests of one visitor to a page.", pattern=RATE_LIMIT
    )
    rate_limit_admin_default: str = option(
        "200/minute", "Requests of one address to the admin.", pattern=RATE_LIMIT
    )
    rate_limit_admin_upload: str = option(
        "600/hour", "Uploads begun by one address; the pieces of a file do not count.", pattern=RATE_LIMIT
    )
    rate_limit_worker_default: str = option(
        "300/minute", "Calls of one worker to the worker API.", pattern=RATE_LIMIT
    )
    rate_limit_worker_register: str = option(
        "5/hour", "Registrations and revocations of one address that may be refused.", pattern=RATE_LIMIT
    )
    rate_limit_worker_progress: str = option(
        "600/minute", "Signs of life and of progress of one worker.", pattern=RATE_LIMIT
    )
    rate_limit_storage_url: str = option(
        shared_counts,
        "Where counts of requests are kept; empty is Redis where one is set, else each process's memory.",
        allowed="memory:// or a redis:// address",
        shown="empty",
        pattern=r"^memory://|^rediss?://|^(redis\+)?unix://",
    )

    storage_check_timeout: float = option(
        2, "A storage that does not answer this long is called unhealthy.", unit="seconds", gt=0
    )
    sse_heartbeat_interval: float = option(
        30, "Time between signs of life on a live stream.", unit="seconds", gt=0
    )
    sse_reconnect_timeout_ms: int = option(
        3000, "How long a browser waits to take a broken live stream up again.", unit="milliseconds", ge=100
    )

    admin_api_url: str = option(
        local_admin,
        "Admin site the command line talks to.",
        shown="http://localhost:9001",
        allowed="an http or https address",
        pattern=HTTP_URL,
    )
    api_timeout: float = option(30, "Longest wait of the command line for an answer.", unit="seconds", gt=0)
    upload_timeout: float = option(
        7200, "Longest time the command line spends on one upload.", unit="seconds", gt=0
    )

    @model_validator(mode="after")
    def _check_addresses(self) -> "Settings":
        for proxy in self.trusted_proxies:
            require_network(proxy)
        if not self.is_loopback and self.admin_api_secret == "":
            raise ValueError(
                f"VLOG_ADMIN_API_SECRET is set to nothing, which is allowed only while VLOG_BIND_ADDRESS "
                f"is a loopback address; it is {self.bind_address}: set a secret, or bind to 127.0.0.1."
            )
        require_redis(self.job_queue_mode, self.redis_url)
        ports = {self.public_port, self.admin_port, self.worker_api_port}
        if len(ports) < 3:
            raise ValueError(
                "VLOG_PUBLIC_PORT, VLOG_ADMIN_PORT and VLOG_WORKER_API_PORT must be three different ports; "
                f"they are {self.public_port}, {self.admin_port} and {self.worker_api_port}."
            )
        return self

    @property
    def is_loopback(self) -> bool:
        return parse_address(self.bind_address).is_loopback

    @property
    def uses_sqlite(self) -> bool:
        return self.database_url.startswith("sqlite")

    @property
    def videos_dir(self) -> Path:
        return self.storage_path / self.videos_subdir

    @property
    def uploads_dir(self) -> Path:
        return self.storage_path / self.uploads_subdir

    @property
    def incoming_dir(self) -> Path:
        """Uploads still arriving; on the file system of their end, so that a rename finishes them."""
        return self.uploads_dir / ".incoming"

    @property
    def work_dir(self) -> Path:
        """Scratch of running jobs; on the file system of the videos, so that a rename publishes."""
        return self.storage_path / ".work"

    @property
    def uses_rq(self) -> bool:
        return self.job_queue_mode != "database"

    @property
    def redis_address(self) -> str:
        """Empty without Redis."""
        return redis_address(self.redis_url, self.storage_path)

    @property
    def lease_s(self) -> float:
        return self.worker_claim_duration * 60

    @property
    def ports(self) -> dict[str, int]:
        return {"public": self.public_port, "admin": self.admin_port, "worker_api": self.worker_api_port}

    def describe(self) -> list[SettingRow]:
        """One row per setting, in the order of this file; secrets masked."""
        return [
            row(variable_name(name), field, getattr(self, name))
            for name, field in type(self).model_fields.items()
        ]


def settings() -> Settings:
    """The settings of the current app."""
    from flask import current_app  # here, so that a remote worker can read its settings without Flask

    value: Settings = current_app.extensions[APP_KEY]
    return value


def init_app(app: "Flask", value: Settings) -> None:
    """Binds the settings, and sets what Flask and its extensions read from `app.config`."""
    app.extensions[APP_KEY] = value
    app.config.update(
        SQLALCHEMY_DATABASE_URI=value.database_url,
        SQLALCHEMY_ENGINE_OPTIONS={"pool_pre_ping": not value.uses_sqlite},
        RATELIMIT_ENABLED=value.rate_limit_enabled,
        TRUSTED_HOSTS=list(value.trusted_hosts) or None,
    )
    if app.config.get("VLOG_SURFACE") != "cli":  # a command signs nothing, and must run on a broken storage
        app.config["SECRET_KEY"] = _signing_key(value)


def _signing_key(value: Settings) -> str:
    try:
        return secret_key(value.storage_path)
    except OSError as error:
        raise SettingsError(
            f'VLOG_STORAGE_PATH is "{value.storage_path}": it must be a folder that this user can write '
            f"({error.strerror})."
        ) from None


def load_settings(environ: Mapping[str, str] | None = None, **chosen: str | None) -> Settings:
    """Reads the environment (or `environ`); raises SettingsError with one sentence when a value is wrong. `chosen`:
    what a command line says instead, unless it is None.
    """
    source = os.environ if environ is None else environ
    given = {name: value for name, value in chosen.items() if value is not None}
    try:
        return Settings.model_validate(_known_values(source) | given)
    except ValidationError as error:
        raise SettingsError(_sentence(error)) from None


def notices(environ: Mapping[str, str] | None = None) -> list[str]:
    """One sentence for each VLOG_* name that is set and not read."""
    source = os.environ if environ is None else environ
    known = known_variables()
    names = [name for name in sorted(source) if name.startswith(PREFIX) and not is_read(name, known)]
    return [notice(name, known) for name in names]


def _known_values(environ: Mapping[str, str]) -> dict[str, str]:
    values: dict[str, str] = {}
    for name in Settings.model_fields:
        variable = variable_name(name)
        if path := environ.get(f"{variable}_FILE"):
            values[name] = _read_secret(f"{variable}_FILE", path)
        # An empty value is how environment files say "default"; only an empty admin secret means something.
        elif environ.get(variable) or (variable in environ and name == "admin_api_secret"):
            values[name] = environ[variable]
    return values


def _read_secret(variable: str, path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        raise SettingsError(
            f'{variable} is "{path}": it must be a text file that this user can read.'
        ) from None


def variable_name(field_name: str) -> str:
    return PREFIX + field_name.upper()


def known_variables() -> tuple[str, ...]:
    return tuple(variable_name(name) for name in Settings.model_fields)


def _sentence(error: ValidationError) -> str:
    first = error.errors()[0]
    if not first["loc"]:
        return str(first["msg"]).removeprefix("Value error, ")
    name = str(first["loc"][0])
    field = Settings.model_fields[name]
    value = "set to something" if extra_of(field)["secret"] else f'"{display(first["input"])}"'
    return f"{variable_name(name)} is {value}: it must be {allowed_text(field)}."
