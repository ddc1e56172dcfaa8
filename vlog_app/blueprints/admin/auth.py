"""Signing in and out, and the guard in front of everything else on the admin surface."""

from __future__ import annotations

from flask import Flask, Response, abort, g, jsonify, render_template, request, send_file, url_for

from ...config import settings
from ...errors import Problem, wants_json
from ...extensions import limiter
from ...fragments import choose_theme, local_path, see_other
from ...services import admin_sessions
from ...services.admin_sessions import SignIn, utc_now
from . import frames
from .blueprint import blueprint
from .shell import Shell

COOKIE = "vlog_admin"
FRAME_CACHE_S = 3600
# Answered without a sign-in; everything else, whoever adds it, is refused.
OPEN_ENDPOINTS = frozenset(
    {
        "static",
        "health.health",
        "admin.login",
        "admin.login_submit",
        "admin.login_link",
        "admin.login_frame",
        "admin.api_login",
        "admin.api_logout",
        "admin.api_check",
    }
)


def guard() -> Response | None:
    """Nothing on this surface is answered before we know who asks; an unknown address is no exception."""
    g.signed_in = False
    if request.endpoint in OPEN_ENDPOINTS:
        return None
    if admin_sessions.needs_no_login():
        return None
    given = request.headers.get("X-Admin-Secret")
    if given is not None:
        _judge_header(given)
        return None
    g.signed_in = admin_sessions.is_signed_in(request.cookies.get(COOKIE), utc_now())
    return None if g.signed_in else _refuse()


def _judge_header(given: str) -> None:
    """A wrong secret counts as a try here as on the login page; a cookie beside it is not looked at."""
    address = request.remote_addr or ""
    _refuse_if_waiting(address)
    if not admin_sessions.is_secret(given):
        admin_sessions.count_wrong_try(address)
        raise Problem(403, "wrong_secret", "That secret does not match. Nothing was changed.")


def _refuse() -> Response:
    if wants_json() or request.headers.get("HX-Request") or request.method not in ("GET", "HEAD"):
        raise Problem(401, "not_signed_in", "You are signed out. Nothing was changed. Sign in and try again.")
    return see_other(url_for("admin.login", next=request.full_path.rstrip("?")))


@blueprint.get("/login")
def login() -> str | Response:
    if admin_sessions.needs_no_login() or admin_sessions.is_signed_in(request.cookies.get(COOKIE), utc_now()):
        return see_other(_next_url())
    link = request.args.get("link", "")
    if link:
        return _login_page(link=link if admin_sessions.is_login_link(link) else None, link_is_spent=True)
    return _login_page()


@blueprint.post("/login")
@limiter.limit(lambda: settings().rate_limit_admin_default)
def login_submit() -> str | Response | tuple[str, int]:
    problem = _try_secret(request.form.get("secret", ""))
    if problem is not None:
        return _login_page(problem=problem), problem.code or 422
    return _welcome(keep="keep" in request.form)


@blueprint.post("/login/link")
@limiter.limit(lambda: settings().rate_limit_admin_default)
def login_link() -> str | Response | tuple[str, int]:
    if not admin_sessions.use_login_link(request.form.get("link", "")):
        return _login_page(link_is_spent=True), 422
    return _welcome(keep=False)


@blueprint.get("/login/frames/<slug>.jpg")
@limiter.exempt  # two dozen of them make the wall
def login_frame(slug: str) -> Response:
    """A poster that the public site shows as well, so that the page before the sign-in can."""
    path = frames.poster_of(slug, utc_now())
    if path is None or not path.is_file():
        abort(404)
    return send_file(path, mimetype="image/jpeg", max_age=FRAME_CACHE_S)


@blueprint.post("/logout")
def logout() -> Response:
    _end_session()
    answer = see_other(url_for("admin.login"))
    answer.delete_cookie(COOKIE)
    return answer


@blueprint.post("/api/auth/login")
def api_login() -> Response:
    body = request.get_json(silent=True)
    problem = _try_secret(str(body.get("secret", "")) if isinstance(body, dict) else "")
    if problem is not None:
        raise problem
    answer = jsonify(authenticated=True, message="Signed in.")
    _set_cookie(answer, admin_sessions.sign_in(utc_now(), keep=False))
    return answer


