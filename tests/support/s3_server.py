"""An S3 server on 127.0.0.1 in its own process: moto's, which counts requests and can hold one.

It knows one access key, so that other keys are refused as Amazon refuses them. `/_control/...` is for tests.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ACCESS_KEY = "usage-of-this-test"
SECRET_KEY = "no secret: it opens a server on 127.0.0.1"
CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": ACCESS_KEY,
    "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
    "AWS_EC2_METADATA_DISABLED": "true",
}
REFUSAL = b"""<?xml version="1.0" encoding="UTF-8"?>
<Error><Code>InvalidAccessKeyId</Code><Message>The AWS Access Key Id does not exist in our records.</Message></Error>"""


@dataclass(frozen=True)
class S3Request:
    """A request that the server answered. `key` is the bucket and the key, with slashes."""

    method: str
    key: str
    query: str
    status: int
    if_none_match: str | None


@dataclass(frozen=True)
class S3Server:
    """A running server."""

    url: str

    def requests(self) -> list[S3Request]:
        """Return the requests since the last call."""
        return [S3Request(*found) for found in self._control("requests")]

    def hold(self, pattern: str, *, applied: bool) -> None:
        """Hold the next request `METHOD /key` that matches: never apply it, or apply and never answer it."""
        self._control(f"hold/{'applied' if applied else 'unapplied'}", pattern)

    def refuse(self, pattern: str) -> None:
        """Refuse the next request `METHOD /key` that matches, as if the key had no right to make it."""
        self._control("hold/refused", pattern)

    def wait_until_held(self) -> None:
        while not self._control("held"):
            time.sleep(0.02)

    def _control(self, name: str, body: str = "") -> Any:
        with urllib.request.urlopen(f"{self.url}/_control/{name}", body.encode()) as answer:
            return json.load(answer)


@contextmanager
def running_s3() -> Iterator[S3Server]:
    """Run a server during the block."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.support.s3_server"], cwd=Path(__file__).parents[2], stdout=subprocess.PIPE,
        text=True, encoding="utf-8", env={**os.environ, **CREDENTIALS, "PYTHONWARNINGS": "ignore"},
    )  # fmt: skip
    try:
        assert process.stdout is not None
        yield S3Server(f"http://127.0.0.1:{int(process.stdout.readline())}")
    finally:
        process.kill()
        process.communicate()


StartResponse = Callable[..., Any]
Application = Callable[[dict[str, Any], StartResponse], Iterable[bytes]]


class _Watched:
    """Wraps moto's application."""

    def __init__(self, application: Application) -> None:
        self._application = application
        self._lock = threading.Lock()
        self._seen: list[tuple[str, str, str, int, str | None]] = []
        self._hold: tuple[str, re.Pattern[str]] | None = None
        self._is_held = False

    def __call__(self, environ: dict[str, Any], start: StartResponse) -> Iterable[bytes]:
        path = environ["PATH_INFO"]
        if path.startswith("/_control/"):
            body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0)).decode()
            start("200 OK", [("Content-Type", "application/json")])
            return [json.dumps(self._control(path.removeprefix("/_control/"), body)).encode()]
        holds = self._matched(f"{environ['REQUEST_METHOD']} {path}")
        if holds == "refused" or f"Credential={ACCESS_KEY}/" not in environ.get("HTTP_AUTHORIZATION", ""):
            start("403 Forbidden", [("Content-Type", "application/xml"), ("Content-Length", str(len(REFUSAL)))])
            return [REFUSAL]
        if holds == "unapplied":
            self._wait_forever()
        answer = self._application(environ, self._counted(environ, start))
        if holds == "applied":
            self._wait_forever()
        return answer

    def _counted(self, environ: Mapping[str, Any], start: StartResponse) -> StartResponse:
        def started(status: str, *arguments: Any) -> Any:
            with self._lock:
                key = environ["PATH_INFO"].encode("latin-1").decode().strip("/")
                query, condition = environ.get("QUERY_STRING", ""), environ.get("HTTP_IF_NONE_MATCH")
                self._seen.append((environ["REQUEST_METHOD"], key, query, int(status[:3]), condition))
            return start(status, *arguments)

        return started

    def _matched(self, request: str) -> str | None:
        with self._lock:
            if self._hold is None or not self._hold[1].search(request):
                return None
            (kind, _), self._hold = self._hold, None
            return kind

    def _wait_forever(self) -> None:
        self._is_held = True
        threading.Event().wait()

    def _control(self, name: str, body: str) -> Any:
        with self._lock:
            if name == "requests":
                seen, self._seen = self._seen, []
                return seen
            if name.startswith("hold/"):
                self._hold, self._is_held = (name.removeprefix("hold/"), re.compile(body)), False
            return self._is_held


def main() -> None:
    """Serve until killed, and print the port."""
    from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
    from werkzeug.serving import WSGIRequestHandler, make_server

    class Quiet(WSGIRequestHandler):
        protocol_version = "HTTP/1.1"  # connections stay open

        def log(self, type: str, message: str, *args: Any) -> None:
            pass

    moto = DomainDispatcherApplication(create_backend_app)
    server = make_server("127.0.0.1", 0, _Watched(moto), threaded=True, request_handler=Quiet)
    print(server.port, flush=True)  # noqa: T201
    server.serve_forever()


if __name__ == "__main__":
    main()
