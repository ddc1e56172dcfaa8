"""Counts of requests that the processes of one surface share without a Redis: in a small SQLite file in memory."""

from __future__ import annotations

import hashlib
import logging
import os
import sqlite3
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from limits.storage import MemoryStorage, Storage

logger = logging.getLogger(__name__)

T = TypeVar("T")

SCHEME = "host"
MEMORY_FOLDER = Path("/dev/shm")  # noqa: S108  (the file is opened as ours, or not at all)
CLEAN_EVERY = 1000  # counts, until those that are over are thrown away
BUSY_S = 1.0

MAKE = "CREATE TABLE IF NOT EXISTS counts (key TEXT PRIMARY KEY, count INTEGER, ends REAL) WITHOUT ROWID"
COUNT = """INSERT INTO counts VALUES (:key, :amount, :ends) ON CONFLICT (key) DO UPDATE SET
           count = CASE WHEN ends > :now THEN count ELSE 0 END + :amount,
           ends = CASE WHEN ends > :now THEN ends ELSE :ends END RETURNING count"""
READ = "SELECT count, ends FROM counts WHERE key = :key AND ends > :now"


def file_for(storage_path: Path) -> Path:
    """One for each installation and user of this host."""
    folder = MEMORY_FOLDER if os.access(MEMORY_FOLDER, os.W_OK) else Path(tempfile.gettempdir())
    name = hashlib.sha256(str(storage_path).encode()).hexdigest()[:16]
    return folder / f"vlog-{os.geteuid()}-{name}.counts"


class HostCounts(Storage):
    """Where the file cannot be used, each process counts for itself."""

    STORAGE_SCHEME = [SCHEME]

    def __init__(self, uri: str | None = None, wrap_exceptions: bool = False, **options: Any) -> None:
        super().__init__(uri, wrap_exceptions)
        self._lock = threading.Lock()
        self._counted = 0
        self._own = MemoryStorage()
        self._path = Path(options["path"])
        self._file: sqlite3.Connection | None = None
        self._is_usable = True

    @property
    def base_exceptions(self) -> tuple[type[Exception], ...]:
        return ()

    def incr(self, key: str, expiry: int, amount: int = 1) -> int:
        now = time.time()
        values = {"key": key, "amount": amount, "now": now, "ends": now + expiry}

        def count(file: sqlite3.Connection) -> int:
            self._clean(file, now)
            return int(file.execute(COUNT, values).fetchall()[0][0])

        return self._ask(count, lambda: self._own.incr(key, expiry, amount=amount))

    def get(self, key: str) -> int:
        return self._ask(lambda file: int(_read(file, key)[0]), lambda: self._own.get(key))

    def get_expiry(self, key: str) -> float:
        return self._ask(lambda file: _read(file, key)[1], lambda: self._own.get_expiry(key))

    def clear(self, key: str) -> None:
        self._ask(lambda file: _forget(file, key), lambda: self._own.clear(key))

    def check(self) -> bool:
        return True

    def reset(self) -> int | None:
        def forget_all(file: sqlite3.Connection) -> int | None:
            return file.execute("DELETE FROM counts").rowcount

        return self._ask(forget_all, self._own.reset)

    def _clean(self, file: sqlite3.Connection, now: float) -> None:
        self._counted += 1
        if self._counted % CLEAN_EVERY == 0:
            file.execute("DELETE FROM counts WHERE ends <= ?", (now,))

    def _ask(self, shared: Callable[[sqlite3.Connection], T], own: Callable[[], T]) -> T:
        with self._lock:
            if self._is_usable:
                try:
                    self._file = self._file or _opened(self._path)
                    return shared(self._file)
                except (OSError, sqlite3.Error) as error:
                    self._is_usable = False
                    logger.warning("each process counts requests for itself: %s", error)
        return own()


def _read(file: sqlite3.Connection, key: str) -> tuple[int, float]:
    now = time.time()
    found: tuple[int, float] | None = file.execute(READ, {"key": key, "now": now}).fetchone()
    return found or (0, now)


def _forget(file: sqlite3.Connection, key: str) -> None:
    file.execute("DELETE FROM counts WHERE key = ?", (key,))


def _opened(path: Path) -> sqlite3.Connection:
    _make_ours(path)
    file = sqlite3.connect(path, timeout=BUSY_S, isolation_level=None, check_same_thread=False)
    for statement in ("PRAGMA journal_mode=WAL", "PRAGMA synchronous=OFF", MAKE):
        file.execute(statement)
    return file


def _make_ours(path: Path) -> None:
    """The folder is everybody's: what somebody else has put there is not touched."""
    number = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        if os.fstat(number).st_uid != os.geteuid():
            raise PermissionError(f"{path.name} is somebody else's")
    finally:
        os.close(number)
