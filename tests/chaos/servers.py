"""The servers of a campaign, all on 127.0.0.1: a Postgres that can be restarted, a Stripe sandbox, the webhook service.

Keeps out: their use.
"""

from __future__ import annotations

import math
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.request import urlopen

from fly_billing.embedded_postgres import remove, running
from fly_billing.embedded_postgres.lifecycle import NOT_DURABLE
from fly_billing.postgres.database import BillingDatabase
from fly_billing.postgres.migrate import migrate
from fly_billing.stripe_sandbox import SandboxServer, spawn
from fly_billing.stripe_sync.rules.events import ACTED_ON
from fly_billing.stripe_sync.webhooks import PATH
from tests.chaos.worker_pool import ROOT
from tests.support.stripe_builders import API_KEY

DATABASE = "billing"
SECRET = "whsec_of_the_campaign"
SERVICE = """
import sys
from fly_billing.settings import Settings
from fly_billing.stripe_sync.webhooks import serve
serve(Settings.from_environment(), "127.0.0.1", int(sys.argv[1]), print)
"""
# Seconds after a restart in which a process may still use a connection that the restart closed.
AFTERMATH = 10.0


class RestartablePostgres:
    """A throw-away server that can be stopped and started again, with the same data on the same port."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._stack = ExitStack()
        self._is_away = False
        self._last_back = -math.inf
        self.restarts = 0
        self._start()

    def _start(self) -> None:
        self._server = self._stack.enter_context(running(self._root, (DATABASE,), NOT_DURABLE))

    @property
    def url(self) -> str:
        return self._server.url(DATABASE)

    def restart(self, seconds: float) -> None:
        """Stop the server, which ends all connections, and start it again after this number of seconds."""
        port, self._is_away = self._server.port, True
        self.stop()
        with socket.socket() as guard:  # so that no other program gets the port meanwhile
            guard.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            guard.bind(("127.0.0.1", port))
            time.sleep(seconds)
            self._start()
        self._last_back, self._is_away = time.monotonic(), False
        self.restarts += 1
        assert self._server.port == port, f"port {port} was taken while Postgres was away: run the campaign again"

    def was_away(self, since: float) -> bool:
        """Return True if it is away, was away since then (of time.monotonic), or is only just back."""
        return self._is_away or self._last_back + AFTERMATH > since

    def stop(self) -> None:
        self._stack.close()


@dataclass(frozen=True)
class TestServers:
    """The servers, up."""

    folder: Path
    postgres: RestartablePostgres
    sandbox: SandboxServer
    environment: Mapping[str, str]

    @property
    def database(self) -> BillingDatabase:
        return BillingDatabase(self.postgres.url)


@contextmanager
def started_servers(workers: int, requests_per_second: int) -> Iterator[TestServers]:
    """Start the servers for the block; a sync gets this number of workers and this pace."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="fly_billing-chaos-")))
        folder.chmod(0o711)  # so that the account of root's server can traverse it
        root = folder / "postgres"
        stack.callback(remove, root)
        postgres = RestartablePostgres(root)
        stack.callback(postgres.stop)
        migrate(BillingDatabase(postgres.url))
        sandbox = stack.enter_context(spawn(folder / "stripe.sqlite"))
        sandbox.control.settings(new_customers_have_a_card=True)  # the dashboard user pays invoices
        environment = {
            "DATABASE_URL": postgres.url,
            "STRIPE_API_KEY": API_KEY,
            "STRIPE_API_BASE": sandbox.url,
            "STRIPE_WORKERS": str(workers),
            "STRIPE_REQUESTS_PER_SECOND": str(requests_per_second),
            "STRIPE_REQUESTS_PER_ENDPOINT": str(requests_per_second),
            "STRIPE_WEBHOOK_SECRET": SECRET,
        }
        url = stack.enter_context(_webhook_service(folder / "webhooks.log", environment))
        sandbox.control.add_webhook_endpoint(url, SECRET, *ACTED_ON)
        yield TestServers(folder, postgres, sandbox, environment)


@contextmanager
def _webhook_service(log: Path, environment: Mapping[str, str]) -> Iterator[str]:
    """Run the production webhook service in a separate process; yield its address for events."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with log.open("wb") as out:
        service = subprocess.Popen(
            [sys.executable, "-c", SERVICE, str(port)],
            stdout=out,
            stderr=out,
            cwd=ROOT,
            env={**os.environ, **environment, "PYTHONPATH": str(ROOT)},
        )
    try:
        address = f"http://127.0.0.1:{port}"
        _wait_for(f"{address}/health", service, log)
        yield address + PATH
    finally:
        service.terminate()
        service.wait(timeout=30)


def _wait_for(url: str, service: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 60
    while True:
        try:
            with urlopen(url, timeout=5):
                return
        except OSError:
            assert service.poll() is None, f"the webhook service ended:\n{log.read_text(encoding='utf-8')}"
            assert time.monotonic() < deadline, "the webhook service does not answer"
            time.sleep(0.05)
