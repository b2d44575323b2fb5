"""A recorder between a Stripe client and the sandbox: it forwards HTTP on 127.0.0.1 unchanged and records it.

It also receives webhook deliveries, at `hook_url`. Not here: judging the recorded calls (`stripe_openapi`).
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection, RemoteDisconnected
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

from tests.support.stripe_openapi import Exchange

HOOK = "/hook"
# Headers of one connection, which are not forwarded (RFC 9110, 7.6.1).
OF_THE_CONNECTION = {"connection", "keep-alive", "transfer-encoding", "content-length", "host"}


class Recorder:
    """All recorded traffic, in order: `exchanges` with Stripe, and its webhook `deliveries`."""

    def __init__(self, url: str, stripe_url: str) -> None:
        self.url, self.hook_url = url, url + HOOK
        self.stripe_address = urlsplit(stripe_url)
        self.exchanges: list[Exchange] = []
        self.deliveries: list[dict[str, Any]] = []


@contextmanager
def recording(stripe_url: str) -> Iterator[Recorder]:
    """Run a recorder in front of the Stripe at this address."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.daemon_threads = True
    recorder = Recorder(f"http://127.0.0.1:{server.server_port}", stripe_url)
    server.recorder = recorder  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield recorder
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._take()

    def do_POST(self) -> None:
        self._take()

    def do_DELETE(self) -> None:
        self._take()

    def log_message(self, format: str, *args: Any) -> None:
        """Print nothing."""

    def _take(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        recorder: Recorder = self.server.recorder  # type: ignore[attr-defined]
        if self.path == HOOK:
            recorder.deliveries.append(json.loads(body))
            self._answer(200, {}, b"")
        else:
            self._pass_on(recorder, body)

    def _pass_on(self, recorder: Recorder, body: bytes) -> None:
        """Forward the request and the response. If Stripe hangs up, hang up too."""
        address = recorder.stripe_address
        connection = HTTPConnection(address.hostname or "", address.port, timeout=30)
        sent = {name: value for name, value in self.headers.items() if name.lower() not in OF_THE_CONNECTION}
        try:
            connection.request(self.command, self.path, body or None, sent)
            answer = connection.getresponse()
            text = answer.read()
        except (RemoteDisconnected, ConnectionResetError):
            recorder.exchanges.append(self._exchange(body, None))
            self.close_connection = True
            return
        finally:
            connection.close()
        headers = {name.lower(): value for name, value in answer.getheaders()}
        recorder.exchanges.append(self._exchange(body, answer.status, text.decode(), headers))
        self._answer(answer.status, headers, text)

    def _exchange(
        self, body: bytes, status: int | None, text: str = "", headers: dict[str, str] | None = None
    ) -> Exchange:
        return Exchange(
            method=self.command,
            target=self.path,
            status=status,
            body=body.decode(),
            answer=text,
            headers=headers or {},
            content_type=self.headers.get("Content-Type", ""),
            answer_type=(headers or {}).get("content-type", ""),
        )

    def _answer(self, status: int, headers: dict[str, str], text: bytes) -> None:
        self.send_response_only(status)
        for name, value in headers.items():
            if name not in OF_THE_CONNECTION:
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)
