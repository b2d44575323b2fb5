"""Limits on what clients of our HTTP services may take: time, connections and the length of a body.

uvicorn limits only the pause between two requests. A client that sends half a request keeps its connection, and enough
of them would block Stripe. Not here: responses.
"""

from __future__ import annotations

import asyncio
from typing import Any

import h11
import uvicorn
from starlette.requests import Request
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

# Seconds from the start of a connection, or the first byte of a later request, until the request is complete; also for
# the client to read the response. Stripe waits about ten seconds for ours.
REQUEST_SECONDS = 20
# Concurrent connections. Further ones get a 503, and Stripe sends the event again. A process may usually have 1024 open
# files.
MOST_AT_ONCE = 500


class BoundedProtocol(H11Protocol):
    """uvicorn's HTTP/1.1 protocol, with a limit on waiting for the client."""

    seconds: float = REQUEST_SECONDS
    _receiving: asyncio.TimerHandle | None = None
    _sending: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._receiving = self._cut_off_later()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._bound_request()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._bound_request()

    def _bound_request(self) -> None:
        """Keep the timer running while a request is incomplete, and stop it otherwise."""
        state = self.conn.their_state
        if not (state is h11.SEND_BODY or (state is h11.IDLE and self.conn.trailing_data[0])):
            self._receiving = _cancel(self._receiving)
        elif self._receiving is None:
            self._receiving = self._cut_off_later()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._sending = self._cut_off_later()

    def resume_writing(self) -> None:
        super().resume_writing()
        self._sending = _cancel(self._sending)

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._receiving = _cancel(self._receiving)
        self._sending = _cancel(self._sending)

    def _cut_off_later(self) -> asyncio.TimerHandle:
        return self.loop.call_later(self.seconds, self.transport.abort)


async def read_bounded(request: Request, most: int) -> bytes | None:
    """Read the body, or return None as soon as it has more than `most` bytes. Ignores the Content-Length header.

    Raises starlette's ClientDisconnect if the connection ends before.
    """
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > most:
            return None
    return bytes(body)


def _cancel(timer: asyncio.TimerHandle | None) -> asyncio.TimerHandle | None:
    if timer is not None:
        timer.cancel()
    return None


def configuration(app: ASGIApp, *, seconds: float = REQUEST_SECONDS, **options: Any) -> uvicorn.Config:
    """Return uvicorn's configuration with these limits. `seconds` is the limit for each request."""
    bounded = type("BoundedProtocol", (BoundedProtocol,), {"seconds": seconds})
    return uvicorn.Config(
        app, http=bounded, ws="none", lifespan="off", limit_concurrency=MOST_AT_ONCE, access_log=False,
        server_header=False, timeout_graceful_shutdown=10, **options,
    )  # fmt: skip
