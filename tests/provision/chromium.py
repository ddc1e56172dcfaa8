"""The Chromium that the browser tests drive: named, on PATH, or the one Playwright keeps."""

import os
import shutil
import subprocess
from pathlib import Path

NAMES = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome")


def find_chromium() -> str | None:
    if named := os.environ.get("VLOG_CHROMIUM"):
        return named if Path(named).exists() else None
    on_path = (shutil.which(name) for name in NAMES)
    return next((path for path in on_path if path and not _is_snap_stub(path)), None) or _kept_by_playwright()


def driver_runs() -> bool:
    """Playwright's own program needs a library that a bare Debian lacks."""
    from playwright._impl._driver import compute_driver_executable

    try:
        return (
            subprocess.run([compute_driver_executable()[0], "--version"], capture_output=True).returncode == 0
        )
    except OSError:
        return False


def _is_snap_stub(path: str) -> bool:
    """Ubuntu's package is a script that asks for a snap, which a test cannot drive."""
    with Path(path).open("rb") as file:
        head = file.read(2048)
    return head.startswith(b"#!") and b"snap" in head


def _kept_by_playwright() -> str | None:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        path = playwright.chromium.executable_path
    return path if Path(path).exists() else None
