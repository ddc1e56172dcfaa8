"""Real films for the tests that cut them to pieces, and a place to make more."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.hostile.clips import Clips
from tests.media.scene import Kitchen


@pytest.fixture(scope="session")
def clips(ffmpeg_path: str, tmp_path_factory: pytest.TempPathFactory) -> Clips:
    return Clips(ffmpeg_path, tmp_path_factory.mktemp("clips"))


@pytest.fixture(scope="session")
def kitchen(ffmpeg_path: str, tmp_path_factory: pytest.TempPathFactory) -> Kitchen:
    return Kitchen(ffmpeg_path, tmp_path_factory.mktemp("sources"))


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """Taken away at once: dozens of films would fill a small disk."""
    yield tmp_path / "out"
    shutil.rmtree(tmp_path / "out", ignore_errors=True)
