"""Who calls: a worker by its key, or the owner by the admin secret. And what goes wrong, as answers."""

from __future__ import annotations

import hashlib
import hmac

from flask import Blueprint, Response, g, request
from sqlalchemy.exc import SQLAlchemyError

from encoder.errors import SourceUnreadable
from jobs.contract import Claim, Incomplete, JobProgress, LeaseLost, Orders, Refused
from jobs.source_state import SourceReplaced
from jobs.wire import KEY_HEADER, TOKEN_HEADER, LeaseCode

from ...bodies import drain
from ...config import settings
from ...errors import Problem, answer_database_error, answer_http_error
from ...services import worker_keys
from ...services.fleet import UnknownWorker
from ...services.foreign_intake import TOO_LARGE, NotPublished
from ...services.handing_in import NotTaken
from ...services.leases import HeldLease, NotYours, held_claim, held_lease, renew_held
from ...services.whole import NoSuchJob
from ...services.worker_keys import KnownWorker
from ...storage import StorageError, StorageLow

SECRET_HEADER = "X-Admin-Secret"  # noqa: S105  (a header's name)
ROOM_RETRY_S = 60
UNPROCESSABLE = 422


def known_worker() -> KnownWorker | None:
    """Whose key came with this request; looked up once."""
    if "known_worker" not in g:
        key = request.headers.get(KEY_HEADER, "")
        g.known_worker = worker_keys.find(key) if key else None
    known: KnownWorker | None = g.known_worker
    return known


def caller() -> str:
    """What limits are counted by: the worker, wherever it calls from; else the address."""
    known = known_worker()
    return f"worker:{known.id}" if known else str(request.remote_addr)


def require_worker() -> KnownWorker:
    """Raises Problem: 401 without a good key, 403 for a disabled worker."""
    if not request.headers.get(KEY_HEADER):
        raise Problem(401, "key_missing", f"Send the key of a worker in the header {KEY_HEADER}.")
    known = known_worker()
    if known is None:
        raise Problem(
            401,
            "key_invalid",
            "This key is not known, was revoked or has expired. Register the worker again.",
        )
    if known.is_disabled:
        raise Problem(403, LeaseCode.DISABLED, "This worker was disabled by the owner of the site.")
    if not known.is_use_noted:
        worker_keys.note_use(known.key_id)
    return known


def require_worker_key() -> None:
    """Before every request of a blueprint for workers."""
    require_worker()


def require_admin() -> None:
    """Before every request of a blueprint for the owner. Raises Problem: 503, 401 or 403."""
    secret = settings().worker_admin_secret
    if not secret:
        raise Problem(
            503,
            "no_secret",
            "Workers cannot be managed here until VLOG_WORKER_ADMIN_SECRET is set on the server.",
        )
    given = request.headers.get(SECRET_HEADER)
    if given is None:
        raise Problem(401, "secret_missing", f"Send the admin secret of the worker API in {SECRET_HEADER}.")
    if not hmac.compare_digest(_digest(given), _digest(secret)):
        raise Problem(403, "wrong_secret", "That secret does not match. Nothing was changed.")


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode(errors="replace")).digest()


def require_lease(job_id: int) -> HeldLease:
    """The lease that this request shows the token of. Raises LeaseLost or NotYours."""
    return held_lease(job_id, request.headers.get(TOKEN_HEADER, ""), require_worker().id)


def renew_lease(job_id: int, progress: JobProgress | None) -> Orders:
    """The same, and renews it."""
    return renew_held(job_id, request.headers.get(TOKEN_HEADER, ""), require_worker().id, progress)


def require_claim(job_id: int) -> Claim:
    """The lease with all there is to know of the job."""
    return held_claim(job_id, request.headers.get(TOKEN_HEADER, ""), require_worker().id)


def answer_problems(blueprint: Blueprint) -> None:
    """What services and the contract say no with, as statuses and codes."""
    kinds: tuple[type[Exception], ...] = (LeaseLost, NotYours, NotTaken, Refused, Incomplete, StorageError)
    for kind in (*kinds, UnknownWorker, NoSuchJob, SourceUnreadable):
        blueprint.register_error_handler(kind, _answer)
    blueprint.register_error_handler(SQLAlchemyError, _answer_database)


def _answer(error: Exception) -> Response:
    drain()  # what is still coming, so that the answer arrives
    return answer_http_error(as_problem(error))


def _answer_database(error: SQLAlchemyError) -> Response:
    drain()
    return answer_database_error(error)


def as_problem(error: Exception) -> Problem:
    match error:
        case LeaseLost():
            return Problem(
                409, LeaseCode.LOST, "This job is no longer yours: drop it. Nothing of this was kept."
            )
        case NotYours():
            return Problem(
                403, LeaseCode.NOT_YOURS, "This job was leased with another key. Nothing was changed."
            )
        case NotPublished():
            return Problem(413 if error.code == TOO_LARGE else 400, error.code, str(error))
        case NotTaken():
            status = 409 if error.code == LeaseCode.DIFFERS else UNPROCESSABLE
            return Problem(status, error.code, str(error))
        case Refused():
            return Problem(UNPROCESSABLE, "refused", f"This was not taken: {error}.")
        case Incomplete():
            return Problem(UNPROCESSABLE, LeaseCode.INCOMPLETE, f"This job is not finished: {error}.")
        case StorageLow() | StorageError():
            headers = {"Retry-After": str(ROOM_RETRY_S)}
            return Problem(503, error.code, error.public_message, headers=headers)
        case SourceReplaced():
            return Problem(409, LeaseCode.REPLACED, error.public_message)
        case SourceUnreadable():
            return Problem(404, error.code, error.public_message)
        case NoSuchJob():
            return Problem(404, "not_found", "There is no such job.")
        case _:
            assert isinstance(error, UnknownWorker)
            return Problem(404, "not_found", "There is no worker with this id.")
