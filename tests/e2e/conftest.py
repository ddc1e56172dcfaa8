"""A site for the people of one file; a file with other wishes makes its own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.provision.site import Site, running_site


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with running_site(tmp_path_factory.mktemp("site") / "storage") as site:
        yield site
