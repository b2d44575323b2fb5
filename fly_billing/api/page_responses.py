"""Sends the customer page, and the plain pages for errors, with headers that keep them private.

A browser may run nothing on the page, load nothing, show it in no frame, keep no copy, and tells no other site the
address. Not here: the page itself (`statements.page`).
"""

from __future__ import annotations

import gzip
import logging

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from fly_billing.api.problems import RETRY_AFTER
from fly_billing.statements.page import content_security_policy, notice_page

PRIVATE = {
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "X-Robots-Tag": "noindex, nofollow",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}

log = logging.getLogger(__name__)


def page_response(request: Request, html: str) -> Response:
    """Return the page, compressed if the browser takes that. It has no link in it, so its length reveals nothing."""
    content, headers = html.encode(), {**_headers(), "Vary": "Accept-Encoding"}
    if "gzip" in request.headers.get("accept-encoding", ""):
        content, headers = gzip.compress(content, 6, mtime=0), {**headers, "Content-Encoding": "gzip"}
    return HTMLResponse(content, headers=headers)


def page_not_here() -> Response:
    """Return the page for every link that does not work, and every month that is not there."""
    return _notice(404, "Nothing is here", "This link has expired or is incomplete. Open your bill again to get one.")


def page_busy(wait: int) -> Response:
    """Return the page for too many requests. `wait`: seconds."""
    return _notice(429, "Too many requests", "Please reload this page in a moment.", {"Retry-After": str(wait)})


def page_unreachable(reason: Exception) -> Response:
    """Return 503. The reason goes to the log only: it names the server."""
    log.warning("503: %s", str(reason).splitlines()[0])
    headers = {"Retry-After": str(RETRY_AFTER)}
    return _notice(503, "Your statement can’t be read right now", "Please reload this page in a few seconds.", headers)


def _notice(status: int, title: str, text: str, headers: dict[str, str] | None = None) -> Response:
    return HTMLResponse(notice_page(title, text), status, {**_headers(), **(headers or {})})


def _headers() -> dict[str, str]:
    return {**PRIVATE, "Content-Security-Policy": f"{content_security_policy()}; frame-ancestors 'none'"}
