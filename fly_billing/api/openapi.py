"""The OpenAPI 3.1 document: an example for each answer, and the errors that every route can give.

Not here: the types (`api.models`), and the examples (`api.examples`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from fly_billing.api.examples import EXAMPLES
from fly_billing.api.models import Part, ProblemDetails
from fly_billing.api.problems import DETAILS, MEDIA_TYPE

DESCRIPTION = """\
What an organization owes, and why: from the billing database, also while Stripe and the pipeline are down.

Amounts are text with a currency, quantities are text, times are RFC 3339 in UTC. Each answer has `as_of`, the time at
which it was read, and an ETag: send it as `If-None-Match`, and an unchanged answer is a 304. Errors are
`application/problem+json` (RFC 9457). Send a token as `Authorization: Bearer ...`, never in the address.
"""
_SCHEME_NAME = "token"
_SCHEME = {
    "type": "http",
    "scheme": "bearer",
    "description": "A token of an organization (fbc_...) or of an operator (fbo_...). Each operation names the scope"
    " that it needs, or the role.",
}
_ERRORS = (401, 403, 404, 422, 429, 500, 503)
# Of requests with a body, too.
_ERRORS_OF_WRITES = (400, *_ERRORS, 413)
_HEADERS = {
    "ETag": {"description": "Of everything but `as_of`.", "schema": {"type": "string"}},
    "Retry-After": {"description": "Seconds after which to try again.", "schema": {"type": "integer"}},
}


def documented(name: str, model: type[Part], scope: str) -> dict[str, Any]:
    """Return the arguments of a route that reads. `scope`: the one that a token needs."""
    headers = {"ETag": _HEADERS["ETag"]}
    unchanged = {"description": "It is unchanged.", "headers": headers}
    responses = {200: {**_example(name), "headers": headers}, 304: unchanged}
    return {"response_model": model, **_operation(name, scope, responses, _ERRORS)}


def documented_write(name: str, model: type[Part], scope: str, *statuses: int) -> dict[str, Any]:
    """Return the arguments of a route that writes and answers. The first status is the usual one."""
    described = {"model": model, "description": "It was so already."}
    responses = {status: {**_example(name), **(described if status != statuses[0] else {})} for status in statuses}
    return {
        "status_code": statuses[0],
        "response_model": model,
        **_operation(name, scope, responses, _ERRORS_OF_WRITES),
    }


def documented_without_answer(name: str, scope: str) -> dict[str, Any]:
    """Return the arguments of a route that writes and answers 204."""
    return {"status_code": 204, **_operation(name, scope, {204: {"description": "Done."}}, _ERRORS_OF_WRITES)}


def _operation(name: str, scope: str, responses: Mapping[int, dict[str, Any]], errors: Sequence[int]) -> dict[str, Any]:
    return {
        "operation_id": name,
        "responses": {**responses, **{code: _error(code) for code in errors}},
        "openapi_extra": {"security": [{_SCHEME_NAME: [scope]}]},
    }


def _example(name: str) -> dict[str, Any]:
    return {"content": {"application/json": {"example": EXAMPLES[name].model_dump(mode="json")}}}


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
    found["components"]["securitySchemes"] = {_SCHEME_NAME: _SCHEME}
    schemas["ProblemDetails"] = ProblemDetails.model_json_schema()
    for unused in ("HTTPValidationError", "ValidationError"):  # our 422 is a problem, too
        schemas.pop(unused, None)
    return found
