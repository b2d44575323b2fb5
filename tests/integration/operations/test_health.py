"""`/health` and `/metrics` show the signs of life that Postgres and Dagster have, over HTTP."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, date, datetime, timedelta
from http.client import HTTPConnection
from pathlib import Path

import uvicorn
from dagster import DagsterInstance
from dagster._daemon.types import DaemonHeartbeat  # the class has no public name

from fly_billing.cli.health import PlatformReader
from fly_billing.cli.heartbeats import oldest_heartbeat
from fly_billing.http_limits import configuration
from fly_billing.operations.health_app import Reading, as_metrics, build_health_app
from fly_billing.operations.rules.attention import AttentionRow
from fly_billing.operations.rules.health import Health
from fly_billing.operations.signs_reader import health_limits, read_health
from fly_billing.postgres.database import BillingDatabase
from fly_billing.settings import Settings
from fly_billing.stripe_sandbox import SandboxServer
from fly_billing.stripe_sync.reconciliation import record_reconciliation
from tests.support.builders import Platform
from tests.support.deployment import Deployment
from tests.support.stripe_builders import JUNE, bill_june, reconcile, sync, sync_tools

LIMITS = health_limits(Settings.from_environment({}))
NOON = datetime(2026, 9, 20, 12, tzinfo=UTC)


@contextmanager
def serving(read_health: Callable[[], Health], *rows: AttentionRow) -> Iterator[Callable[[str], tuple[int, str]]]:
    """Serve on 127.0.0.1; yield a function that returns status and body of a path."""
    app = build_health_app(read_health, lambda: Reading(read_health(), rows))
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(configuration(app, log_level="critical"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()

    def get(path: str) -> tuple[int, str]:
        with closing(HTTPConnection("127.0.0.1", listener.getsockname()[1], timeout=60)) as connection:
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()

    try:
        yield get
    finally:
        server.should_exit = True
        thread.join()
        listener.close()


def test_health_is_200_while_the_daemon_lives_and_lands_and_503_after(platform: Platform) -> None:
    platform.land(date(2026, 9, 20), now=NOON - timedelta(hours=1))
    seconds = [10]
    row = AttentionRow("failed sync", "2026-08", "Stripe did not answer", "fly-billing sync 2026-08")

    def read() -> Health:
        return read_health(platform.database, NOON - timedelta(seconds=seconds[0]), LIMITS, NOON)

    with serving(read, row, row) as get:
        status, body = get("/health")
        assert (status, json.loads(body)["status"]) == (200, "ok")
        assert json.loads(body)["signs"]["landing"]["age_seconds"] == 3600
        lines = get("/metrics")[1].splitlines()
        assert "fly_billing_healthy 1.0" in lines
        # 11:00 on 20 September 2026 is 1,789,902,000 seconds after 1970.
        assert 'fly_billing_last_timestamp_seconds{sign="landing"} 1.789902e+09' in lines
        assert 'fly_billing_attention{kind="failed sync"} 2.0' in lines

        seconds[0] = 301
        status, body = get("/health")
        assert (status, json.loads(body)["signs"]["heartbeat"]["ok"]) == (503, False)
        assert 'fly_billing_sign_ok{sign="heartbeat"} 0.0' in get("/metrics")[1].splitlines()


def test_a_database_that_can_not_be_read_is_a_503_with_its_reason_and_without_its_password() -> None:
    database = BillingDatabase("postgresql://me:very-secret@127.0.0.1:1/billing")
    with serving(lambda: read_health(database, NOON, LIMITS, NOON)) as get:
        status, body = get("/health")
        assert (status, json.loads(body)["status"]) == (503, "failing")
        assert "is not running there" in json.loads(body)["problem"]
        metrics = get("/metrics")[1]
        assert "fly_billing_readable 0.0" in metrics.splitlines()
        assert "very-secret" not in body + metrics


def test_a_comparison_with_stripe_is_due_once_an_invoice_has_been_there_for_longer_than_the_limit(
    billing_database: BillingDatabase, sandbox: SandboxServer, tmp_path: Path
) -> None:
    bill_june(billing_database, tmp_path, acme=["12.00"])
    tools = sync_tools(billing_database, sandbox.url)
    sync(tools)
    sent = datetime.now(UTC)

    def is_good(hours: int) -> bool:
        now = sent + timedelta(hours=hours)
        return read_health(billing_database, now, LIMITS, now).signs["reconciliation"].is_good

    assert [is_good(hours) for hours in (1, 37)] == [True, False]
    record_reconciliation(billing_database, JUNE, reconcile(tools), "run", sent + timedelta(hours=20))
    assert [is_good(hours) for hours in (37, 55, 57)] == [True, True, False]


def test_the_oldest_heartbeat_of_the_required_daemons_counts(tmp_path: Path) -> None:
    now = datetime.now(UTC)
    with DagsterInstance.local_temp(str(tmp_path)) as instance:
        assert oldest_heartbeat(instance) is None
        required = sorted(instance.get_required_daemon_types())
        for number, daemon in enumerate(required[1:]):
            instance.add_daemon_heartbeat(DaemonHeartbeat(now.timestamp() - number, daemon, "one"))
        assert oldest_heartbeat(instance) is None  # one daemon never ran
        instance.add_daemon_heartbeat(DaemonHeartbeat(now.timestamp() - 400, required[0], "one"))
        oldest = oldest_heartbeat(instance)
        assert oldest is not None
        assert round((now - oldest).total_seconds()) == 400


def test_the_metrics_count_a_stopped_daemon_as_status_does(deployment: Deployment) -> None:
    """They share one list, so a kind of problem can't be in `status` and missing in the metrics."""
    settings = Settings.from_environment(
        {"DATABASE_URL": deployment.database_url, "FLY_BILLING_LANDING_DIR": str(deployment.landing_dir)}
    )
    for daemon in deployment.instance.get_required_daemon_types():
        deployment.instance.add_daemon_heartbeat(DaemonHeartbeat(datetime.now(UTC).timestamp() - 400, daemon, "one"))
    reading = PlatformReader(settings, deployment.instance).everything()
    assert [row.kind for row in reading.attention] == ["daemon stopped"]
    assert 'fly_billing_attention{kind="daemon stopped"} 1.0' in as_metrics(reading).decode().splitlines()
