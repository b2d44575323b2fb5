"""Bounds how many requests a process works on at once. The others wait in order, and take no connection meanwhile.

Most of a request is CPU, and Python runs one thread at a time: more threads would only make each request slower.
"""

from __future__ import annotations

from dataclasses import dataclass

from anyio.to_thread import current_default_thread_limiter
from starlette.types import ASGIApp, Receive, Scope, Send

# Threads of a process, and connections that it keeps open. Postgres works for some while Python works for another.
THREADS = 6


@dataclass(frozen=True)
class BoundedThreads:
    """An ASGI application around another one, whose readers run in at most `most` threads."""

    app: ASGIApp
    most: int = THREADS

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        limiter = current_default_thread_limiter()  # of this event loop
        if limiter.total_tokens != self.most:
            limiter.total_tokens = self.most
        await self.app(scope, receive, send)
