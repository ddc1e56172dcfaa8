"""The guards every answer and every unsafe request passes: headers, same-origin check, trusted hosts and proxies."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import urlsplit

from flask import Flask, Request, Response, current_app, request
from flask.sessions import SessionInterface

from .config import settings
from .errors import Problem

CSP = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data: blob:",
        "media-src 'self' blob:",  # hls.js plays from a blob
        "connect-src 'self'",
        "font-src 'self'",
        "worker-src 'self' blob:",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    )
)
HEADERS = {
    "Content-Security-Policy": CSP,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=(), payment=(), usb=(), browsing-topics=()",
    "Cross-Origin-Opener-Policy": "same-origin",
}
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
# Sent by programs only: a page of another site cannot add them without a preflight, which we never grant.
KEY_HEADERS = ("X-Admin-Secret", "X-Worker-API-Key")
LOOPBACK_NAMES = (
    "127.0.0.1",
    "localhost",
    "[::1]",
)  # always answered: a foreign page cannot borrow these names

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Wsgi = Callable[[dict[str, Any], Any], Iterable[bytes]]


def init_app(app: Flask) -> None:
    with app.app_context():
        hosts, proxies = settings().trusted_hosts, settings().trusted_proxies
    if hosts:
        app.config["TRUSTED_HOSTS"] = [*hosts, *LOOPBACK_NAMES]
    if proxies:
        networks = tuple(ipaddress.ip_network(proxy, strict=False) for proxy in proxies)
        app.wsgi_app = TrustedProxies(app.wsgi_app, networks)  # type: ignore[method-assign]
    app.session_interface = NoSession()
    app.before_request(refuse_cross_site)
    app.after_request(add_headers)


class NoSession(SessionInterface):
    """Nothing is kept in a cookie of Flask's (a sign-in is a row), so none is looked for with every request."""

    def open_session(self, app: Flask, request: Request) -> None:
        return None


def add_headers(response: Response) -> Response:
    there = {name.lower() for name in response.headers.keys()}  # noqa: SIM118  (iterated, it gives pairs)
    response.headers.extend((name, value) for name, value in HEADERS.items() if name.lower() not in there)
    if current_app.config["VLOG_SURFACE"] == "admin" and request.endpoint != "static":
        response.headers.setdefault("Cache-Control", "no-store")
    return response


def refuse_cross_site() -> None:
    """Unsafe requests must come from our own pages, or from a program that proves itself by a header."""
    if request.method in SAFE_METHODS or any(name in request.headers for name in KEY_HEADERS):
        return
    if not _is_same_origin():
        raise Problem(403, "csrf", "This came from another site, so it was refused. Nothing was changed.")


def _is_same_origin() -> bool:
    site = request.headers.get("Sec-Fetch-Site")
    if site is not None:
        return site in ("same-origin", "none")
    origin = request.headers.get("Origin")
    if origin is not None:
        parts = urlsplit(origin)
        return (parts.scheme, parts.netloc) == (request.scheme, request.host)
    # Neither header: not a browser. Fine as long as it brings no cookie that a browser would have brought.
    return not request.cookies


class TrustedProxies:
    """Believes X-Forwarded-For, -Proto and -Host from the proxies named in VLOG_TRUSTED_PROXIES, and from nobody else.

    The client is the rightmost address that is not one of ours: what stands left of it, anyone may have written.
    """

    def __init__(self, app: Wsgi, networks: tuple[Network, ...]) -> None:
        self.app = app
        self.networks = networks

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        if self._is_trusted(environ.get("REMOTE_ADDR", "")):
            self._apply(environ)
        return self.app(environ, start_response)

    def _is_trusted(self, address: str) -> bool:
        try:
            ip = ipaddress.ip_address(address)
        except ValueError:
            return False
        return any(ip in network for network in self.networks)

    def _apply(self, environ: dict[str, Any]) -> None:
        hops = [hop.strip() for hop in environ.get("HTTP_X_FORWARDED_FOR", "").split(",") if hop.strip()]
        for hop in reversed(hops):
            environ["REMOTE_ADDR"] = hop
            if not self._is_trusted(hop):
                break
        scheme = environ.get("HTTP_X_FORWARDED_PROTO", "").rpartition(",")[2].strip()
        if scheme in ("http", "https"):
            environ["wsgi.url_scheme"] = scheme
        host = environ.get("HTTP_X_FORWARDED_HOST", "").rpartition(",")[2].strip()
        if host:
            environ["HTTP_HOST"] = host
