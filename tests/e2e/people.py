"""Owners and viewers with a real browser, and what a site says of its films."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx2
from axe_playwright_python.sync_playwright import Axe

from tests.provision.site import Site

PATIENCE_S = 180.0
WATCH_CSP = (
    "window.refused = []; addEventListener('securitypolicyviolation', (e) => refused.push(e.blockedURI));"
)
STATE = """() => {
  const root = document.querySelector("[data-player]"), video = root.querySelector("video");
  return {state: root.dataset.state, level: root.dataset.level, time: video.currentTime, height: video.videoHeight,
    frames: video.getVideoPlaybackQuality().totalVideoFrames};
}"""


class Person:
    """Somebody with a browser; everything the browser complains about is kept."""

    def __init__(self, browser: Any, **context: Any) -> None:
        self.page = browser.new_context(**context).new_page()
        self.complaints: list[str] = []
        self.page.add_init_script(WATCH_CSP)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("console", self._heard)

    def _heard(self, line: Any) -> None:
        if line.type == "error":
            self.complaints.append(line.text)

    def check_page(self) -> None:
        """Nothing refused by the CSP, nothing in the console, nothing serious for axe."""
        assert self.page.evaluate("window.refused") == []
        assert self.complaints == []
        found = Axe().run(self.page).response["violations"]
        assert [v for v in found if v["impact"] in ("serious", "critical")] == [], self.page.url

    def see(self) -> dict[str, Any]:
        state: dict[str, Any] = self.page.evaluate(STATE)
        return state

    def wait(self, until: Callable[[dict[str, Any]], bool], within_s: float = 60) -> dict[str, Any]:
        wait_until(lambda: until(self.see()), within_s, lambda: f"{self.see()}, {self.complaints}")
        return self.see()

    def play(self) -> None:
        self.page.locator(".player-row [data-do=play]").click()
        self.wait(lambda seen: seen["state"] == "playing" and seen["frames"] > 10 and seen["time"] > 0.5)

    def choose_quality(self, name: str) -> None:
        """The row that says just this, whatever stands beside it."""
        self.page.keyboard.press("q")
        self.page.get_by_role("menuitemradio", name=re.compile(rf"^{re.escape(name)}(?!,)")).click()


def wait_until(condition: Callable[[], bool], within_s: float, describe: Callable[[], str] = str) -> None:
    end = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < end, f"waited {within_s:.0f} s: {describe()}"
        time.sleep(0.1)


def sign_in(owner: Person, site: Site) -> None:
    owner.page.goto(f"{site.admin_url}/")
    assert "/login" in owner.page.url
    owner.check_page()
    owner.page.goto(site.login_link)
    owner.page.wait_for_url(f"{site.admin_url}/videos**")


def upload(owner: Person, clip: Path) -> str:
    """Send the clip through the page; ends on the video's own page."""
    owner.page.get_by_role("link", name="Upload").first.click()
    owner.page.locator("[data-drop]").wait_for()  # its script listens
    owner.page.locator("[data-files]").set_input_files(clip)
    row = owner.page.locator("[data-list] > li").first
    row.get_by_role("link", name="Open video").wait_for(timeout=60_000)
    owner.check_page()
    row.get_by_role("link", name="Open video").click()
    owner.page.locator("#grid-panel").wait_for()
    href = owner.page.get_by_role("link", name="Watch").get_attribute("href")
    assert href is not None
    return href.rsplit("/", 1)[1]


def progress(site: Site, slug: str) -> dict[str, Any]:
    answer: dict[str, Any] = httpx2.get(f"{site.public_url}/api/videos/{slug}/progress").json()
    return answer


def is_ready(site: Site, slug: str, segment: int) -> bool:
    rows = [row for row in progress(site, slug)["renditions"] if row["kind"] == "video"]
    return any(first <= segment < end for row in rows for first, end in row["ready"])
