"""The platform's own endpoint for alerts and caps, on 127.0.0.1. It verifies each message, and can misbehave."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from standardwebhooks import Webhook

from tests.support.alert_servers import serving

SECRET = "whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="


class PlatformEndpoint:
    """Takes signed messages. `behaviors`: of the next requests, in order; afterwards it acknowledges each.

    `headers`: of an answer that is a status.

    A behavior is a status without a body, or: `drop` (it reads the message and hangs up), `slow` (it reads the message
    and does not answer before the test ends), `drip` (it answers a byte at a time, without end), `endless` (it sends a
    body without end), `redirect`, `other` (200, acknowledging another message), `text` (200 with a text).
    """

    def __init__(self) -> None:
        endpoint = self
        self.got: list[tuple[str, dict[str, Any]]] = []
        self.behaviors: list[int | str] = []
        self.headers: dict[str, str] = {}
        self.is_over = threading.Event()

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                message = Webhook(SECRET).verify(body, dict(self.headers))
                its_id = self.headers["webhook-id"]
                endpoint.got.append((its_id, message))
                behavior = endpoint.behaviors.pop(0) if endpoint.behaviors else json.dumps({"acknowledged": its_id})
                try:
                    self._behave(behavior)
                except OSError:
                    self.close_connection = True

            def do_GET(self) -> None:
                endpoint.got.append(("a redirect was followed", {}))

            def _behave(self, behavior: int | str) -> None:
                self.close_connection = True
                if behavior == "drop":
                    self.connection.shutdown(socket.SHUT_RDWR)
                elif behavior == "slow":
                    endpoint.is_over.wait()
                elif behavior == "drip":
                    while not endpoint.is_over.wait(0.05):
                        self.wfile.write(b"H")
                elif behavior == "endless":
                    self._head(200)
                    while not endpoint.is_over.is_set():
                        self.wfile.write(b" " * 65536)
                elif behavior == "redirect":
                    self._head(302, Location="/elsewhere")
                elif isinstance(behavior, int):
                    self._head(behavior, **endpoint.headers)
                else:
                    self._head(200)
                    answer = {"other": '{"acknowledged": "msg_other"}', "text": "thank you"}.get(behavior, behavior)
                    self.wfile.write(answer.encode())

            def _head(self, status: int, **headers: str) -> None:
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/alerts"

    def ids(self) -> list[str]:
        """Return the id of each message, in the order of arrival."""
        return [its_id for its_id, _ in self.got]

    def once(self) -> list[dict[str, Any]]:
        """Return each message once per id, as a receiver that ignores known ids."""
        return [message for _, message in {its_id: (its_id, message) for its_id, message in self.got}.values()]


@contextmanager
def platform_endpoint() -> Iterator[PlatformEndpoint]:
    endpoint = PlatformEndpoint()
    with serving(endpoint.server):
        try:
            yield endpoint
        finally:
            endpoint.is_over.set()
