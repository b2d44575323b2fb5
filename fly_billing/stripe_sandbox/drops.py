"""Real connection drops: closing a client's TCP connection without one byte of response.

ASGI has no word for that, so the server's protocol class remembers each connection's transport by the client's
address and `drop` aborts it. Keep out: when to drop (faults.py).
"""

import asyncio
from typing import Any

from uvicorn.protocols.http.auto import AutoHTTPProtocol

Address = tuple[str, int]


class Connections:
    """The open connections of one server."""

    def __init__(self) -> None:
        self._transports: dict[Address, asyncio.Transport] = {}

    def protocol(self) -> type[asyncio.Protocol]:
        """Return uvicorn's HTTP protocol class, made to remember its transports here."""
        transports = self._transports

        class Remembering(AutoHTTPProtocol):  # type: ignore[misc, valid-type]
            def connection_made(self, transport: Any) -> None:
                self._peer = transport.get_extra_info("peername")
                transports[self._peer] = transport
                super().connection_made(transport)

            def connection_lost(self, exc: Exception | None) -> None:
                transports.pop(self._peer, None)
                super().connection_lost(exc)

        return Remembering

    def drop(self, client: Address) -> None:
        """Close the connection from this address at once, if the client has not; what was not sent never is."""
        transport = self._transports.get(client)
        if transport is not None:
            transport.abort()
