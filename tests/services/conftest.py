"""Real films for the tests that cut them to pieces."""

from __future__ import annotations

import pytest

from tests.contract.conftest import words_for_segments
from tests.hostile.clips import Clips

__all__ = ["words_for_segments"]


@pytest.fixture(scope="session")
def clips(ffmpeg_path: str, tmp_path_factory: pytest.TempPathFactory) -> Clips:
    return Clips(ffmpeg_path, tmp_path_factory.mktemp("clips"))
