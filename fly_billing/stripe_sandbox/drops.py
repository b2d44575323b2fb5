"""Drops connections: closes a client's TCP connection without sending a byte.

ASGI has no such operation, so the server's protocol class keeps each connection's transport by the client's address,
and `drop` aborts it. Not here: when to drop (`faults`).
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
        """Return a subclass of uvicorn's HTTP protocol class that registers its transports here."""
        transports = self._transports

        class TrackedProtocol(AutoHTTPProtocol):  # type: ignore[misc, valid-type]
            def connection_made(self, transport: Any) -> None:
                self._peer = transport.get_extra_info("peername")
                transports[self._peer] = transport
                super().connection_made(transport)

            def connection_lost(self, exc: Exception | None) -> None:
                transports.pop(self._peer, None)
                super().connection_lost(exc)

        return TrackedProtocol

    def drop(self, client: Address) -> None:
        """Close the connection from this address immediately, unless it is closed already. Unsent bytes are lost."""
        transport = self._transports.get(client)
        if transport is not None:
            transport.abort()
