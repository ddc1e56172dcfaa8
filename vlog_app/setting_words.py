"""What a person reads about a setting: the words for its unit, its limits and its value."""

import re
from dataclasses import dataclass
from typing import Any, Literal, get_args, get_origin

from pydantic import Field
from pydantic.fields import FieldInfo

URL_PASSWORD = re.compile(r"(://[^:/@]*:)[^@/]+@")


@dataclass(frozen=True, slots=True)
class SettingRow:
    """One line of `flask vlog settings` and of docs/settings.md."""

    name: str
    value: str
    default: str
    allowed: str
    meaning: str
    secret: bool


def option(
    default: Any,
    meaning: str,
    *,
    unit: str = "",
    allowed: str = "",
    shown: str | None = None,
    secret: bool = False,
    **limits: Any,
) -> Any:
    """A setting with what a person needs to know about it; `limits` are pydantic's (ge, le, pattern)."""
    extra: dict[str, Any] = {"unit": unit, "allowed": allowed, "shown": shown, "secret": secret}
    key = "default_factory" if callable(default) else "default"
    return Field(**{key: default}, description=meaning, json_schema_extra=extra, repr=not secret, **limits)


def extra_of(field: FieldInfo) -> dict[str, Any]:
    extra = field.json_schema_extra
    return dict(extra) if isinstance(extra, dict) else {}


def allowed_text(field: FieldInfo) -> str:
    """What may be written for a setting, in words that follow "it must be"."""
    extra = extra_of(field)
    if extra["allowed"]:
        return str(extra["allowed"])
    if get_origin(field.annotation) is Literal:
        return "one of " + ", ".join(str(choice) for choice in get_args(field.annotation))
    if field.annotation in (int, float):
        return _number_text(field, str(extra["unit"]))
    if field.annotation is str:
        return "a limit such as 100/minute"
    return "true or false"


def _number_text(field: FieldInfo, unit: str) -> str:
    noun = "a whole number" if field.annotation is int else "a number"
    bounds = {
        key: getattr(item, key) for item in field.metadata for key in ("ge", "gt", "le") if hasattr(item, key)
    }
    words = f"{noun} of {unit}" if unit else noun
    if "ge" in bounds and "le" in bounds:
        return f"{words} from {bounds['ge']} to {bounds['le']}"
    if "gt" in bounds:
        upper = f" and at most {bounds['le']}" if "le" in bounds else ""
        return f"{words} above {bounds['gt']}{upper}"
    return f"{words}, {bounds['ge']} or more"


def row(variable: str, field: FieldInfo, value: object) -> SettingRow:
    extra = extra_of(field)
    default = str(extra["shown"]) if extra["shown"] is not None else display(field.default)
    return SettingRow(
        name=variable,
        value="(hidden)" if extra["secret"] and value else display(value),
        default=default,
        allowed=allowed_text(field),
        meaning=str(field.description),
        secret=bool(extra["secret"]),
    )


def display(value: object) -> str:
    if value is None or value == "" or value == ():
        return "empty"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return ",".join(value)
    return URL_PASSWORD.sub(r"\1***@", str(value))
