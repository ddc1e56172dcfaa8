"""Vendored front-end files are what their list says, and the list says all of them."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

STATIC = Path(__file__).parents[2] / "vlog_app" / "static"
ROW = re.compile(r"^\| (\S+)[^|]* \| [^|]+ \| [^|]+ \| [^|]+ \| `([0-9a-f]{64})` \|$", re.MULTILINE)


def listed() -> dict[str, str]:
    return dict(ROW.findall((STATIC / "vendor" / "README.md").read_text(encoding="utf-8")))


def test_every_listed_file_has_its_hash() -> None:
    assert len(listed()) >= 6
    for name, sha256 in listed().items():
        data = (STATIC / "vendor" / name).resolve().read_bytes()
        assert hashlib.sha256(data).hexdigest() == sha256, name


def test_every_vendored_script_and_font_is_listed() -> None:
    scripts = {path.name for path in (STATIC / "vendor").glob("*.js")}
    fonts = {f"../fonts/{path.name}" for path in (STATIC / "fonts").glob("*.woff2")}
    assert scripts | fonts <= set(listed())


def test_the_style_sheet_stays_small() -> None:
    import gzip

    assert len(gzip.compress((STATIC / "css" / "vlog.css").read_bytes())) < 30_000


def test_every_icon_a_page_asks_for_is_in_the_sprite() -> None:
    sprite = set(re.findall(r'<symbol id="([\w-]+)"', (STATIC / "icons.svg").read_text(encoding="utf-8")))
    templates = (STATIC.parent / "templates").rglob("*.html")
    asked = {
        name
        for path in templates
        for name in re.findall(r"""\bicon\(["']([\w-]+)["']""", path.read_text("utf-8"))
    }
    assert asked and asked <= sprite, asked - sprite
