"""The first ten minutes of an owner and the first of a viewer, in a real browser on a real site."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.people import PATIENCE_S, Person, is_ready, progress, sign_in, upload, wait_until
from tests.provision.site import Site

pytestmark = [pytest.mark.browser, pytest.mark.media, pytest.mark.timeout(600)]

FILM_S = 30


@pytest.fixture(scope="module")
def clip(ffmpeg_path: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """30 s of 720p H.264 and AAC with grain, so that its encode takes a while."""
    path = tmp_path_factory.mktemp("clip") / "Harbour at dawn.mp4"
    picture = f"testsrc2=s=640x360:r=30:d={FILM_S},noise=alls=20:allf=t,scale=1280:720"
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
    for name, height in (("360p", 360), ("720p", 720)):
        viewer.choose_quality(name)
        viewer.wait(lambda seen, n=name, h=height: seen["level"] == n and seen["height"] == h)  # type: ignore[misc]
        seen = viewer.see()
        viewer.wait(lambda now, then=seen: now["frames"] > then["frames"] + 10)  # type: ignore[misc]
    viewer.check_page()


def look_around(owner: Person, site: Site) -> None:
    for url in (f"{site.admin_url}/videos", f"{site.admin_url}/upload", site.public_url):
        owner.page.goto(url)
        owner.check_page()
