"""The read API on 127.0.0.1, on the role that can only read, and a client that reads whole answers."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import quote

import uvicorn
from starlette.types import ASGIApp

from fly_billing.api import ApiLimits, build_api, database_limits, reading_pool
from fly_billing.api.page_links import PAGE_PATH, PageLinks
from fly_billing.api.rules.access import SCOPES
from fly_billing.api.token_store import IssuedToken, NewToken, issue
from fly_billing.embedded_postgres import PostgresServer
from fly_billing.embedded_postgres.roles import READER
from fly_billing.http_limits import configuration
from fly_billing.postgres.database import BillingDatabase

COMMAND = Path(sys.executable).with_name("fly-billing")
# Seconds until a process must answer or end.
PATIENCE = 120
LINK_SECRET = "a secret of tests that is long enough"
LINKS = PageLinks((LINK_SECRET,))
# So many that no test meets the limit by chance.
UNLIMITED = ApiLimits(1_000_000, 1_000_000)
ORGANIZATION_ROUTES = (
    "statement",
    "upcoming-invoice",
    "estimate",
    "invoices",
    "invoices/{invoice}",
    "items/{item}/explanation",
    "usage",
    "balance",
    "credits",
    "alerts",
)


@dataclass(frozen=True)
class Got:
    """An answer."""

    status: int
    headers: Mapping[str, str]
    text: str

    @property
    def data(self) -> Any:
        return json.loads(self.text)


@dataclass(frozen=True)
class ApiClient:
    """Sends requests to the API."""

    port: int

    def get(self, path: str, token: str | None = None, **headers: str) -> Got:
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.send("GET", path, {**bearer(token), **given})

    def post(self, path: str, token: str | None, body: object) -> Got:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        return self.send("POST", path, {"Content-Type": "application/json", **bearer(token)}, content)

    def send(self, method: str, path: str, headers: Mapping[str, str], body: bytes | None = None) -> Got:
        with closing(HTTPConnection("127.0.0.1", self.port, timeout=60)) as connection:
            connection.request(method, path, body, dict(headers))
            answer = connection.getresponse()
            return Got(answer.status, {name.lower(): value for name, value in answer.headers.items()}, _text(answer))

    def of(self, organization: str, path: str, token: str | None, **headers: str) -> Got:
        return self.get(f"/v1/organizations/{quote(organization, safe='')}/{path}", token, **headers)


def _text(answer: Any) -> str:
    return str(answer.read().decode())


def bearer(token: str | None) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"} if token else {}


@contextmanager
def reading(server: PostgresServer, database: BillingDatabase) -> Iterator[BillingDatabase]:
    """Yield the same database with the role that can only read."""
    name = str(database.engine.url.database)
    reader = BillingDatabase(server.url(name, role=READER), limits=database_limits(), pool=reading_pool())
    try:
        yield reader
    finally:
        reader.engine.dispose()


@contextmanager
def serving(app: ASGIApp) -> Iterator[ApiClient]:
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(configuration(app, log_level="critical"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        yield ApiClient(listener.getsockname()[1])
    finally:
        server.should_exit = True
        thread.join()
        listener.close()


@contextmanager
def serving_api(
    server: PostgresServer,
    database: BillingDatabase,
    now: Callable[[], datetime],
    limits: ApiLimits = UNLIMITED,
) -> Iterator[ApiClient]:
    """Serve the API over this database with the role that can only read."""
    with reading(server, database) as reader, serving(build_api(reader, limits, now, LINKS)) as client:
        yield client


def customer_token(
    database: BillingDatabase,
    organization: str,
    now: datetime,
    scopes: Sequence[str] = SCOPES,
    lasts: timedelta = timedelta(days=365),
) -> IssuedToken:
    """Issue a token of an organization."""
    wanted = NewToken(f"site of {organization}", now + lasts, organization, None, tuple(scopes))
    return issue(database, wanted, "ann", now)


def page_path(organization: str, now: datetime, days: int = 7, links: PageLinks = LINKS) -> str:
    """Return the path of an organization's page."""
    return PAGE_PATH + links.make(organization, days, now).url.partition(PAGE_PATH)[2]


def operator_token(database: BillingDatabase, role: str, now: datetime) -> IssuedToken:
    return issue(database, NewToken(f"{role} desk", now + timedelta(days=365), None, role), "ann", now)


@dataclass(frozen=True)
class Served:
    """A process of `fly-billing api`."""

    port: int
    pid: int


@contextmanager
def serving_command(server: PostgresServer, database: BillingDatabase, requests_per_second: int) -> Iterator[Served]:
    """Run `fly-billing api` as a process. Its log is discarded."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = int(free.getsockname()[1])
    variables = {
        **os.environ,
        "FLY_BILLING_API_DATABASE_URL": server.url(str(database.engine.url.database), role=READER),
        "FLY_BILLING_API_REQUESTS_PER_SECOND": str(requests_per_second),
        "FLY_BILLING_LINK_SECRET": LINK_SECRET,
    }
    with tempfile.TemporaryDirectory() as folder:
        process = subprocess.Popen(
            [COMMAND, "api", "--port", str(port)], cwd=folder, env=variables,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            _wait_until_healthy(process, port)
            yield Served(port, process.pid)
        finally:
            process.terminate()
            process.wait(PATIENCE)


def _wait_until_healthy(process: subprocess.Popen[bytes], port: int) -> None:
    deadline = time.monotonic() + PATIENCE
    while True:
        assert process.poll() is None, "the API ended by itself"
        assert time.monotonic() < deadline, "the API does not answer"
        try:
            if ApiClient(port).get("/health").status == 200:
                return
        except OSError:
            time.sleep(0.05)
