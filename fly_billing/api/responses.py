"""Sends an answer: as JSON with an ETag, or 304 if the client has the same one already.

The ETag is of everything but `as_of`, which is new at each request. Not here: the answers (`api.answers`).
"""

from __future__ import annotations

import hashlib
import json
from datetime import UTC

from starlette.requests import Request
from starlette.responses import Response

from fly_billing.api.models import Answer

# Bills are private, and a client asks each time whether they have changed.
CACHING = {"Cache-Control": "private, no-cache", "Vary": "Authorization"}


def respond(request: Request, answer: Answer) -> Response:
    """Return 200 with the answer, or 304 if the request's If-None-Match has its ETag."""
    body = answer.model_dump_json(exclude={"as_of"})
    tag = f'W/"{hashlib.sha256(body.encode()).hexdigest()[:32]}"'
    headers = {"ETag": tag, **CACHING}
    if _has(request.headers.getlist("if-none-match"), tag):
        return Response(status_code=304, headers=headers)
    as_of = answer.as_of.astimezone(UTC).isoformat().replace("+00:00", "Z")
    content = f'{{"as_of":{json.dumps(as_of)},{body[1:]}'
    return Response(content, headers=headers, media_type="application/json")


def _has(given: list[str], tag: str) -> bool:
    """Compare weakly, as RFC 9110 asks for If-None-Match."""
    known = {part.strip().removeprefix("W/") for header in given for part in header.split(",")}
    return "*" in known or tag.removeprefix("W/") in known
