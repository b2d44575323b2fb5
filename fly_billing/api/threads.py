"""Bounds how many requests a process works on at once. The others wait in order, and take no connection meanwhile.

Most of a request is CPU, and Python runs one thread at a time: more threads would only make each request slower. If the
database is slow, a request that waited too long gets a 503 instead of an answer that nobody waits for any more.
"""

from __future__ import annotations

from dataclasses import dataclass

from anyio import Semaphore, move_on_after
from anyio.to_thread import current_default_thread_limiter
from starlette.types import ASGIApp, Receive, Scope, Send

from fly_billing.api.page_links import PAGE_PATH
from fly_billing.api.page_responses import page_unreachable
from fly_billing.api.problems import unreachable

# Threads of a process, and connections that it keeps open. Postgres works for some while Python works for another.
THREADS = 6
# Requests that are begun at once; those without a thread wait for one.
BEGUN = 4 * THREADS
# The most seconds that a request waits before it is begun.
PATIENCE = 10.0
# Answered although all threads are busy.
ALWAYS = frozenset({"/health", "/metrics", "/openapi.json"})


@dataclass
class BoundedThreads:
    """An ASGI application around another one, whose readers run in at most `most` threads."""

    app: ASGIApp
    most: int = THREADS
    patience: float = PATIENCE
    _places: Semaphore | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        limiter = current_default_thread_limiter()  # of this event loop
        if limiter.total_tokens != self.most:
            limiter.total_tokens = self.most
        if scope["type"] != "http" or scope["path"] in ALWAYS:
            await self.app(scope, receive, send)
            return
        places = self._places = self._places or Semaphore(BEGUN)
        with move_on_after(self.patience) as waiting:
            await places.acquire()
        if waiting.cancelled_caught:
            late = TimeoutError(f"all threads were busy for {self.patience:g} seconds")
            is_page = scope["path"].startswith(PAGE_PATH)
            await (page_unreachable(late) if is_page else unreachable(late))(scope, receive, send)
            return
        try:
            await self.app(scope, receive, send)
        finally:
            places.release()
