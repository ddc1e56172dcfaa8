"""Statements of busy paths: SQLAlchemy writes the SQL once, the driver runs it, and PostgreSQL plans it once for each
connection.

For every execution SQLAlchemy spends three times what the driver does, and PostgreSQL reads and plans the text anew,
which takes it longer than running it. Where a worker calls twice a second that is most of what a call costs.
"""

from __future__ import annotations

import itertools
import time
from collections import namedtuple
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Any

from sqlalchemy import BindParameter, Connection, Dialect, Insert, Select, Update
from sqlalchemy.exc import DBAPIError
from sqlalchemy.sql.visitors import cloned_traverse

from .connections import MAY_PREPARE

PREPARED = "vlog.prepared"  # names of what a connection has prepared -> when
PLAN_FITS_S = (
    60.0  # a plan is for tables as they are: a queue that was empty has ten thousand jobs a minute later
)
_numbers = itertools.count(1)

Clause = Select[*tuple[Any, ...]] | Insert | Update
Convert = Callable[[Any], Any]


class Statement:
    """Made at the top of a module. The clause names what differs with `bindparam`, none of them expanding, and writes
    every column that has a default in its model: those are not looked at. A row has the names of its columns.
    """

    def __init__(self, clause: Clause) -> None:
        self._clause = cloned_traverse(clause, {}, {"bindparam": _write_out})
        self._name = f"vlog_{next(_numbers)}"
        self._made: dict[str, _Made] = {}  # by the name of the dialect

    def rows(self, connection: Connection, **values: Any) -> list[Any]:
        made = self._for(connection.dialect)
        found, _written = self._ask(connection, made, values)
        return [made.row(each) for each in found]

    def first(self, connection: Connection, **values: Any) -> Any:
        """None: there is no row."""
        return next(iter(self.rows(connection, **values)), None)

    def scalar(self, connection: Connection, **values: Any) -> Any:
        """The first column of the first row."""
        row = self.first(connection, **values)
        return None if row is None else row[0]

    def written(self, connection: Connection, **values: Any) -> int:
        """How many rows it has written."""
        return self._ask(connection, self._for(connection.dialect), values)[1]

    def _for(self, dialect: Dialect) -> _Made:
        made = self._made.get(dialect.name)
        if made is None:
            made = self._made[dialect.name] = _make(self._clause, dialect, self._name)
        return made

    def _ask(self, connection: Connection, made: _Made, values: dict[str, Any]) -> tuple[Sequence[Any], int]:
        """(rows, how many were written)"""
        told, info = made.told(values), connection.connection.info
        with _cursor(connection, made.text) as cursor:
            if made.prepare and info[MAY_PREPARE]:
                self._prepare(info, cursor, made.prepare)
                cursor.execute(made.execute, told)
            else:
                cursor.execute(made.text, made.named(told))
            return (cursor.fetchall() if cursor.description else ()), cursor.rowcount

    def _prepare(self, info: dict[str, Any], cursor: Any, text: str) -> None:
        prepared: dict[str, float] = info.setdefault(PREPARED, {})
        known_since, now = prepared.get(self._name), time.monotonic()
        if known_since is None or now - known_since > PLAN_FITS_S:
            cursor.execute(text if known_since is None else f"DEALLOCATE {self._name}; {text}")
            prepared[self._name] = now  # it outlives a transaction that is rolled back


@dataclass(frozen=True, slots=True)
class _Made:
    """A statement for one kind of database; `names`, `binds` in the order of their places. `prepare` is empty for
    SQLite, whose driver keeps what it has read.
    """

    text: str
    names: tuple[str, ...]
    fixed: dict[str, Any]
    binds: tuple[Convert | None, ...]
    results: tuple[Convert | None, ...]
    row_type: Any
    prepare: str
    execute: str

    def told(self, values: dict[str, Any]) -> list[Any]:
        if self.fixed:
            values = self.fixed | values
        return [
            values[name] if convert is None else convert(values[name])
            for name, convert in zip(self.names, self.binds, strict=True)
        ]

    def named(self, told: list[Any]) -> list[Any] | dict[str, Any]:
        """As the driver wants them beside `text`."""
        return dict(zip(self.names, told, strict=True)) if self.prepare else told

    def row(self, found: Sequence[Any]) -> Any:
        pairs = zip(found, self.results, strict=True)
        return self.row_type._make([value if convert is None else convert(value) for value, convert in pairs])


def run(connection: Connection, text: str) -> None:
    """A word to the driver, like BEGIN."""
    with _cursor(connection, text) as cursor:
        cursor.execute(text)


@contextmanager
def _cursor(connection: Connection, text: str) -> Iterator[Any]:
    """Raises what SQLAlchemy would. A server that has gone has dropped all other connections as well."""
    dialect, link = connection.dialect, connection.connection
    base = dialect.loaded_dbapi.Error
    try:
        with closing(link.cursor()) as cursor:
            yield cursor
    except base as error:
        is_lost = dialect.is_disconnect(error, link.dbapi_connection, None)
        if is_lost:
            connection.invalidate(error)
            connection.engine.dispose()
        raise DBAPIError.instance(
            text, None, error, base, connection_invalidated=is_lost, dialect=dialect
        ) from error


def _write_out(bind: BindParameter[Any]) -> None:
    """What never differs is part of the text: PostgreSQL has no good plan for "some state"."""
    bind.literal_execute = not bind.required
    bind.required = False


def _make(clause: Clause, dialect: Dialect, name: str) -> _Made:
    keeps_plans = dialect.name == "sqlite"
    same: Any = type(dialect)
    compiled = _compiled(clause, dialect if keeps_plans else same(paramstyle="numeric_dollar"))
    names = tuple(compiled.positiontup)
    types = [compiled.binds[each].type for each in names]
    columns = list(clause.exported_columns)
    places = f"({', '.join(['%s'] * len(names))})" if names else ""
    return _Made(
        text=_compiled(clause, dialect).string,
        names=names,
        fixed={name: value for name, value in compiled.params.items() if value is not None},
        binds=tuple(each.dialect_impl(dialect).bind_processor(dialect) for each in types),
        results=tuple(each.type.dialect_impl(dialect).result_processor(dialect, None) for each in columns),
        row_type=namedtuple("Row", [str(each.key) for each in columns], rename=True),
        prepare="" if keeps_plans else f"PREPARE {name} AS {compiled.string}",
        execute=f"EXECUTE {name}{places}",
    )


def _compiled(clause: Clause, dialect: Dialect) -> Any:
    return clause.compile(dialect=dialect, compile_kwargs={"render_postcompile": True})
