"""What tests of one process share, and what they must not: each test has apps, engines and clients of its own."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any

import httpcore2
import pytest
from flask import Flask
from jinja2.bccache import Bucket, BytecodeCache
from sqlalchemy.dialects.postgresql.psycopg2 import PGDialect_psycopg2
from sqlalchemy.dialects.sqlite.pysqlite import SQLiteDialect_pysqlite

from vlog_app.blueprints.public import api, media
from vlog_app.extensions import db


class CompiledTemplates(BytecodeCache):
    """By the text of a template; what Jinja makes of it is half of the time that a page takes."""

    def __init__(self) -> None:
        self._code: dict[str, bytes] = {}

    def load_bytecode(self, bucket: Bucket) -> None:
        if code := self._code.get(bucket.key):
            bucket.bytecode_from_string(code)

    def dump_bytecode(self, bucket: Bucket) -> None:
        self._code[bucket.key] = bucket.bytecode_to_string()


TEMPLATES = CompiledTemplates()
#: What SQLAlchemy makes of a statement takes it longer than running it.
STATEMENTS: dict[Any, Any] = {}


def share(app: Flask) -> None:
    app.jinja_env.bytecode_cache = TEMPLATES
    with app.app_context():
        db.engine.update_execution_options(compiled_cache=STATEMENTS)


def forget() -> None:
    """What a process remembers of its films for two seconds: the next test may have another film of the same name."""
    media._gates.clear()
    api._progress.clear()


@pytest.fixture(scope="session", autouse=True)
def _once_a_process() -> Iterator[None]:
    """Statements are kept by dialect, of which each engine has its own, though all of a kind write the same. And each
    new HTTP client reads the list of authorities, for a fortieth of a second, to speak plain HTTP.
    """
    with pytest.MonkeyPatch.context() as patch:
        for dialect in (PGDialect_psycopg2, SQLiteDialect_pysqlite):
            patch.setattr(dialect, "__eq__", lambda self, other: _kind(self) == _kind(other))
            patch.setattr(dialect, "__hash__", lambda self: hash(_kind(self)))
        patch.setattr(httpcore2, "default_ssl_context", functools.cache(httpcore2.default_ssl_context))
        yield


def _kind(dialect: Any) -> tuple[type, str]:
    return type(dialect), getattr(dialect, "paramstyle", "")
