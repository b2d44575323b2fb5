"""The daemon calls an outside monitor every minute, and never shows a refusal as success."""

from __future__ import annotations

from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from dagster import SkipReason, build_sensor_context

from fly_billing.alerting.heartbeat import HeartbeatNotSent, send_heartbeat
from fly_billing.resources.heartbeat import Heartbeat
from fly_billing.sensors.send_heartbeat import send_heartbeat as sensor
from fly_billing.settings import SettingsError
from tests.support.alert_servers import black_hole, serving


class Monitor:
    """Notes each call, and answers with `status`."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.status = 200
        monitor = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                monitor.calls.append(self.path)
                self.send_response(monitor.status)
                self.send_header("Location", "/elsewhere")
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:
                pass

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/ping/very-secret"


@pytest.fixture
def monitor() -> Iterator[Monitor]:
    monitor = Monitor()
    with serving(monitor.server):
        yield monitor


def tick(heartbeat: Heartbeat) -> object:
    with build_sensor_context(resources={"heartbeat": heartbeat}) as context:
        return sensor(context)


def test_each_tick_calls_the_monitor(monitor: Monitor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEARTBEAT_URL", monitor.url)
    done = [tick(Heartbeat()) for _ in range(2)]
    assert [step.skip_message for step in done if isinstance(step, SkipReason)] == ["the monitor was called"] * 2
    assert monitor.calls == ["/ping/very-secret"] * 2


def test_nothing_is_called_if_no_address_is_set() -> None:
    done = tick(Heartbeat())
    assert isinstance(done, SkipReason)
    assert done.skip_message == "HEARTBEAT_URL is not set"


@pytest.mark.parametrize(("status", "reason"), [(404, "404 Not Found"), (500, "500"), (302, "302 Found")])
def test_a_refusal_or_a_redirect_fails_the_tick(monitor: Monitor, status: int, reason: str) -> None:
    monitor.status = status
    with pytest.raises(HeartbeatNotSent, match=f"the monitor answered {reason}") as refused:
        tick(Heartbeat(url=monitor.url))
    assert "very-secret" not in str(refused.value)
    assert monitor.calls == ["/ping/very-secret"]  # the redirect was not followed


def test_a_monitor_that_never_answers_fails_the_tick() -> None:
    with black_hole() as address, pytest.raises(HeartbeatNotSent, match="can't be reached") as silent:
        send_heartbeat(f"http://{address}/ping/very-secret", patience=0.2)
    assert "very-secret" not in str(silent.value)


@pytest.mark.parametrize("url", ["http://monitor.example/ping/very-secret", "ftp://127.0.0.1/x", "monitor"])
def test_an_address_that_would_be_called_in_the_clear_is_refused(url: str) -> None:
    with pytest.raises(SettingsError, match="HEARTBEAT_URL") as refused:
        Heartbeat(url=url).send()
    assert "very-secret" not in str(refused.value)
