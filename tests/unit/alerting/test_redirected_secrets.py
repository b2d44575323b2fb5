"""Keys and alerts go only to the address that was checked, and a redirect to another counts as a failure."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from fly_billing.alerting.channel import AlertNotSent
from fly_billing.alerting.rules.alerts import Alert
from fly_billing.alerting.webhook import WebhookChannel
from fly_billing.stripe_sync.client import UNKNOWN, ask, make_stripe_client


class Listener(ThreadingHTTPServer):
    """Notes the requested paths; answers {} with 200, or redirects to `location` with `status`."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.location, self.status = "", 200
        listener = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                self.rfile.read(int(self.headers.get("Content-Length") or 0))
                listener.asked.append(self.path)
                self.send_response(listener.status)
                if listener.location:
                    self.send_header("Location", listener.location)
                self.send_header("Content-Length", "2")
                self.end_headers()
                self.wfile.write(b"{}")

            def do_GET(self) -> None:
                self.do_POST()

            def log_message(self, format: str, *args: object) -> None:
                pass

        super().__init__(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server_port}"


@contextmanager
def listening() -> Iterator[Listener]:
    with Listener() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def pair() -> Iterator[tuple[Listener, Listener]]:
    with ExitStack() as stack:
        yield stack.enter_context(listening()), stack.enter_context(listening())


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed_and_fails_a_stripe_request(pair: tuple[Listener, Listener], status: int) -> None:
    named, other = pair
    named.status, named.location = status, f"{other.url}/elsewhere"
    client = make_stripe_client("sk_test_1", named.url)
    answer = ask(lambda: client.v1.customers.create({"name": "Acme"}))
    assert (answer.outcome, answer.code) == (UNKNOWN, "no_answer")
    assert (named.asked, other.asked) == (["/v1/customers"], [])


def test_a_proxy_does_not_get_the_key_that_goes_to_this_machine_by_http(
    pair: tuple[Listener, Listener], monkeypatch: pytest.MonkeyPatch
) -> None:
    named, proxy = pair
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, proxy.url)
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    make_stripe_client("sk_test_1", named.url).v1.customers.list()
    assert (named.asked, proxy.asked) == (["/v1/customers"], [])


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirected_alert_is_not_sent(pair: tuple[Listener, Listener], status: int) -> None:
    named, other = pair
    named.status, named.location = status, f"{other.url}/login"
    with pytest.raises(AlertNotSent, match=str(status)):
        WebhookChannel(f"{named.url}/hook").post(Alert("code", "subject", "body"))
    assert (named.asked, other.asked) == (["/hook"], [])
