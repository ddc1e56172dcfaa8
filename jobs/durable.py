"""What is on the disk for good."""

from __future__ import annotations

import os
from pathlib import Path


def fsync_file(path: Path) -> None:
    """The bytes of a finished file survive a power cut."""
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def fsync_dir(folder: Path) -> None:
    """Names made or removed in `folder` survive a power cut."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
