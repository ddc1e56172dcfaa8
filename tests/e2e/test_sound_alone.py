"""A song and a talk go in, and are listened to in a real browser."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.people import PATIENCE_S, Person, progress, sign_in, upload, wait_until
from tests.provision.site import Site

pytestmark = [pytest.mark.browser, pytest.mark.media, pytest.mark.timeout(600)]

SECONDS = 40


def run(ffmpeg: str, path: Path, *arguments: str) -> Path:
    subprocess.run([ffmpeg, "-nostdin", "-v", "error", *arguments, str(path)], check=True, timeout=120)
    return path


def tone(hertz: int) -> tuple[str, ...]:
    return ("-f", "lavfi", "-i", f"sine=f={hertz}:r=48000:d={SECONDS}")


@pytest.fixture(scope="module")
def song(ffmpeg_path: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An MP3 with its cover."""
    folder = tmp_path_factory.mktemp("song")
    art = run(ffmpeg_path, folder / "art.png", "-f", "lavfi", "-i", "color=red:s=300x300", "-frames:v", "1")
    cover = ("-i", str(art), "-map", "0", "-map", "1", "-c:v", "copy", "-disposition:v", "attached_pic")
    codec = ("-c:a", "libmp3lame", "-b:a", "192k", "-ac", "2")
    return run(ffmpeg_path, folder / "Harbour song.mp3", *tone(330), *cover, *codec)


@pytest.fixture(scope="module")
def talk(ffmpeg_path: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two languages, no cover."""
    path = tmp_path_factory.mktemp("talk") / "A talk.mka"
    languages = ("-metadata:s:a:0", "language=ger", "-metadata:s:a:1", "language=eng")
    codec = ("-c:a", "aac", "-b:a", "128k", "-ac", "2")
    return run(ffmpeg_path, path, *tone(330), *tone(440), "-map", "0", "-map", "1", *languages, *codec)


def listen(browser: Any, site: Site, slug: str) -> Person:
    """Ends while it plays."""
    viewer = Person(browser, viewport={"width": 1280, "height": 800})
    viewer.page.goto(f"{site.public_url}/watch/{slug}")
    viewer.page.locator(".player-row [data-do=play]").click()
    viewer.wait(lambda seen: seen["state"] == "playing" and seen["time"] > 1)
    return viewer


def test_a_song_is_heard_at_every_rate_and_shows_its_cover(site: Site, browser: Any, song: Path) -> None:
    owner = Person(browser)
    sign_in(owner, site)
    slug = upload(owner, song)
    assert (
        "No picture, sound: MP3, stereo, 48\u00a0kHz, with a cover"
        in owner.page.locator(".video-head").inner_text()
    )
    wait_until(
        lambda: progress(site, slug)["status"] == "ready" and progress(site, slug)["poster"], PATIENCE_S
    )
    owner.check_page()

    viewer = listen(browser, site, slug)
    cover = viewer.page.locator("[data-cover]")
    assert cover.evaluate("(picture) => [picture.naturalWidth, picture.naturalHeight]") == [1280, 720]
    assert viewer.page.locator("[data-do=pip]").count() == 0
    for name, words in (("64k", "64"), ("192k", "192")):
        viewer.choose_quality(words)
        viewer.wait(lambda seen, n=name: seen["level"] == n)  # type: ignore[misc]
        before = viewer.see()["time"]
        viewer.wait(lambda seen, b=before: seen["time"] > b + 0.5)  # type: ignore[misc]
    viewer.page.keyboard.press("8")
    viewer.wait(lambda seen: seen["state"] == "playing" and seen["time"] > 0.8 * SECONDS + 0.5)
    viewer.page.keyboard.press("?")
    keys = viewer.page.locator("[data-keys-list]").inner_text()
    assert "Quality" in keys and "frame" not in keys and "Picture" not in keys
    viewer.page.keyboard.press("Escape")
    viewer.check_page()


def test_a_talk_in_two_languages_is_heard_in_both(site: Site, browser: Any, talk: Path) -> None:
    owner = Person(browser)
    owner.page.set_extra_http_headers({"X-Admin-Secret": site.secret})
    owner.page.goto(f"{site.admin_url}/upload")
    slug = upload(owner, talk)
    wait_until(lambda: progress(site, slug)["status"] == "ready", PATIENCE_S)

    viewer = listen(browser, site, slug)
    assert viewer.page.locator("[data-menu-for=quality]").is_hidden()  # nothing to choose
    viewer.page.locator("[data-menu-for=sound]").click()
    viewer.page.get_by_role("menuitemradio", name="English").click()
    before = viewer.see()["time"]
    viewer.wait(lambda seen: seen["state"] == "playing" and seen["time"] > before + 2)
    assert viewer.page.locator("[data-menu-for=sound]").inner_text().endswith("English")
    viewer.check_page()
