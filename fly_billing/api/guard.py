"""Stands before all routes: finds the token or the link, limits its requests, and writes a line per request to the log.

Every path below /v1 needs a token that works, also one that does not exist, so that nothing can be probed without one.
A page needs a link that works: its path has it. The log has a token's id, never the token, the link or an organization.
Not here: what the token may read (`api.routes`), and the page (`api.page_routes`).
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from fly_billing.api.metrics import ApiMetrics
from fly_billing.api.page_links import PAGE_PATH
from fly_billing.api.page_responses import page_busy, page_not_here, page_unreachable
from fly_billing.api.problems import UNREACHABLE, overloaded, problem, unreachable
from fly_billing.api.rules.access import ApiToken
from fly_billing.api.rules.links import PageLink
from fly_billing.api.rules.rate_limits import RateLimits
from fly_billing.api.rules.remembered_tokens import RememberedTokens
from fly_billing.api.rules.tokens import digest_token, is_token
from fly_billing.api.threads import AllBusy, Places
from fly_billing.usage_intake.rules.tokens import bearer

# A token request has less than 5 KiB.
MOST_BYTES = 16 * 1024

log = logging.getLogger(__name__)


@dataclass
class Guard:
    """An ASGI application around another one.

    Attributes:
        find: Returns the token with this text, or None; it may take its time.
        find_link: Returns what a link with this text shows at this time, or None; it may take its time, too.
        now: The clock, in UTC.
    """

    app: ASGIApp
    find: Callable[[str], ApiToken | None]
    find_link: Callable[[str, datetime], PageLink | None]
    limits: RateLimits[str]
    metrics: ApiMetrics
    now: Callable[[], datetime]
    remembered: RememberedTokens = field(default_factory=RememberedTokens)
    places: Places = field(default_factory=Places)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.places.bound_threads()
        is_page = scope["type"] == "http" and scope["path"].startswith(PAGE_PATH)
        if scope["type"] != "http" or not (is_page or is_protected(scope["path"])):
            await self.app(scope, receive, send)
            return
        began = time.monotonic()
        status = 500

        async def send_and_note(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            async with self.places.one():
                refusal = await (self._admit_link(scope) if is_page else self._admit(scope))
                if refusal:
                    await refusal(scope, receive, send_and_note)
                else:
                    await self.app(scope, _bounded(receive), send_and_note)
        except AllBusy as reason:
            await (page_unreachable(reason) if is_page else overloaded(reason))(scope, receive, send_and_note)
        finally:
            self._note(scope, status, time.monotonic() - began)

    async def _admit(self, scope: Scope) -> Response | None:
        """Put the token and the time into the scope, or return the refusal."""
        headers, now = Headers(scope=scope), self.now()
        if int(_digits(headers.get("content-length"))) > MOST_BYTES:
            return problem(413)
        try:
            token = await self._authenticated(headers, now, is_reading=scope["method"] == "GET")
        except UNREACHABLE as reason:
            return unreachable(reason)
        if token is None:
            return problem(401)
        scope.setdefault("state", {}).update(token=token, now=now)
        if wait := self.limits.take(str(token.id), time.monotonic()):
            return problem(429, headers={"Retry-After": str(wait)})
        return None

    async def _admit_link(self, scope: Scope) -> Response | None:
        """Put the link and the time into the scope, or return the refusal: the same for all links that do not work."""
        now = self.now()
        try:
            link = await run_in_threadpool(self.find_link, scope["path"].removeprefix(PAGE_PATH), now)
        except UNREACHABLE as reason:
            return page_unreachable(reason)
        if link is None:
            return page_not_here()
        scope.setdefault("state", {}).update(link=link, now=now)
        wait = self.limits.take(f"page of {link.organization_id}", time.monotonic())
        return page_busy(wait) if wait else None

    async def _authenticated(self, headers: Headers, now: datetime, *, is_reading: bool) -> ApiToken | None:
        """Return the token if it works. For what changes something it is always looked up."""
        given = headers.getlist("authorization")
        secret = bearer(given[0]) if len(given) == 1 else None
        if secret is None or not is_token(secret):
            return None
        digest, asked = digest_token(secret), time.monotonic()
        token = self.remembered.find(digest, asked) if is_reading else None
        if token is None and (token := await run_in_threadpool(self.find, secret)):
            self.remembered.remember(digest, token, asked)
        return token if token and token.works(now) else None

    def _note(self, scope: Scope, status: int, seconds: float) -> None:
        state = scope.get("state", {})
        token: ApiToken | None = state.get("token")
        who = token.id if token else "link" if "link" in state else "-"
        route = getattr(scope.get("route"), "path", "-")  # the pattern, not the path: no id of anybody
        self.metrics.count(route, status, seconds)
        log.info("%s %s %s %d ms=%.0f", who, scope["method"], route, status, seconds * 1000)


def is_protected(path: str) -> bool:
    """Return True if the path needs a token."""
    return path == "/v1" or path.startswith("/v1/")


def _digits(text: str | None) -> str:
    return text if text and text.isascii() and text.isdecimal() else "0"


def _bounded(receive: Receive) -> Receive:
    """Cut a body off that is longer than MOST_BYTES, so that it is read as a broken one."""
    left = MOST_BYTES

    async def receive_bounded() -> Message:
        nonlocal left
        message = await receive()
        if message["type"] == "http.request":
            left -= len(message.get("body", b""))
            if left < 0:
                return {"type": "http.request", "body": b"", "more_body": False}
        return message

    return receive_bounded
