"""Films in CMAF and in newer codecs, watched in a real browser while they encode and when they are ready."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.e2e.people import PATIENCE_S, Person, progress, wait_until
from tests.provision.site import Site, running_site

pytestmark = [pytest.mark.browser, pytest.mark.media, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """AV1 with H.264 beside it, in short segments."""
    settings = {"hwaccel_preferred_codec": "av1", "hls_segment_duration": "2", "x264_preset": "ultrafast"}
    with running_site(tmp_path_factory.mktemp("site") / "storage", **settings) as site:
        yield site


@pytest.fixture(scope="module")
def clip(ffmpeg_path: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("clip") / "Tide.mp4"
    argv = [
        *(ffmpeg_path, "-nostdin", "-v", "error", "-f", "lavfi", "-i", "testsrc2=s=854x480:r=30:d=12"),
        *("-f", "lavfi", "-i", "sine=f=330:r=48000:d=12", "-c:v", "mpeg4", "-q:v", "4", "-c:a", "aac"),
        *("-movflags", "+faststart", str(path)),
    ]
    subprocess.run(argv, check=True, timeout=120)
    return path


def test_a_film_in_av1_and_h264_is_watched_in_both(site: Site, browser: Any, clip: Path) -> None:
    headers = {"X-Admin-Secret": site.secret}
    with clip.open("rb") as file:
        answer = httpx2.post(
            f"{site.admin_url}/api/videos",
            headers=headers,
            data={"title": "Tide"},
            files={"file": (clip.name, file)},
        )
    slug = answer.json()["slug"]
    wait_until(lambda: progress(site, slug)["status"] != "processing", PATIENCE_S)
    viewer = Person(browser)
    viewer.page.goto(f"{site.public_url}/watch/{slug}")
    viewer.play()
    viewer.check_page()
    wait_until(lambda: progress(site, slug)["status"] == "ready", PATIENCE_S)
    again = Person(browser)
    again.page.goto(f"{site.public_url}/watch/{slug}")
    again.play()
    for label, name, height in (("480p, AV1", "480p-av1", 480), ("360p", "360p", 360)):
        again.page.keyboard.press("1")
        again.choose_quality(label)
        again.wait(lambda seen, n=name, h=height: seen["level"] == n and seen["height"] == h)  # type: ignore[misc]
        seen = again.see()
        again.wait(lambda now, then=seen: now["frames"] > then["frames"] + 10)  # type: ignore[misc]
    again.check_page()
    manifest = httpx2.get(f"{site.public_url}/videos/{slug}/manifest.mpd")
    assert manifest.headers["content-type"].startswith("application/dash+xml")
