"""Encoding again in a real Chromium: sound in every state, by keys alone, live without moving page or focus."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from flask import Flask

from tests.conftest import AppFactory
from tests.contract.conftest import ENCODES, words_for_segments
from tests.factories import make_video
from tests.services.shop import hand_in, take
from tests.services.test_fail import FINAL
from tests.services.test_reencode import encodes_of
from tests.services.test_repair import ready
from tests.web.test_look import WAIT_MS, check, page, serving, sign_in, wide
from vlog_app.extensions import db
from vlog_app.models import Video
from vlog_app.services import control, queue
from vlog_app.services.reencode import encode_again

__all__ = ["page", "ready", "wide", "words_for_segments"]

pytestmark = [pytest.mark.browser, pytest.mark.usefixtures("app")]


def current(video: Video) -> int:
    found = control.current_encode(video.id)
    assert found is not None
    return found


def test_every_page_of_it_is_in_order(
    app_factory: AppFactory, ready: Video, page: Any, tmp_path: Path
) -> None:
    with serving(app_factory("admin")) as site:
        sign_in(page, site, "/videos")
        check(page, f"{site}/videos/{ready.id}/reencode")
        page.click("button:has-text('Encode again')")
        page.wait_for_url(f"{site}/videos/{ready.id}")
        db.session.rollback()  # what the site wrote is seen from here on
        claim = take(ENCODES)
        hand_in(claim, tmp_path, *((name, index) for name in claim.renditions for index in range(2)))
        for address in (f"/videos/{ready.id}", "/videos", "/queue", f"/videos/{ready.id}/reencode"):
            check(page, f"{site}{address}")
        queue.fail_job(claim, FINAL)
        for address in (f"/videos/{ready.id}", "/videos?show=look", "/queue"):
            check(page, f"{site}{address}")


def test_it_is_begun_by_keys_alone(app_factory: AppFactory, ready: Video, wide: Any) -> None:
    with serving(app_factory("admin")) as site:
        sign_in(wide, site, "/videos")
        wide.goto(f"{site}/videos/{ready.id}")
        wide.focus("#again-link")
        wide.keyboard.press("Enter")
        wide.wait_for_url(f"{site}/videos/{ready.id}/reencode")
        wide.focus("[name=rung][value='1080p']")
        wide.keyboard.press("Space")
        for _ in range(2):
            wide.keyboard.press("Tab")
        wide.keyboard.press("Space")
        for _ in range(3):
            wide.keyboard.press("Tab")
        assert wide.evaluate("document.activeElement.id") == "priority"
        wide.keyboard.press("h")
        wide.keyboard.press("Tab")
        wide.keyboard.press("Enter")
        wide.wait_for_url(f"{site}/videos/{ready.id}")
        second = encodes_of(ready)[1]
        assert (second.rungs, second.priority) == (["720p", "360p", "audio"], 0)


def test_the_page_of_a_paused_film_hears_that_it_goes_on(
    app_factory: AppFactory, ready: Video, wide: Any
) -> None:
    encode_again(ready.id)
    control.pause_encode(current(ready))
    with serving(app_factory("admin")) as site:
        sign_in(wide, site, "/videos")
        wide.goto(f"{site}/videos/{ready.id}")
        wide.wait_for_selector("[data-live-mark][data-state=done]", timeout=WAIT_MS)
        wide.focus("#pause-button")
        assert "Resume" in wide.inner_text("#pause-button")
        control.resume_encode(current(ready))
        wide.wait_for_selector("#pause-button:has-text('Pause')", timeout=WAIT_MS)
        assert wide.evaluate("document.activeElement.id") == "pause-button"
        wide.wait_for_selector("#encoding[data-state=waiting]", timeout=WAIT_MS)
        control.cancel_encode(current(ready))
        wide.wait_for_selector("#again-link", timeout=WAIT_MS)
        assert wide.locator("#cancel-button").count() == 0
        assert wide.evaluate("violations") == []


def test_a_priority_that_is_being_chosen_is_not_taken_back_by_news(
    app_factory: AppFactory, ready: Video, wide: Any, tmp_path: Path
) -> None:
    encode_again(ready.id)
    with serving(app_factory("admin")) as site:
        sign_in(wide, site, "/videos")
        wide.goto(f"{site}/videos/{ready.id}")
        wide.wait_for_selector("[data-live-mark][data-state=done]", timeout=WAIT_MS)
        claim = take(ENCODES)
        with wide.expect_response("**/actions?*"):
            hand_in(claim, tmp_path, ("1080p", 0))
        wide.wait_for_selector("#encoding[data-state=moving]", timeout=WAIT_MS)
        wide.select_option("#priority", "low")
        with wide.expect_response("**/actions?*") as answer:
            hand_in(claim, tmp_path, ("720p", 0))
        assert answer.value.status == 204
        assert wide.input_value("#priority") == "low"


def test_the_numbers_in_the_navigation_follow_and_nothing_moves(
    app_factory: AppFactory, app: Flask, ready: Video, wide: Any
) -> None:
    with serving(app_factory("admin")) as site:
        sign_in(wide, site, "/videos")
        wide.goto(f"{site}/queue")
        wide.wait_for_selector("[data-live-mark][data-state=done]", timeout=WAIT_MS)
        wide.focus("a[href='/workers']")
        before = wide.locator("a[href='/workers']").bounding_box()
        assert wide.inner_text("#nav-queue") == "0"
        encode_again(ready.id)
        make_video("Another one")
        wide.wait_for_selector("#nav-queue:text-is('2')", timeout=2 * WAIT_MS)
        assert wide.inner_text("#nav-videos") == "2"
        assert wide.evaluate("document.activeElement.getAttribute('href')") == "/workers"
        assert wide.locator("a[href='/workers']").bounding_box() == before
