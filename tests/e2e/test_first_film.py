"""The first ten minutes of an owner and the first of a viewer, in a real browser on a real site."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from axe_playwright_python.sync_playwright import Axe

from tests.provision.site import Site, running_site

pytestmark = [pytest.mark.browser, pytest.mark.media, pytest.mark.timeout(600)]

FILM_S = 30
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
        self.page.keyboard.press("q")
        rows = self.page.locator("[role=menuitemradio]")
        rows.filter(has_text=name).filter(has_not_text="Auto").click()


def wait_until(condition: Callable[[], bool], within_s: float, describe: Callable[[], str] = str) -> None:
    end = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < end, f"waited {within_s:.0f} s: {describe()}"
        time.sleep(0.1)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with running_site(tmp_path_factory.mktemp("site") / "storage") as site:
        yield site


@pytest.fixture(scope="module")
def clip(ffmpeg_path: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """30 s of 1080p H.264 and AAC with grain, so that its encode takes a while."""
    path = tmp_path_factory.mktemp("clip") / "Harbour at dawn.mp4"
    picture = f"testsrc2=s=640x360:r=30:d={FILM_S},noise=alls=20:allf=t,scale=1920:1080"
    argv = [
        *(ffmpeg_path, "-nostdin", "-v", "error", "-f", "lavfi", "-i", picture),
        *("-f", "lavfi", "-i", f"sine=f=330:r=48000:d={FILM_S}"),
        *("-c:v", "libx264", "-preset", "ultrafast", "-g", "60", "-bf", "2", "-b:v", "12M", "-c:a", "aac"),
        *("-pix_fmt", "yuv420p", "-movflags", "+faststart", str(path)),
    ]
    subprocess.run(argv, check=True, timeout=180)
    return path


def test_a_film_goes_in_is_watched_while_it_encodes_and_again_when_it_is_ready(
    site: Site, browser: Any, clip: Path
) -> None:
    owner = Person(browser)
    sign_in(owner, site)
    slug = upload(owner, clip)
    viewer = Person(browser)
    watch_while_encoding(viewer, site, slug)
    see_the_grid_fill(owner)
    wait_until(lambda: progress(site, slug)["status"] == "ready", PATIENCE_S)
    owner.page.locator("#encoding[data-state=done]").wait_for(timeout=15_000)
    owner.check_page()
    watch_when_ready(Person(browser), site, slug)
    look_around(owner, site)


def sign_in(owner: Person, site: Site) -> None:
    owner.page.goto(f"{site.admin_url}/")
    assert "/login" in owner.page.url
    owner.check_page()
    owner.page.goto(site.login_link)
    owner.page.wait_for_url(f"{site.admin_url}/videos**")


def upload(owner: Person, clip: Path) -> str:
    """Send the clip through the page; ends on the video's own page."""
    owner.page.get_by_role("link", name="Upload").first.click()
    owner.page.locator("[data-files]").set_input_files(clip)
    row = owner.page.locator("[data-list] > li").first
    row.get_by_role("link", name="Open video").wait_for(timeout=60_000)
    owner.check_page()
    row.get_by_role("link", name="Open video").click()
    owner.page.locator("#grid-panel").wait_for()
    href = owner.page.get_by_role("link", name="Watch").get_attribute("href")
    assert href is not None
    return href.rsplit("/", 1)[1]


def watch_while_encoding(viewer: Person, site: Site, slug: str) -> None:
    wait_until(lambda: progress(site, slug)["status"] == "viewable", 60)
    viewer.page.goto(f"{site.public_url}/watch/{slug}")
    viewer.play()
    last = progress(site, slug)["segments"] - 1
    assert not is_ready(site, slug, last), "the clip is encoded too fast to seek ahead of it"
    viewer.page.keyboard.press("9")
    seen = viewer.wait(lambda seen: seen["time"] >= 0.9 * FILM_S - 1 and seen["state"] == "playing", 90)
    viewer.wait(lambda now: now["time"] > seen["time"] + 0.5 and now["frames"] > seen["frames"])
    viewer.check_page()


def see_the_grid_fill(owner: Person) -> None:
    """The owner's page, open all the while, has moved without a reload; what is done only grows."""
    done = owner.page.locator("#grid-panel table tbody td:nth-child(2)")
    counts = [sum(int(text) for text in done.all_inner_texts())]
    wait_until(
        lambda: counts.append(sum(int(t) for t in done.all_inner_texts())) or len(set(counts)) > 2, PATIENCE_S
    )
    assert counts == sorted(counts)


def watch_when_ready(viewer: Person, site: Site, slug: str) -> None:
    viewer.page.goto(f"{site.public_url}/watch/{slug}")
    viewer.play()
    for name, height in (("360p", 360), ("1080p", 1080)):
        viewer.choose_quality(name)
        viewer.wait(lambda seen, n=name, h=height: seen["level"] == n and seen["height"] == h)  # type: ignore[misc]
        seen = viewer.see()
        viewer.wait(lambda now, then=seen: now["frames"] > then["frames"] + 10)  # type: ignore[misc]
    viewer.check_page()


def look_around(owner: Person, site: Site) -> None:
    for url in (f"{site.admin_url}/videos", f"{site.admin_url}/upload", site.public_url):
        owner.page.goto(url)
        owner.check_page()


def progress(site: Site, slug: str) -> dict[str, Any]:
    answer: dict[str, Any] = httpx2.get(f"{site.public_url}/api/videos/{slug}/progress").json()
    return answer


def is_ready(site: Site, slug: str, segment: int) -> bool:
    rows = [row for row in progress(site, slug)["renditions"] if row["kind"] == "video"]
    return any(first <= segment < end for row in rows for first, end in row["ready"])
