"""The settings: one typed value read once from VLOG_* names; nothing else here reads the environment.

A remote worker reads them too, on a host that may have no Flask: it is imported only where an app is at hand.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import ValidationError, model_validator

from .secret_files import secret_key
from .setting_names import is_read, notice
from .setting_types import (
    HTTP_URL,
    RATE_LIMIT,
    local_admin,
    parse_address,
    redis_address,
    require_network,
    require_redis,
    shared_counts,
)
from .setting_words import SettingRow, allowed_text, display, extra_of, option, row
from .setting_work import WorkSettings

if TYPE_CHECKING:
    from flask import Flask

PREFIX = "VLOG_"
# Held by the Flask app so that a request, a command and a job all see the same value.
APP_KEY = "vlog.settings"


class SettingsError(Exception):
    """A setting is wrong; the text is one sentence for the person who set it."""


class Settings(WorkSettings):
    """Every setting this version reads; those of limits, live pages and the command line stand here. Field `x` is the
    environment variable `VLOG_X`.
    """

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
        "Where counts of requests are kept; empty is Redis where one is set, else the memory of the host.",
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
    from .connections import engine_options  # a remote worker has no SQLAlchemy

    app.extensions[APP_KEY] = value
    app.config.update(
        SQLALCHEMY_DATABASE_URI=value.database_url,
        SQLALCHEMY_ENGINE_OPTIONS=engine_options(value),
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
