"""The owner of a running site: sends films in and looks how far they are."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import httpx2

from tests.provision.site import Site

PATIENCE_S = 200.0


class Owner:
    """Somebody with the secret of a site."""

    def __init__(self, site: Site, http: httpx2.Client) -> None:
        self._site = site
        self._http = http
        http.headers["X-Admin-Secret"] = site.secret

    def upload(self, film: Path, title: str = "Film") -> str:
        with film.open("rb") as file:
            files = {"file": ("film.mp4", file, "video/mp4")}
            answer = self._http.post(f"{self._site.admin_url}/api/videos", files=files, data={"title": title})
        assert answer.status_code == 200, answer.text
        return str(answer.json()["slug"])

    def progress(self, slug: str) -> dict[str, Any]:
        url = f"{self._site.public_url}/api/videos/{slug}/progress"
        found: dict[str, Any] = self._http.get(url).json()
        return found

    def done(self, slug: str) -> int:
        """Segments there are."""
        return sum(row["done"] for row in self.progress(slug)["renditions"])

    def moved(self, slug: str, had: int) -> bool:
        return self.done(slug) > had or self.progress(slug)["status"] == "ready"

    def until_begun(self, slug: str) -> None:
        wait_until(lambda: self.done(slug) > 0, self._site)

    def until_ready(self, slug: str) -> None:
        wait_until(lambda: self.progress(slug)["status"] in ("ready", "failed"), self._site)
        assert self.progress(slug)["status"] == "ready", self._site.log.read_text()[-4000:]


def wait_until(is_true: object, site: Site) -> None:
    assert callable(is_true)
    ends_at = time.monotonic() + PATIENCE_S
    while not is_true():
        assert time.monotonic() < ends_at, site.log.read_text()[-4000:]
        time.sleep(0.1)
