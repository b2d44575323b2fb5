"""Posts usage over HTTP, and runs the intake in a thread. Not here: the intake in a process of its own."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import uvicorn

from fly_billing.http_limits import configuration
from fly_billing.usage_intake import PATH, build_app
from fly_billing.usage_intake.intake import UsageIntake
from fly_billing.usage_intake.rules.tokens import SourceToken, digest_token

BATCH = "application/cloudevents-batch+json"
ONE = "application/cloudevents+json"
TOKENS = {"proxy": "fbu_of-the-proxy", "machines": "fbu_of-the-machines"}
KNOWN = [SourceToken(source, digest_token(token)) for source, token in TOKENS.items()]


def cloud_event(name: str, quantity: object = 1, **changes: Any) -> dict[str, Any]:
    """Return a request of acme on 15 September 2026, measured by the proxy."""
    plain = {
        "specversion": "1.0",
        "id": name,
        "source": "proxy",
        "type": "requests",
        "subject": "acme",
        "time": "2026-09-15T12:00:00Z",
        "data": {"quantity": quantity},
    }
    return {key: value for key, value in (plain | changes).items() if value is not None}


class UsageSender:
    """One connection to an intake, with the token of a source."""

    def __init__(self, port: int, token: str | None = TOKENS["proxy"], timeout: float = 120) -> None:
        self._connection = HTTPConnection("127.0.0.1", port, timeout=timeout)
        self._token = token
        self.headers: Mapping[str, str] = {}

    def post(self, body: str | bytes, content_type: str | None = BATCH, **headers: str) -> tuple[int, dict[str, Any]]:
        """Post a body; return (status, answer). `headers`: with _ for -."""
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if content_type:
            sent["Content-Type"] = content_type
        if self._token:
            sent.setdefault("Authorization", f"Bearer {self._token}")
        content = body.encode() if isinstance(body, str) else body
        self._connection.request("POST", PATH, content, sent)
        return self._answer()

    def batch(self, events: Sequence[Mapping[str, Any]]) -> tuple[int, list[str]]:
        """Post a batch; return the status, and each event's outcome or reason of rejection."""
        status, answer = self.post(json.dumps(events))
        return status, [event.get("reason", event["outcome"]) for event in answer.get("events", ())]

    def get(self, path: str) -> tuple[int, dict[str, Any]]:
        self._connection.request("GET", path)
        return self._answer()

    def metrics(self) -> set[str]:
        """Return the lines of /metrics, without comments and times."""
        self._connection.request("GET", "/metrics")
        lines = self._connection.getresponse().read().decode().splitlines()
        return {line for line in lines if not line.startswith("#") and "_created" not in line}

    def _answer(self) -> tuple[int, dict[str, Any]]:
        answer = self._connection.getresponse()
        self.headers = {name.lower(): value for name, value in answer.getheaders()}
        found: dict[str, Any] = json.loads(answer.read())
        return answer.status, found

    def close(self) -> None:
        self._connection.close()


@contextmanager
def serving_usage(intake: UsageIntake) -> Iterator[int]:
    """Serve a started intake in a thread on 127.0.0.1; yield its port. Closes the intake."""
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(configuration(build_app(KNOWN, intake), log_level="critical"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        yield int(listener.getsockname()[1])
    finally:
        server.should_exit = True
        thread.join()
        listener.close()
        intake.close()


def stored_lines(landing_dir: Path, *, hidden: bool = True) -> list[dict[str, Any]]:
    """Return all events in the landing folder's day folders, and in its hidden files."""
    paths = sorted(landing_dir.glob("*/*.jsonl"))
    paths += sorted(landing_dir.glob(".*.jsonl")) if hidden else []
    return [json.loads(line) for path in paths for line in path.read_text(encoding="utf-8").splitlines()]


def stored_ids(landing_dir: Path, *, hidden: bool = True) -> list[str]:
    return [event["id"] for event in stored_lines(landing_dir, hidden=hidden)]
