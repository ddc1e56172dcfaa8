"""Language codes of containers as tags of playlists."""

from __future__ import annotations

import pytest

from encoder.languages import language_tag


@pytest.mark.parametrize(
    ("code", "tag"),
    [
        *[("eng", "en"), ("ger", "de"), ("deu", "de"), ("ENG", "en"), ("en", "en"), ("gsw", "gsw")],
        *[("und", None), (None, None), ("", None), ("english", None), ('e"n', None), ("x1", None)],
    ],
)
def test_the_shortest_known_form_is_used_and_what_is_no_code_is_dropped(
    code: str | None, tag: str | None
) -> None:
    assert language_tag(code) == tag
