"""Where errors become answers: a page for people, `{"detail", "code", "request_id"}` for programs."""

from __future__ import annotations

import logging
import re
import secrets
from typing import Any

from flask import Flask, Response, current_app, g, jsonify, render_template, request
from sqlalchemy.exc import SQLAlchemyError
from werkzeug.exceptions import HTTPException, InternalServerError, SecurityError, default_exceptions
from werkzeug.http import HTTP_STATUS_CODES

from .database import is_away, words_of

logger = logging.getLogger(__name__)

BUSY_RETRY_S = 2
REQUEST_ID = re.compile(r"[\w.-]{1,128}", re.ASCII)

# status -> (code, heading, sentence): what happened, what was kept, what next.
WORDS: dict[int, tuple[str, str, str]] = {
    400: ("bad_request", "That request could not be read", "Nothing was changed. Go back and try again."),
    401: ("not_signed_in", "You are not signed in", "Sign in and try again. Nothing was changed."),
    403: ("forbidden", "That is not allowed here", "Nothing was changed."),
    404: (
        "not_found",
        "There is nothing at this address",
        "The video may have been taken down, or the link is not whole.",
    ),
    405: ("method_not_allowed", "That cannot be done here", "Nothing was changed."),
    413: ("too_large", "That is too large", "It was not kept. Send something smaller."),
    415: ("unsupported_media", "That kind of file cannot be used", "Nothing was kept."),
    422: ("invalid", "Something is missing or not right", "Nothing was changed. Look at the marked fields."),
    429: ("too_many_requests", "Too many requests", "Wait a minute, then try again. Nothing was lost."),
    500: (
        "internal",
        "Something went wrong on the server",
        "It was written to the log. What was saved is safe. Try again.",
    ),
    503: ("unavailable", "The server is busy", "Nothing was lost. Try again in a moment."),
    507: ("storage_full", "The disk is full", "Nothing was lost. Free some space, then try again."),
}


class Problem(HTTPException):
    """An answer with a status, a stable code and a sentence that is safe to show."""

    def __init__(self, status: int, code: str, detail: Any, *, headers: dict[str, str] | None = None) -> None:
        super().__init__(description=detail if isinstance(detail, str) else None)
        self.code = status
        self.problem_code = code
        self.detail = detail
        self.extra_headers = headers or {}


def init_app(app: Flask) -> None:
    app.before_request(take_request_id)
    app.after_request(echo_request_id)
    app.register_error_handler(HTTPException, answer_http_error)
    app.register_error_handler(SQLAlchemyError, answer_database_error)
    app.register_error_handler(Exception, answer_crash)


def take_request_id() -> None:
    given = request.headers.get("X-Request-ID", "")
    g.request_id = given if REQUEST_ID.fullmatch(given) else secrets.token_hex(8)


def request_id() -> str:
    if "request_id" not in g:
        take_request_id()
    value: str = g.request_id
    return value


def echo_request_id(response: Response) -> Response:
    response.headers["X-Request-ID"] = request_id()
    return response


def answer_crash(_error: Exception) -> Response:
    logger.exception("request failed", extra={"action": "request.failed", "request_id": request_id()})
    return answer_http_error(InternalServerError())


def answer_database_error(error: SQLAlchemyError) -> Response:
    """A database that is away comes back by itself; anything else is a mistake of ours."""
    if not is_away(error):
        return answer_crash(error)
    facts = {"action": "request.no_database", "request_id": request_id()}
    logger.warning("the database does not answer: %s", words_of(error), extra=facts)
    return answer_http_error(database_away())


def database_away() -> Problem:
    words = "The database does not answer at the moment. Nothing was lost. Try again in a moment."
    return Problem(503, "database_busy", words, headers={"Retry-After": str(BUSY_RETRY_S)})


def answer_http_error(error: HTTPException) -> Response:
    if error.response is not None:
        return error.response  # type: ignore[return-value]
    status = error.code or 500
    if status < 400:
        return error.get_response()  # type: ignore[return-value]
    code, heading, sentence = words_for(status)
    if isinstance(error, Problem):
        code, sentence = error.problem_code, error.detail
    if isinstance(error, SecurityError):  # a host name that is not ours: no address can be built for a page
        answer = Response(f"{heading}. This site has another name.", status, mimetype="text/plain")
    elif wants_json():
        answer = _as_json(status, code, sentence)
    else:
        answer = _as_page(status, heading, sentence)
    _copy_headers(error, answer)
    return answer


def words_for(status: int) -> tuple[str, str, str]:
    if status in WORDS:
        return WORDS[status]
    name = HTTP_STATUS_CODES.get(status, "Error") if status in default_exceptions else "Error"
    return name.lower().replace(" ", "_"), name, "Nothing was changed."


def wants_json() -> bool:
    """Programs: the API, uploads, the worker surface, and whoever asks for JSON rather than HTML."""
    if request.path.startswith(("/api/", "/uploads")) or current_app.config["VLOG_SURFACE"] == "worker_api":
        return True
    accept = request.accept_mimetypes
    return accept["application/json"] > accept["text/html"]


def _as_json(status: int, code: str, detail: Any) -> Response:
    answer = jsonify(detail=detail, code=code, request_id=request_id())
    answer.status_code = status
    return answer


def _as_page(status: int, heading: str, sentence: Any) -> Response:
    surface = current_app.config["VLOG_SURFACE"]
    page = render_template(
        "errors/error.html",
        status=status,
        heading=heading,
        sentence=sentence,
        surface=surface,
        request_id=request_id(),
    )
    return current_app.make_response((page, status))


def _copy_headers(error: HTTPException, answer: Response) -> None:
    if isinstance(error, Problem):
        answer.headers.update(error.extra_headers)
    for name, value in error.get_headers():
        if name in ("Allow", "Retry-After", "WWW-Authenticate"):
            answer.headers[name] = value
