"""One route: POST /stripe/events. A body is parsed only after its signature is verified; 2xx only after the commit.

Responses: 200 with the event's outcome, 400 for a request that is not an event or that Stripe did not sign just now,
413 for one that is too long, 500 for everything else. After a 500, Stripe sends the event again for up to three days.
Not here: addresses and ports (`server`), signatures (`signed`).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from fly_billing.foreign_text import visible
from fly_billing.http_limits import read_bounded
from fly_billing.stripe_sync.rules.events import NotAnEvent
from fly_billing.stripe_sync.webhooks.signed import NotSigned, read_signed

PATH = "/stripe/events"
# An event contains an invoice with its first ten lines, about 30 kB.
MOST_BYTES = 1024 * 1024

# Records an event, commits, and returns its outcome. Raises NotAnEvent.
Receive = Callable[[Mapping[str, Any]], str]

log = logging.getLogger(__name__)


def build_app(secret: str, receive: Receive) -> Starlette:
    """Return the service as an ASGI application.

    Args:
        secret: The endpoint's signing secret (whsec_...).
    """

    async def events(request: Request) -> Response:
        try:
            payload = await read_bounded(request, MOST_BYTES)
        except ClientDisconnect:
            return _refused(400, "the connection ended before the request was complete")
        if payload is None:
            return _refused(413, "the request is longer than any event")
        try:
            body = read_signed(payload, request.headers.getlist("stripe-signature"), secret)
            outcome = await run_in_threadpool(receive, body)
        except (NotSigned, NotAnEvent) as problem:
            return _refused(400, str(problem))
        log.info("%s", visible(f"{body['type']} {body['id']}: {outcome}"))
        return JSONResponse({"outcome": outcome})

    async def health(request: Request) -> Response:
        return JSONResponse({"status": "ok"})

    return Starlette(routes=[Route(PATH, events, methods=["POST"]), Route("/health", health)])


def _refused(status: int, reason: str) -> Response:
    log.warning("refused a request with %s: %s", status, visible(reason))
    return JSONResponse({"error": reason}, status)
