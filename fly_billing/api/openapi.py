"""The OpenAPI 3.1 document: an example for each answer, and the errors that every route can give.

Not here: the types (`api.models`), and the examples (`api.examples`).
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Security
from fastapi.openapi.utils import get_openapi
from fastapi.security import HTTPBearer

from fly_billing.api.examples import EXAMPLES
from fly_billing.api.models import Part, ProblemDetails
from fly_billing.api.problems import DETAILS, MEDIA_TYPE

DESCRIPTION = """\
What an organization owes, and why: from the billing database, also while Stripe and the pipeline are down.

Amounts are text with a currency, quantities are text, times are RFC 3339 in UTC. Each answer has `as_of`, the time at
which it was read, and an ETag: send it as `If-None-Match`, and an unchanged answer is a 304. Errors are
`application/problem+json` (RFC 9457). Send a token as `Authorization: Bearer ...`, never in the address.
"""
_SCHEME = HTTPBearer(auto_error=False, description="A token of an organization (fbc_...) or of an operator (fbo_...).")
_ERRORS = (401, 403, 404, 422, 429, 500, 503)
_HEADERS = {
    "ETag": {"description": "Of everything but `as_of`.", "schema": {"type": "string"}},
    "Retry-After": {"description": "Seconds after which to try again.", "schema": {"type": "integer"}},
}


def documented(name: str, model: type[Part], status: int = 200) -> dict[str, Any]:
    """Return the arguments of a route that document it."""
    example = EXAMPLES[name].model_dump(mode="json")
    answer: dict[str, Any] = {"content": {"application/json": {"example": example}}}
    responses: dict[int | str, dict[str, Any]] = {status: answer}
    if status == 200:
        answer["headers"] = {"ETag": _HEADERS["ETag"]}
        responses[304] = {"description": "It is unchanged.", "headers": {"ETag": _HEADERS["ETag"]}}
    errors = _ERRORS if status == 200 else (400, *_ERRORS, 413)
    return {
        "operation_id": name,
        "response_model": model,
        "responses": responses | {code: _error(code) for code in errors},
        "dependencies": [Security(_SCHEME)],
    }


def _error(status: int) -> dict[str, Any]:
    phrase = HTTPStatus(status).phrase
    example = {"title": phrase, "status": status, "detail": DETAILS[status]}
    content = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/ProblemDetails"}, "example": example}}
    headers = {"Retry-After": _HEADERS["Retry-After"]} if status in (429, 503) else {}
    return {"description": phrase, "content": content, "headers": headers}


def document(app: FastAPI) -> dict[str, Any]:
    """Return the document."""
    found = get_openapi(
        title=app.title, version=app.version, openapi_version="3.1.0", description=DESCRIPTION, routes=app.routes
    )
    schemas = found["components"]["schemas"]
    schemas["ProblemDetails"] = ProblemDetails.model_json_schema()
    for unused in ("HTTPValidationError", "ValidationError"):  # our 422 is a problem, too
        schemas.pop(unused, None)
    return found
