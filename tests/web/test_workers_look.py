"""The workers page in a real Chromium: sound in every state, reached and used by keys, live, still under its reader."""

from __future__ import annotations

from typing import Any

import pytest
from flask import Flask

from tests.conftest import AppFactory
from tests.factories import utc_now
from tests.services.test_pause import row_of
from tests.web.crew import change, make_crew, start
from tests.web.test_look import SIZES, WAIT_MS, check, page, serving, sign_in, wide

__all__ = ["page", "wide"]

pytestmark = pytest.mark.browser

assert SIZES  # the sizes that `page` comes in


def test_the_pages_are_in_order_in_every_state(app_factory: AppFactory, app: Flask, page: Any) -> None:
    crew = make_crew()
    with serving(app_factory("admin")) as site:
        sign_in(page, site, "/workers")
        one = f"/workers/{crew['eaves']}"
        for path in ("/workers", one, f"/workers/{crew['atlas']}", f"{one}/revoke", "/workers/new"):
            check(page, f"{site}{path}")
        page.fill("#name", "attic")
        page.click("button:has-text('Register it')")
        page.wait_for_selector("#keep-key", timeout=WAIT_MS)
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), "commands must not push"


def test_keys_reach_the_page_and_pause_a_worker(app_factory: AppFactory, app: Flask, wide: Any) -> None:
    worker_id = start("atlas")
    with serving(app_factory("admin")) as site:
        sign_in(wide, site)
        wide.keyboard.press("g")
        wide.keyboard.press("w")
        wide.wait_for_url(f"{site}/workers")
        menu = wide.locator(f"[data-worker='{worker_id}'] summary")
        menu.focus()
        wide.keyboard.press("Enter")
        wide.keyboard.press("Escape")
        assert wide.locator("details[open]").count() == 0
        assert menu.evaluate("(it) => it === document.activeElement")
        wide.keyboard.press("Enter")
        wide.keyboard.press("Tab")
        wide.keyboard.press("Enter")
        wide.wait_for_selector("text=You paused it.", timeout=WAIT_MS)
        assert row_of(worker_id).paused_at is not None
        assert wide.evaluate("violations") == []


def test_a_heartbeat_shows_by_itself_and_seconds_are_counted(
    app_factory: AppFactory, app: Flask, wide: Any
) -> None:
    worker_id = start("atlas", 20)
    with serving(app_factory("admin")) as site:
        sign_in(wide, site, "/workers")
        wide.wait_for_selector("[data-live-mark][data-state=done]", timeout=WAIT_MS)
        before = wide.locator("time.heard").get_attribute("datetime")
        shown = wide.locator("time.heard").text_content()
        wide.locator("time.heard", has_not_text=shown).wait_for(timeout=WAIT_MS)
        change(worker_id, heartbeat_at=utc_now())
        wide.wait_for_selector(f"time.heard:not([datetime='{before}'])", timeout=WAIT_MS)
        assert wide.evaluate("violations") == []


def test_a_newcomer_waits_while_somebody_reads(app_factory: AppFactory, app: Flask, wide: Any) -> None:
    start("nas")
    with serving(app_factory("admin")) as site:
        sign_in(wide, site, "/workers")
        wide.wait_for_selector("[data-live-mark][data-state=done]", timeout=WAIT_MS)
        wide.hover("[data-worker]")
        start("atlas")
        wide.wait_for_selector("[data-page-show]:visible", timeout=WAIT_MS)
        assert wide.locator("[data-worker]").count() == 1
        wide.click("[data-page-show]")
        wide.wait_for_selector("[data-worker] >> nth=1", timeout=WAIT_MS)


def test_the_key_is_copied(app_factory: AppFactory, app: Flask, wide: Any) -> None:
    with serving(app_factory("admin")) as site:
        sign_in(wide, site, "/workers/new")
        wide.context.grant_permissions(["clipboard-read", "clipboard-write"])
        wide.fill("#name", "attic")
        wide.keyboard.press("Enter")
        wide.click("[data-copy=key]")
        wide.wait_for_selector("[data-copy=key]:has-text('Copied')", timeout=WAIT_MS)
        assert wide.evaluate("navigator.clipboard.readText()") == wide.text_content("#key")
