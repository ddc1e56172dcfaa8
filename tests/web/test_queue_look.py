"""The queue page in a real Chromium: sound in every state, moved by keys and mouse, never moved under a reader."""

from __future__ import annotations

from typing import Any

import pytest
from flask import Flask

from jobs.contract import WorkerInfo
from jobs.layout import Priority
from tests.conftest import AppFactory
from tests.factories import make_failed, make_progress, make_video, make_working, rendition_names, utc_now
from tests.services.shop import encode_of
from tests.services.test_turns import long_film
from tests.web.test_look import SIZES, WAIT_MS, check, page, serving, sign_in, wide
from tests.web.test_queue_page import GPU
from vlog_app.extensions import transaction
from vlog_app.models import Video
from vlog_app.services import control, fleet
from vlog_app.services.events import EventKind, record

__all__ = ["page", "wide"]

pytestmark = pytest.mark.browser

assert SIZES  # the sizes that `page` comes in


@pytest.fixture
def busy(app: Flask) -> list[Video]:
    """Every state at once: three priorities, one paused, one at work, one stopped, two kinds of worker."""
    videos = [long_film(title) for title in ("First light over the Kessel glacier", "Two", "Three", "Four")]
    control.prioritise(encode_of(videos[1]).id, Priority.HIGH)
    control.prioritise(encode_of(videos[2]).id, Priority.LOW)
    control.pause_encode(encode_of(videos[3]).id)
    make_working(videos[0], "360p", 3)
    failed = make_video("Linear maps, lecture 7")
    make_progress(failed, dict.fromkeys(rendition_names(failed), 3))
    make_failed(failed)
    fleet.greet(GPU)
    fleet.greet(WorkerInfo("w-nas", "nas"))
    return videos


def test_the_page_is_in_order_in_every_state(app_factory: AppFactory, busy: list[Video], page: Any) -> None:
    with serving(app_factory("admin")) as site:
        sign_in(page, site, "/queue")
        check(page, f"{site}/queue")
        check(page, f"{site}/videos/{busy[3].id}")
        control.pause_queue()
        check(page, f"{site}/queue")


def test_an_empty_queue_is_in_order(app_factory: AppFactory, app: Flask, page: Any) -> None:
    with serving(app_factory("admin")) as site:
        sign_in(page, site, "/queue")
        check(page, f"{site}/queue")


def grip(page: Any, video: Video) -> Any:
    return page.locator(f"#film-{video.id} [data-grip]")


def lane(page: Any, video: Video) -> str:
    return str(
        page.evaluate(f"document.getElementById('film-{video.id}').closest('[data-lane]').dataset.lane")
    )


def until_priority(page: Any, video: Video, priority: Priority) -> None:
    for _ in range(80):
        if encode_of(video).priority == priority:
            return
        page.wait_for_timeout(100)
    pytest.fail(f"it is still at {Priority(encode_of(video).priority).word}")


def test_space_lifts_arrows_move_space_drops(app_factory: AppFactory, busy: list[Video], wide: Any) -> None:
    with serving(app_factory("admin")) as site:
        sign_in(wide, site, "/queue")
        wide.wait_for_selector("[data-live-mark][data-state=done]", timeout=WAIT_MS)
        grip(wide, busy[1]).focus()
        wide.keyboard.press("Space")
        assert grip(wide, busy[1]).get_attribute("aria-pressed") == "true"
        wide.keyboard.press("ArrowDown")
        assert lane(wide, busy[1]) == "normal"
        assert encode_of(busy[1]).priority == Priority.HIGH, "not before it is dropped"
        wide.keyboard.press("ArrowDown")
        wide.keyboard.press("ArrowDown")
        wide.keyboard.press("Space")
        until_priority(wide, busy[1], Priority.LOW)
        wide.wait_for_function(
            "document.querySelector('[data-queue-spoken]').textContent.includes('low priority now')"
        )
        assert wide.evaluate("document.activeElement.closest('.job')?.id") == f"film-{busy[1].id}"
        assert wide.evaluate("violations") == []


def test_escape_puts_a_lifted_film_back(app_factory: AppFactory, busy: list[Video], wide: Any) -> None:
    with serving(app_factory("admin")) as site:
        sign_in(wide, site, "/queue")
        grip(wide, busy[1]).focus()
        for key in ("Space", "ArrowDown", "Escape"):
            wide.keyboard.press(key)
        assert lane(wide, busy[1]) == "high"
        assert grip(wide, busy[1]).get_attribute("aria-pressed") == "false"
        assert encode_of(busy[1]).priority == Priority.HIGH


def test_a_film_is_dragged_to_another_priority(app_factory: AppFactory, busy: list[Video], wide: Any) -> None:
    with serving(app_factory("admin")) as site:
        sign_in(wide, site, "/queue")
        column = wide.locator(f"#film-{busy[1].id}").locator("xpath=ancestor::section")
        wide.locator(f"#film-{busy[1].id}").drag_to(column.locator("[data-lane=low] .lane-title"))
        until_priority(wide, busy[1], Priority.LOW)


def test_the_menu_does_the_same(app_factory: AppFactory, busy: list[Video], wide: Any) -> None:
    with serving(app_factory("admin")) as site:
        sign_in(wide, site, "/queue")
        wide.click(f"#film-{busy[2].id} summary")
        wide.click(f"#film-{busy[2].id} button:has-text('Move to high')")
        wide.wait_for_url(f"{site}/queue")
        until_priority(wide, busy[2], Priority.HIGH)


def test_it_is_live_and_does_not_move_under_a_reader(
    app_factory: AppFactory, busy: list[Video], wide: Any
) -> None:
    with serving(app_factory("admin")) as site:
        sign_in(wide, site, "/queue")
        wide.mouse.move(5, 5)
        wide.wait_for_selector("[data-live-mark][data-state=done]", timeout=WAIT_MS)
        control.prioritise(encode_of(busy[2]).id, Priority.HIGH)
        wide.wait_for_selector(f"[data-lane=high] #film-{busy[2].id}", timeout=WAIT_MS)
        wide.hover(f"#film-{busy[2].id}")
        control.prioritise(encode_of(busy[2]).id, Priority.LOW)
        wide.wait_for_selector("[data-queue-show]:visible", timeout=WAIT_MS)
        assert lane(wide, busy[2]) == "high"
        wide.click("[data-queue-show]")
        wide.wait_for_selector(f"[data-lane=low] #film-{busy[2].id}", timeout=WAIT_MS)


def test_an_open_menu_is_not_closed_by_news(app_factory: AppFactory, busy: list[Video], wide: Any) -> None:
    with serving(app_factory("admin")) as site:
        sign_in(wide, site, "/queue")
        wide.wait_for_selector("[data-live-mark][data-state=done]", timeout=WAIT_MS)
        wide.click(f"#film-{busy[2].id} summary")
        with transaction() as session:
            record(session, busy[0].id, EventKind.PROGRESS, utc_now())
        with wide.expect_response("**/queue/board"):
            pass
        wide.wait_for_timeout(300)
        assert wide.locator(f"#film-{busy[2].id} details[open]").count() == 1
