"""The player in a real browser, on a film whose segments the test makes one by one."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe

from .player_server import Film, FilmServer, make_segments

pytestmark = [pytest.mark.browser, pytest.mark.media]

STATE = """() => {
  const root = document.querySelector("[data-player]"), video = root.querySelector("video");
  const card = root.querySelector("[data-card]");
  return {state: root.dataset.state, level: root.dataset.level, time: video.currentTime,
    frames: video.getVideoPlaybackQuality().totalVideoFrames, height: video.videoHeight,
    card: card.hidden ? "" : card.querySelector("h2").textContent};
}"""
WATCH_CSP = (
    "window.refused = []; addEventListener('securitypolicyviolation', (e) => refused.push(e.blockedURI));"
)


class Viewer:
    def __init__(self, page: Any) -> None:
        self.page = page
        self.errors: list[str] = []
        page.on("console", self._heard)
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.add_init_script(WATCH_CSP)

    def _heard(self, line: Any) -> None:
        if line.type == "error":
            self.errors.append(line.text)

    def see(self) -> dict[str, Any]:
        state: dict[str, Any] = self.page.evaluate(STATE)
        return state

    def wait(self, until: Callable[[dict[str, Any]], bool], within_s: float = 15) -> dict[str, Any]:
        end = time.monotonic() + within_s
        while not until(seen := self.see()):
            assert time.monotonic() < end, f"still {seen}, console {self.errors}"
            time.sleep(0.1)
        return seen

    def play(self) -> None:
        self.page.locator(".player-row [data-do=play]").click()
        self.wait(lambda seen: seen["state"] == "playing" and seen["frames"] > 10)

    def press(self, key: str) -> None:
        self.page.keyboard.press(key)

    def choose_quality(self, name: str) -> None:
        self.press("q")
        items = self.page.locator("[role=menuitemradio]")
        items.filter(has_text=name).filter(has_not_text="Auto").click()


@pytest.fixture(scope="module")
def segments(ffmpeg_path: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("film")
    make_segments(ffmpeg_path, folder)
    return folder


@pytest.fixture
def film(segments: Path) -> Film:
    return Film(segments)


@pytest.fixture
def viewer(browser: Any, film: Film) -> Iterator[Viewer]:
    film.make(0, 1)
    with FilmServer(film) as server:
        context = browser.new_context(viewport={"width": 1280, "height": 800})
        viewer = Viewer(context.new_page())
        viewer.page.goto(server.url)
        yield viewer
        assert viewer.page.evaluate("refused") == []
        context.close()


def test_a_missing_part_plays_by_itself_as_soon_as_it_is_made(viewer: Viewer, film: Film) -> None:
    viewer.play()
    viewer.press("7")  # 16.8 s of 24: segment 4, which does not exist
    seen = viewer.wait(lambda seen: seen["card"] == "Making this part now")
    assert seen["state"] == "waiting-encode"
    assert 4 in film.demands
    assert Axe().run(viewer.page).violations_count == 0
    film.make(4, names=("144p", "audio"))
    seen = viewer.wait(lambda seen: seen["state"] == "playing" and seen["time"] > 17)
    assert seen["height"] == 144
    assert film.too_early == []
    assert viewer.errors == []


def test_running_into_the_encoder_keeps_the_place_and_goes_on(viewer: Viewer, film: Film) -> None:
    viewer.play()
    viewer.press("3")
    viewer.wait(lambda seen: seen["card"] == "You have caught up with the encoder")
    film.make(2, 3, 4, 5)
    frames = viewer.see()["frames"]
    viewer.wait(lambda seen: seen["state"] == "playing" and seen["time"] > 9 and seen["frames"] > frames + 20)
    assert film.too_early == []
    assert viewer.errors == []


def test_pausing_while_waiting_is_respected(viewer: Viewer, film: Film) -> None:
    viewer.play()
    viewer.press("7")
    viewer.wait(lambda seen: seen["state"] == "waiting-encode")
    viewer.press("k")
    film.make(4)
    viewer.wait(lambda seen: seen["state"] == "paused")
    assert viewer.see()["time"] < 17


def test_a_chosen_rung_is_used_where_it_exists(viewer: Viewer, film: Film) -> None:
    film.make(2, names=("144p", "audio"))
    film.make(3)
    viewer.play()
    viewer.choose_quality("180p")
    viewer.press("3")
    heights = set()
    while (seen := viewer.wait(lambda seen: seen["state"] == "playing"))["time"] < 13:
        if 8.5 < seen["time"] < 11.5 or seen["time"] > 12.5:
            heights.add((int(seen["time"] // 4), seen["height"]))
        time.sleep(0.1)
    assert heights == {(2, 144), (3, 180)}
    assert viewer.page.locator("[data-player]").get_attribute("data-choice") == "180p"


def test_a_lost_connection_is_said_and_mended_without_help(viewer: Viewer, film: Film) -> None:
    film.make(4)
    viewer.play()
    film.is_cut = True
    viewer.press("7")
    viewer.wait(lambda seen: seen["card"] == "The connection stopped", within_s=30)
    film.is_cut = False
    viewer.wait(lambda seen: seen["state"] == "playing" and seen["time"] > 17, within_s=40)
