"""Errors of the API as application/problem+json (RFC 9457), for every status.

A problem never quotes an id, a name or a message of the database: what is unknown, and what belongs to somebody else,
give the same 404. Not here: which requests are refused (`api.guard`, `api.routes`).
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from sqlalchemy.exc import InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse

from fly_billing.postgres.connections import DatabaseProblem
from fly_billing.settings import SettingsError

MEDIA_TYPE = "application/problem+json"
# Seconds after which a client may ask again while the database can't be read.
RETRY_AFTER = 5
# The database is down, overloaded, or not to be read with this role; the request itself is in order.
UNREACHABLE = (SettingsError, DatabaseProblem, OperationalError, InterfaceError, PoolTimeout)
DETAILS = {
    400: "the body is not JSON in UTF-8",
    401: "send a token that works: Authorization: Bearer fbc_...",
    403: "this token may not do that: it needs another scope, or another role",
    404: "nothing that this token may read is here",
    405: "this address does not take this method",
    413: "the body is too long",
    422: "the request has a value that can't be read",
    429: "this token sent too many requests: try again later",
    500: "something went wrong here: it is in our log",
    503: "the billing database can't be read now: try again in a few seconds",
}

log = logging.getLogger(__name__)


class RequestRefused(Exception):
    """The request is refused with this status. `detail`: instead of the usual one."""

    def __init__(self, status: int, detail: str | None = None, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(detail or DETAILS[status])
        self.status = status
        self.headers = headers


def problem(
    status: int, detail: str | None = None, headers: Mapping[str, str] | None = None, **more: Any
) -> JSONResponse:
    """Return an error. `more`: further members of the object."""
    body = {"title": HTTPStatus(status).phrase, "status": status, "detail": detail or DETAILS[status], **more}
    usual = {401: {"WWW-Authenticate": "Bearer"}, 503: {"Retry-After": str(RETRY_AFTER)}}.get(status, {})
    fixed = {"Cache-Control": "no-store"}
    return JSONResponse(body, status, {**fixed, **usual, **(headers or {})}, media_type=MEDIA_TYPE)


def unreachable(reason: Exception) -> JSONResponse:
    """Return 503. The reason goes to the log only: it names the server."""
    log.warning("503: %s", str(reason).splitlines()[0])
    return problem(503)


def overloaded(reason: Exception) -> JSONResponse:
    """Return 503 for a request that waited too long."""
    log.warning("503: %s", reason)
    return problem(503, "too many requests at once: try again in a few seconds")


def handle_problems(app: FastAPI) -> None:
    """Make the application answer every error as a problem."""

    async def refused(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, RequestRefused)
        return problem(error.status, str(error), error.headers)

    async def http(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, HTTPException)
        status = error.status_code
        return problem(status, None if status in DETAILS else HTTPStatus(status).phrase, error.headers)

    async def invalid(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, RequestValidationError)
        return problem(422, errors=[*_errors(error.errors())])

    async def down(request: Request, error: Exception) -> JSONResponse:
        return unreachable(error)

    async def bug(request: Request, error: Exception) -> JSONResponse:
        return problem(500)

    app.add_exception_handler(RequestRefused, refused)
    app.add_exception_handler(HTTPException, http)
    app.add_exception_handler(RequestValidationError, invalid)
    for kind in UNREACHABLE:
        app.add_exception_handler(kind, down)
    app.add_exception_handler(Exception, bug)  # the traceback goes to the log


def _errors(found: Sequence[Mapping[str, Any]]) -> list[dict[str, str]]:
    """Return where each mistake is and what it is, without the value: it may be a token pasted into the wrong place."""
    return [{"where": "/".join(map(str, each["loc"])), "what": each["msg"]} for each in found]
