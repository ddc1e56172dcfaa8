"""The only writer of files in this package: atomic writes, safe names, room on the disk, and the storage marker."""

from __future__ import annotations

import errno
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from jobs.durable import fsync_dir as fsync_dir
from jobs.durable import fsync_file as fsync_file

MARKER = ".vlog-storage"
OWNER_ONLY = 0o700
NO_HARD_LINKS = (errno.EPERM, errno.ENOTSUP, errno.EMLINK, errno.ENOSYS)
FULL_DISK = (errno.ENOSPC, errno.EDQUOT)


class StorageError(Exception):
    """`public_message` may be shown; `code` is stable for machines."""

    code = "storage_error"

    def __init__(self, public_message: str) -> None:
        super().__init__(public_message)
        self.public_message = public_message


class StorageMissing(StorageError):
    """The folder is there but empty while the database knows files: most likely a disk that is not mounted."""

    code = "storage_missing"


class StorageLow(StorageError):
    """Less room than needed. The numbers are bytes."""

    code = "storage_low"

    def __init__(self, public_message: str, *, needed_bytes: int = 0, free_bytes: int = 0) -> None:
        super().__init__(public_message)
        self.needed_bytes = needed_bytes
        self.free_bytes = free_bytes


def open_storage(root: Path, *, has_library: bool) -> str:
    """The id of the storage at `root`, which is made when this installation is new.

    Raises StorageMissing when the database already knows videos but the marker is gone: writing now would fill
    the disk under a mount point, and clearing up would take every video for lost.
    """
    marker = root / MARKER
    with suppress(FileNotFoundError):
        return marker.read_text(encoding="ascii").strip()
    if has_library:
        raise StorageMissing(
            "The storage folder is not the one this library was written to. Mount it, then try again. "
            "Nothing was changed."
        )
    root.mkdir(parents=True, exist_ok=True)
    write_atomic(marker, f"{secrets.token_hex(16)}\n".encode())
    return marker.read_text(encoding="ascii").strip()


def make_folder(path: Path) -> Path:
    """The folder, made when missing, parents too; safe to call at any time."""
    if not path.is_dir():
        path.mkdir(mode=OWNER_ONLY, parents=True, exist_ok=True)
        fsync_dir(path.parent)
    return path


def safe_join(root: Path, *parts: str) -> Path:
    """`root` and `parts` as one path; raises ValueError for anything that would leave `root`."""
    for part in parts:
        if not part or part in (".", "..") or "\0" in part or "/" in part or "\\" in part:
            raise ValueError("a name that is no plain file name")
    return root.joinpath(*parts)


def write_atomic(path: Path, data: bytes) -> None:
    """After this returns, `path` holds all of `data`, also after a power cut; before, it holds what it held."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}.tmp")
    try:
        with open(temporary, "xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    fsync_dir(path.parent)


def create_empty(path: Path) -> None:
    """A new empty file; raises FileExistsError when there is one."""
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600))
    fsync_dir(path.parent)


def add_name(source: Path, target: Path) -> bool:
    """`target` is the same file as `source`, or a copy of it where the file system knows no hard links. False: it was
    there already, or there is no `source`. The caller syncs the folder.
    """
    if target.exists() or not source.is_file():
        return False
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(source, target)
    except FileExistsError:
        return False  # somebody does the same work
    except OSError as error:
        if error.errno not in NO_HARD_LINKS:
            raise
        _copy(source, target)
    return True


def _copy(source: Path, target: Path) -> None:
    temporary = target.with_name(f".{target.name}.{secrets.token_hex(8)}.tmp")
    try:
        shutil.copyfile(source, temporary)
        fsync_file(temporary)
        os.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)


def place(source: Path, target: Path) -> None:
    """`target` becomes another name of `source`, which stays: the caller removes it once its rows are committed.

    A stale `target` is replaced: rows decide what exists. Where the file system knows no hard links it is moved.
    """
    target.unlink(missing_ok=True)
    try:
        os.link(source, target)
    except OSError as error:
        if error.errno not in NO_HARD_LINKS:
            raise
        os.rename(source, target)
    fsync_dir(target.parent)


def unplace(source: Path, target: Path) -> None:
    """Undo `place`: only `source` is left."""
    if source.exists():
        target.unlink(missing_ok=True)
    elif target.exists():
        os.rename(target, source)
    fsync_dir(target.parent)


def remove(path: Path) -> None:
    """The file is gone; safe to call twice."""
    path.unlink(missing_ok=True)
    with suppress(FileNotFoundError):
        fsync_dir(path.parent)


def free_bytes(path: Path) -> int:
    """Room for us on the disk that holds `path` (root's reserve not counted)."""
    facts = os.statvfs(path)
    return facts.f_bavail * facts.f_frsize


@contextmanager
def full_disk_is_low(message: str) -> Iterator[None]:
    """Turns "no space left" of the operating system into StorageLow; other errors pass."""
    try:
        yield
    except OSError as error:
        if error.errno in FULL_DISK:
            raise StorageLow(message) from error
        raise
