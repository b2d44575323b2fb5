"""Posts alerts as `{"text": ...}`, which Slack's incoming webhooks, Mattermost and others accept.

We don't know which service receives the alert, so the text is harmless in all of them: it mentions nobody and hides no
address behind a word. Emphasis (`*`, `_`, backticks) may still be rendered, but that changes no word.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import re
import socket
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from fly_billing.alerting.channel import AlertNotSent
from fly_billing.alerting.rules.alerts import Alert
from fly_billing.alerting.slack import escaped, shortened

# Seconds to wait for an answer.
PATIENCE = 10
# An answer takes at most so many times the patience as a whole.
LONGEST = 2
# No more of an answer is read.
MOST_ANSWER = 64 * 1024
# Slack and Mattermost (16,383) refuse or cut longer texts.
MOST_TEXT = 16_000


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """Follows no redirect: a redirected POST becomes a GET without the alert, and its 200 would count as sent."""

    def redirect_request(self, *args: Any, **given: Any) -> None:
        return None


class _Watch:
    """Ends a conversation that takes too long: a server that sends a byte now and then never meets a timeout."""

    def __init__(self, seconds: float) -> None:
        self._sockets: list[socket.socket] = []
        self._timer = threading.Timer(seconds, self._cut)
        self._timer.daemon = True
        self._timer.start()

    def add(self, connected: socket.socket) -> None:
        self._sockets.append(connected)

    def stop(self) -> None:
        self._timer.cancel()

    def _cut(self) -> None:
        for connected in self._sockets:
            with contextlib.suppress(OSError):  # it is closed already
                connected.shutdown(socket.SHUT_RDWR)


class _WatchedHttp(urllib.request.HTTPHandler):
    def __init__(self, watch: _Watch) -> None:
        super().__init__()
        self._watch = watch

    def http_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        watch = self._watch

        class Connection(http.client.HTTPConnection):
            def connect(self) -> None:
                super().connect()
                watch.add(self.sock)

        return self.do_open(Connection, req)


class _WatchedHttps(urllib.request.HTTPSHandler):
    def __init__(self, watch: _Watch) -> None:
        super().__init__()
        self._watch = watch

    def https_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        watch = self._watch

        class Connection(http.client.HTTPSConnection):
            def connect(self) -> None:
                super().connect()
                watch.add(self.sock)

        return self.do_open(Connection, req)


@contextlib.contextmanager
def open_request(request: urllib.request.Request, patience: float) -> Iterator[http.client.HTTPResponse]:
    """Send the request and yield the response. Follows no redirect; uses a proxy for https only.

    `patience`: seconds to wait for each part of the answer. The whole takes at most LONGEST times as long.

    Raises OSError (HTTPError for a status other than 2xx), http.client.HTTPException or ValueError.
    """
    watch = _Watch(patience * LONGEST)
    handlers = [_NoRedirects(), _WatchedHttp(watch), _WatchedHttps(watch)]
    if request.type == "http":
        # http goes to this machine only. A proxy from the environment can't reach it and would read the address.
        handlers.append(urllib.request.ProxyHandler({}))
    try:
        with urllib.request.build_opener(*handlers).open(request, timeout=patience) as response:
            yield response
    finally:
        watch.stop()


@dataclass(frozen=True)
class WebhookChannel:
    """A webhook. Its address is a secret, so no message contains it."""

    url: str = field(repr=False)
    name: str = "webhook"
    patience: float = PATIENCE

    def post(self, alert: Alert) -> None:
        body = json.dumps({"text": harmless(alert.text)}).encode()
        try:
            # S310: the address comes from the operator's own settings.
            request = urllib.request.Request(  # noqa: S310
                self.url, body, {"Content-Type": "application/json"}, method="POST"
            )
            with open_request(request, self.patience) as answer:
                answer.read(MOST_ANSWER)
        except urllib.error.HTTPError as refusal:
            with refusal:
                raise AlertNotSent(self.name, alert, f"{refusal.code} {refusal.reason}") from None
        except (http.client.HTTPException, OSError, ValueError) as problem:
            # The message about an invalid address repeats it.
            raise AlertNotSent(self.name, alert, getattr(problem, "reason", type(problem).__name__)) from None


def harmless(text: str) -> str:
    """Return the text without mentions (`<!channel>`, `@channel`) and links with their own text (`[x](http://y)`)."""
    text = re.sub(r"(?<!\w)@(?=\w)", "@ ", text).replace("](", "] (")
    return shortened(escaped(text), MOST_TEXT)
