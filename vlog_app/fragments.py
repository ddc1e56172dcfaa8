"""What every template sees, how one block of a page is rendered alone, and the colour scheme choice."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from flask import Flask, Response, current_app, request, url_for

from .config import settings

THEMES = ("light", "dark")
THEME_COOKIE = "vlog_theme"
THEME_COOKIE_S = 365 * 86_400
STATIC_CACHE_S = 365 * 86_400  # safe: the URL carries a hash of the file


def render_block(template_name: str, block_name: str, **context: Any) -> str:
    """One named block of a page, with the same context the whole page gets."""
    template = current_app.jinja_env.get_template(template_name)
    current_app.update_template_context(context)
    scope = template.new_context(context)
    # The page's own imports and sets run before its parent's first output; the block needs them.
    next(iter(template.root_render_func(scope)), None)
    return "".join(template.blocks[block_name](scope))


def local_path(target: str | None, default: str) -> str:
    """`target` when it is a path on this site, else `default`: a redirect never leaves the site."""
    if not target or not target.startswith("/") or "\\" in target or any(ord(c) < 33 for c in target):
        return default
    parts = urlsplit(target)
    if parts.scheme or parts.netloc or target.startswith("//"):
        return default
    return target


def see_other(url: str) -> Response:
    """The answer to a form that was acted on: a page that may be reloaded."""
    answer = Response(status=303)
    answer.location = url
    return answer


def choose_theme(default_url: str) -> Response:
    """Keeps the chosen scheme in a cookie and goes back to the page it was chosen on."""
    chosen = request.form.get("theme")
    answer = see_other(local_path(request.form.get("next"), default_url))
    if chosen in THEMES:
        answer.set_cookie(THEME_COOKIE, chosen, max_age=THEME_COOKIE_S, samesite="Lax", httponly=True)
    return answer


def current_theme() -> str | None:
    theme = request.cookies.get(THEME_COOKIE)
    return theme if theme in THEMES else None


def _theme_url() -> str:
    surface = current_app.config["VLOG_SURFACE"]
    return url_for("admin.theme" if surface == "admin" else "public.theme")


@lru_cache(maxsize=256)
def _file_hash(path: str, _modified_ns: int) -> str:
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()[:10]


def _version_static(endpoint: str, values: dict[str, Any]) -> None:
    """A changed file gets a new URL, so that an old copy is never used and a good one never asked for again."""
    if endpoint != "static" or "filename" not in values or "v" in values:
        return
    path = Path(str(current_app.static_folder)) / values["filename"]
    if path.is_file():
        values["v"] = _file_hash(str(path), path.stat().st_mtime_ns)


def _cache_versioned_static(response: Response) -> Response:
    if request.endpoint == "static" and "v" in request.args and response.status_code == 200:
        response.headers["Cache-Control"] = f"public, max-age={STATIC_CACHE_S}, immutable"
    return response


def _page_context() -> dict[str, Any]:
    return {"site_name": settings().site_name, "theme": current_theme()}


def init_app(app: Flask) -> None:
    app.context_processor(_page_context)
    app.jinja_env.globals["theme_url"] = _theme_url
    app.url_defaults(_version_static)
    app.after_request(_cache_versioned_static)
    app.jinja_env.trim_blocks = True
    app.jinja_env.lstrip_blocks = True
