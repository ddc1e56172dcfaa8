"""The pages in a real Chromium: nothing the policy or axe objects to, no sideways scrolling, live without twitching."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from flask import Flask
from werkzeug.serving import make_server

from jobs.states import AttemptOutcome
from tests.conftest import ADMIN_SECRET, AppFactory
from tests.factories import (
    make_failed,
    make_progress,
    make_ready,
    make_source,
    make_video,
    make_working,
    rendition_names,
    utc_now,
)
from vlog_app.extensions import transaction
from vlog_app.models import Video
from vlog_app.services.events import EventKind, record

pytestmark = pytest.mark.browser

WATCH_VIOLATIONS = (
    "window.violations = [];"
    "document.addEventListener('securitypolicyviolation', (e) => violations.push(e.violatedDirective))"
)
SIZES = [(390, "light"), (390, "dark"), (1440, "light"), (1440, "dark"), (2560, "light")]
WAIT_MS = 8000


@contextmanager
def serving(app: Flask) -> Iterator[str]:
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()


@pytest.fixture
def moving(app: Flask) -> Video:
    """A library with one video in each state; the one returned is being encoded."""
    video = make_video(
        "First light over the Kessel glacier", source=make_source(seconds=708, width=3840, height=2160)
    )
    make_progress(video, {"1080p": 40, "360p": 80, "audio": 118}, outcome=AttemptOutcome.LOST, age_s=60)
    make_progress(video, {"1080p": 50, "360p": 90})
    make_working(video, "2160p", 3)
    make_ready(make_video("Robot arm club: picking blocks by colour", description="Some words."))
    failed = make_video("Linear maps, lecture 7")
    make_progress(failed, dict.fromkeys(rendition_names(failed), 3))
    make_failed(failed)
    make_video("Winter concert, the whole second half")
    return video


@pytest.fixture(params=SIZES, ids=lambda size: f"{size[0]}-{size[1]}")
def page(request: pytest.FixtureRequest, browser: Any) -> Iterator[Any]:
    width, scheme = request.param
    context = browser.new_context(
        viewport={"width": width, "height": 900},
        color_scheme=scheme,
        is_mobile=width < 500,
        has_touch=width < 500,
    )
    context.add_init_script(WATCH_VIOLATIONS)
    yield context.new_page()
    context.close()


@pytest.fixture
def wide(browser: Any) -> Iterator[Any]:
    context = browser.new_context(viewport={"width": 1440, "height": 900})
    context.add_init_script(WATCH_VIOLATIONS)
    yield context.new_page()
    context.close()


def sign_in(page: Any, site: str, then: str = "/videos") -> None:
    page.goto(f"{site}/login?next={then}")
    page.fill("#secret", ADMIN_SECRET)
    page.click("button:has-text('Sign in')")
    page.wait_for_url(f"{site}{then}")


def check(page: Any, address: str) -> None:
    page.goto(address)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), f"{address} scrolls sideways"
    found = Axe().run(page).response["violations"]
    assert [(item["id"], [node["html"] for node in item["nodes"]]) for item in found] == [], address
    assert page.evaluate("violations") == [], address


def test_public_pages_are_sound(app_factory: AppFactory, moving: Video, page: Any) -> None:
    with serving(app_factory("public")) as site:
        for path in (
            "/",
            f"/watch/{moving.slug}",
            "/watch/winter-concert-the-whole-second-half",
            "/watch/nothing",
        ):
            check(page, f"{site}{path}")


def test_admin_pages_are_sound(app_factory: AppFactory, moving: Video, page: Any) -> None:
    with serving(app_factory("admin")) as site:
        check(page, f"{site}/login")
        sign_in(page, site)
        for path in ("/videos", "/videos?search=zzz", f"/videos/{moving.id}", f"/videos/{moving.id + 2}"):
            check(page, f"{site}{path}")


def test_the_grid_fills_by_itself_and_leaves_the_reader_alone(
    app_factory: AppFactory, moving: Video, wide: Any
) -> None:
    with serving(app_factory("admin")) as site:
        sign_in(wide, site, f"/videos/{moving.id}")
        wide.wait_for_selector("[data-live-mark][data-state=done]", timeout=WAIT_MS)
        wide.fill("#description", "half typed")
        before = wide.evaluate(
            "document.querySelector('#details-title').getBoundingClientRect().top + scrollY"
        )
        make_progress(moving, {"1080p": 60})
        with transaction() as session:
            record(session, moving.id, EventKind.SEGMENT, utc_now(), rendition="1080p", index=59)
        wide.locator("th:text-is('1080p') + td", has_text="60").wait_for(state="attached", timeout=WAIT_MS)
        assert wide.input_value("#description") == "half typed"
        assert wide.evaluate("document.activeElement.id") == "description"
        after = wide.evaluate(
            "document.querySelector('#details-title').getBoundingClientRect().top + scrollY"
        )
        assert after == before, "news must not move what the reader is at"
        assert wide.evaluate("violations") == []


def test_without_a_stream_the_page_asks_every_few_seconds(
    app_factory: AppFactory, moving: Video, wide: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vlog_app.services.live.MAX_STREAMS", 0)
    with serving(app_factory("admin")) as site:
        sign_in(wide, site, f"/videos/{moving.id}")
        wide.wait_for_selector("[data-live-mark][data-state=stale]", timeout=WAIT_MS)
        make_progress(moving, {"1080p": 60})
        wide.locator("th:text-is('1080p') + td", has_text="60").wait_for(state="attached", timeout=WAIT_MS)


def test_arrow_keys_read_the_grid(app_factory: AppFactory, moving: Video, wide: Any) -> None:
    with serving(app_factory("admin")) as site:
        sign_in(wide, site, f"/videos/{moving.id}")
        wide.wait_for_selector("[data-live-mark][data-state=done]", timeout=WAIT_MS)
        wide.focus("#grid-area")
        for key in ("ArrowDown", "ArrowDown", "ArrowDown", "End", "Home", "ArrowRight"):
            wide.keyboard.press(key)
        wide.keyboard.press("ArrowUp")
        spoken = wide.text_content("[data-grid-spoken]")
        assert spoken in (  # the first key may only wake the cursor
            "1440p, segment 2, 0:06 to 0:12, waiting",
            "1080p, segment 2, 0:06 to 0:12, kept from before",
        )


def test_a_swap_does_not_take_the_grid_from_under_the_keys(
    app_factory: AppFactory, moving: Video, wide: Any
) -> None:
    with serving(app_factory("admin")) as site:
        sign_in(wide, site, f"/videos/{moving.id}")
        wide.wait_for_selector("[data-live-mark][data-state=done]", timeout=WAIT_MS)
        wide.focus("#grid-area")
        make_progress(moving, {"1080p": 60})
        with transaction() as session:
            record(session, moving.id, EventKind.SEGMENT, utc_now(), rendition="1080p", index=59)
        wide.locator("th:text-is('1080p') + td", has_text="60").wait_for(state="attached", timeout=WAIT_MS)
        wide.wait_for_timeout(200)
        assert wide.evaluate("document.activeElement.id") == "grid-area"


def test_cancel_asks_first(app_factory: AppFactory, moving: Video, wide: Any) -> None:
    with serving(app_factory("admin")) as site:
        sign_in(wide, site, f"/videos/{moving.id}")
        wide.click("[data-confirm] button")
        wide.click("dialog button:has-text('Keep encoding')")
        assert wide.is_visible("text=Cancel encoding")
        wide.click("[data-confirm] button")
        wide.click("dialog button.btn-danger")
        wide.wait_for_selector("text=Carry on", timeout=WAIT_MS)


def test_the_scheme_changes_without_a_page_load_and_is_remembered(
    app_factory: AppFactory, moving: Video, wide: Any
) -> None:
    with serving(app_factory("public")) as site:
        wide.goto(site)
        with wide.expect_response("**/theme"):
            wide.click("button[value=dark]")
        assert wide.get_attribute("html", "data-theme") == "dark"
        wide.reload()
        assert wide.get_attribute("html", "data-theme") == "dark"
        assert wide.is_visible("button[value=light]") and not wide.is_visible("button[value=dark]")


def test_the_one_time_link_signs_in_by_itself(
    app_factory: AppFactory, moving: Video, wide: Any, storage: Any
) -> None:
    from tests.web.test_sign_in import write_link

    write_link(storage, "token")
    with serving(app_factory("admin")) as site:
        wide.goto(f"{site}/login?link=token")
        wide.wait_for_url(f"{site}/videos", timeout=WAIT_MS)