@blueprint.post("/api/auth/logout")
def api_logout() -> Response:
    _end_session()
    answer = jsonify(authenticated=False, message="Signed out.")
    answer.delete_cookie(COOKIE)
    return answer


@blueprint.get("/api/auth/check")
def api_check() -> Response:
    no_login = admin_sessions.needs_no_login()
    signed_in = no_login or admin_sessions.is_signed_in(request.cookies.get(COOKIE), utc_now())
    given = request.headers.get("X-Admin-Secret")
    if given is not None:
        _judge_header(given)
        signed_in = True
    return jsonify(authenticated=signed_in, auth_required=not no_login)


@blueprint.post("/theme")
def theme() -> Response:
    return choose_theme(url_for("admin.videos"))


def _try_secret(given: str) -> Problem | None:
    """None = right. Each wrong one counts; after five the address waits."""
    address = request.remote_addr or ""
    if admin_sessions.admin_secret() is None:
        return Problem(
            503, "no_secret", "This server has no admin secret yet. Set VLOG_ADMIN_API_SECRET and restart it."
        )
    try:
        _refuse_if_waiting(address)
    except Problem as waiting:
        return waiting
    if admin_sessions.is_secret(given):
        admin_sessions.forget_wrong_tries(address)
        return None
    admin_sessions.count_wrong_try(address)
    return Problem(401 if request.path.startswith("/api/") else 422, "wrong_secret", _wrong_words(address))


def _wrong_words(address: str) -> str:
    left = admin_sessions.tries_left(address)
    start = "That secret does not match. Nothing was changed."
    if left == 0:
        return f"{start} Wait {admin_sessions.WAIT_MINUTES} min, then try again."
    tries = "1 try" if left == 1 else f"{left} tries"
    return f"{start} {tries} left before a {admin_sessions.WAIT_MINUTES} min wait."


def _refuse_if_waiting(address: str) -> None:
    wait_s = admin_sessions.seconds_to_wait(address)
    if not wait_s:
        return
    left = f"{wait_s} s" if wait_s < 60 else f"{-(-wait_s // 60)} min"
    words = f"Too many wrong secrets from here. Try again in {left}. Nothing was changed."
    raise Problem(429, "too_many_tries", words, headers={"Retry-After": str(wait_s)})


def _login_page(
    *, problem: Problem | None = None, link: str | None = None, link_is_spent: bool = False
) -> str:
    return render_template(
        "admin/login.html",
        problem=problem.detail if problem else None,
        link=link,
        link_is_spent=link_is_spent and not link,
        next_url=_next_url(),
        secret_is_generated=settings().admin_api_secret is None,
        frames=frames.posters(utc_now()),
    )


def _next_url() -> str:
    return local_path(request.values.get("next"), url_for("admin.videos"))


def _welcome(*, keep: bool) -> Response:
    """A new id at every sign-in: the one that was there before, if any, ends."""
    _end_session()
    answer = see_other(_next_url())
    _set_cookie(answer, admin_sessions.sign_in(utc_now(), keep=keep))
    return answer


def _end_session() -> None:
    token = request.cookies.get(COOKIE)
    if token:
        admin_sessions.sign_out(token)


def _set_cookie(answer: Response, signed_in: SignIn) -> None:
    configured = settings().secure_cookies
    answer.set_cookie(
        COOKIE,
        signed_in.token,
        expires=signed_in.expires_at if signed_in.is_kept else None,
        secure=request.is_secure if configured is None else configured,
        httponly=True,
        samesite="Lax",
        path="/",
    )


def init_app(app: Flask) -> None:
    admin_sessions.init_app(app)
    app.before_request(guard)
    app.context_processor(_shell_context)


def _shell_context() -> dict[str, object]:
    """The admin shell's facts; only asked for by pages that show the shell."""
    return {"shell": Shell(signed_in=g.get("signed_in", False))}
