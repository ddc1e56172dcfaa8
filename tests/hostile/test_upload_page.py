"""The upload page in a real browser: several files, a refusal, a server that dies, a page that is reloaded."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe

from tests.conftest import ADMIN_SECRET
from tests.hostile.clips import Clips
from tests.hostile.server import Server

pytestmark = [pytest.mark.media, pytest.mark.browser]
SLOW_BYTES_S = 8_000_000


@pytest.fixture
def server(storage: Path, database_url: str, tmp_path: Path) -> Iterator[Server]:
    server = Server(storage, tmp_path / "server.log")
    server.start()
    yield server
    server.kill()


@pytest.fixture
def big(clips: Clips) -> Path:
    """A film of 60 MB, most of it padding: long enough to be interrupted."""
    path = clips.mp4.with_name("big film.mp4")
    if not path.exists():
        film, padding = clips.faststart.read_bytes(), 60_000_000
        with path.open("wb") as file:
            file.write(film + (8 + padding).to_bytes(4, "big") + b"free")
            file.truncate(len(film) + 8 + padding)
    return path


def sign_in(server: Server, browser: Any, **options: Any) -> Any:
    page = browser.new_context(**options).new_page()
    page.goto(f"{server.url}/login?next=/upload")
    page.fill("input[type=password]", ADMIN_SECRET)
    page.keyboard.press("Enter")
    page.wait_for_url("**/upload")
    page.wait_for_load_state("networkidle")
    return page


def slow_down(page: Any, bytes_s: int) -> None:
    session = page.context.new_cdp_session(page)
    session.send("Network.enable")
    limits = {"offline": False, "latency": 1, "downloadThroughput": -1, "uploadThroughput": bytes_s}
    session.send("Network.emulateNetworkConditions", limits)


def wait_for(page: Any, row: int, word: str) -> None:
    text = page.locator("[data-upload] .status").nth(row)
    page.wait_for_function(
        "([e, w]) => e.textContent.includes(w)", arg=[text.element_handle(), word], timeout=30_000
    )


def test_files_are_sent_refused_resumed_and_opened(
    server: Server, browser: Any, clips: Clips, big: Path, tmp_path: Path, storage: Path
) -> None:
    problems: list[str] = []
    page = sign_in(server, browser)
    page.on("console", lambda line: problems.extend([line.text] if line.type == "error" else []))
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("dialog", lambda dialog: dialog.accept())
    fake = tmp_path / "fake.mp4"
    fake.write_bytes(b"#EXTM3U\nfile:///etc/passwd\n" * 4000)
    slow_down(page, SLOW_BYTES_S)

    page.set_input_files("[data-files]", [big, fake, clips.mp4])
    wait_for(page, 1, "Not taken")
    assert "This is a playlist" in page.locator(".up-words").nth(1).inner_text()
    wait_for(page, 2, "Received, checked")
    wait_for(page, 0, "Sending")
    page.locator(".up-name").first.fill("The big one")
    page.keyboard.press("Tab")
    assert Axe().run(page).response["violations"] == []

    page.wait_for_timeout(2500)
    assert [text for text in problems if "415" not in text] == []  # the browser itself reports the refusal
    server.kill()
    wait_for(page, 0, "Waiting for the connection")
    assert "is safe. Trying again in" in page.locator(".up-words").first.inner_text()
    server.start()
    # It may have gone on by itself before the server said that it is up.
    page.locator("[data-act=again]").first.evaluate("(button) => button.hidden || button.click()")
    wait_for(page, 0, "Sending")

    page.reload()
    wait_for(page, 0, "Waiting for the file")
    assert page.locator(".up-name").first.input_value() == "The big one"
    page.set_input_files("[data-files]", [big])
    wait_for(page, 0, "Received, checked")
    page.locator("[data-act=open]").first.click()
    page.wait_for_url("**/videos/2")
    assert (storage / "uploads/2.mp4").read_bytes() == big.read_bytes()


def test_pause_resume_and_cancel(server: Server, browser: Any, big: Path, storage: Path) -> None:
    page = sign_in(server, browser, viewport={"width": 390, "height": 844}, color_scheme="dark")
    slow_down(page, SLOW_BYTES_S)
    page.set_input_files("[data-files]", [big])
    wait_for(page, 0, "Sending")
    page.locator("[data-act=pause]").first.click()
    wait_for(page, 0, "Paused")
    assert page.evaluate("document.activeElement.dataset.act") == "resume", "focus stays in the row"
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    assert Axe().run(page).response["violations"] == []
    page.locator("[data-act=resume]").first.click()
    wait_for(page, 0, "Sending")
    page.locator("[data-act=cancel]").first.click()
    page.wait_for_selector("[data-upload]", state="detached")
    page.wait_for_timeout(500)
    assert list((storage / "uploads/.incoming").iterdir()) == []


def test_without_scripts_a_plain_form_does_it(
    server: Server, browser: Any, clips: Clips, tmp_path: Path
) -> None:
    fake = tmp_path / "fake.mp4"
    fake.write_bytes(b"<!doctype html><p>")
    page = sign_in(server, browser, java_script_enabled=False)
    page.set_input_files("#form-file", fake)
    page.click(".up-form button")
    assert "This is a web page" in page.locator("[role=alert]").inner_text()
    page.set_input_files("#form-file", clips.mp4)
    page.fill("#form-title", "By hand")
    page.click(".up-form button")
    page.wait_for_url("**/videos/1")
