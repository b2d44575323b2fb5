"""A platform as `make dev` runs it: Dagster's webserver and daemon, Postgres and the Stripe sandbox, on 127.0.0.1.

Three organizations with usage of one shared-cpu-1x 256MB Machine in ams, which costs $2.02 for 2,592,000 seconds.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import requests
from sqlalchemy import text

from fly_billing.cli.data_folder import POSTGRES, SANDBOX_ADDRESS, make_data_folder
from fly_billing.embedded_postgres import PostgresServer, running
from fly_billing.embedded_postgres.roles import OWNER, PIPELINE
from fly_billing.periods import BillingMonth
from fly_billing.postgres.database import BillingDatabase
from fly_billing.postgres.migrate import migrate
from fly_billing.pricing.price_books import SHIPPED, load_price_book, read_price_book_files
from fly_billing.stripe_sandbox import SandboxControl
from fly_billing.usage.landing import land_days
from fly_billing.usage.usage_table import UsageTable
from tests.support.alert_servers import Webhook, serving
from tests.support.deployment import machine_seconds, write_events

ORGANIZATIONS = ("acme", "bolt", "cargo")
# A Machine that ran for 30 days costs $2.02.
MONTHLY_SECONDS = 2_592_000
PROGRAM = str(Path(sys.executable).with_name("fly-billing"))
STARTS_WITHIN, STOPS_WITHIN = 300, 60
# The partitions of invoices: `register_new_organizations` adds one per organization soon after the start. Until then
# nobody can be billed from a page.
GRAPHQL = """
query Partitions {
    assetNodeOrError(assetKey: {path: ["invoices"]}) {
        ... on AssetNode { partitionKeysByDimension { name partitionKeys } }
    }
}
"""


@dataclass
class UiPlatform:
    """A running platform. `months` are closed: their usage has landed, and nothing is billed yet."""

    url: str
    database: BillingDatabase
    webhook: Webhook
    data_dir: Path
    months: tuple[BillingMonth, ...]

    def rows(self, statement: str, **parameters: Any) -> list[Mapping[str, Any]]:
        with self.database.transaction() as connection:
            result = connection.execute(text(statement), parameters)
            return [dict(row) for row in result.mappings()] if result.returns_rows else []

    def write_usage(self, day: date, *events: Mapping[str, Any], name: str = "usage.jsonl") -> None:
        write_events(self.data_dir / "landing", day, events, name)

    def sandbox(self) -> SandboxControl:
        """Return the control of the Stripe sandbox, for changes that people make in Stripe's dashboard."""
        address = json.loads((self.data_dir / SANDBOX_ADDRESS).read_text(encoding="utf-8"))
        return SandboxControl(address["url"])

    def command(self, *arguments: str, code: int = 0) -> str:
        """Run `fly-billing` on the platform's data, expect its exit code, and return what it printed."""
        return _fly_billing(self.data_dir, *arguments, code=code)


@contextmanager
def ui_platform(data_dir: Path, months: tuple[BillingMonth, ...]) -> Iterator[UiPlatform]:
    """Run the platform during the block. Each organization used one Machine for 30 days in each of the months."""
    make_data_folder(data_dir)
    webhook = Webhook()
    with serving(webhook.server), running(data_dir / POSTGRES, databases=("billing", "dagster")) as server:
        _add_organizations(server, months[0].start)
        database = BillingDatabase(server.url("billing", role=PIPELINE))
        platform = UiPlatform("", database, webhook, data_dir, months)
        for month in months:
            platform.write_usage(
                month.first_day + timedelta(days=14),
                *(
                    machine_seconds(
                        f"{name}-{month}", name, month.start + timedelta(days=14, hours=1), str(MONTHLY_SECONDS)
                    )
                    for name in ORGANIZATIONS
                ),
            )
        _land(platform)
        with _dev(data_dir, webhook.url) as url:
            platform.url = url
            yield platform
        database.engine.dispose()


def _land(platform: UiPlatform) -> None:
    """Land every day on which usage of the months could arrive: those of the last month by a run, as Dagster asks for.

    The older days are landed without Dagster, which takes a second instead of a minute.
    """
    first, last = platform.months[0].first_day, platform.months[-1].first_day
    days = [first + timedelta(days=number) for number in range((last - first).days)]
    table = UsageTable(platform.data_dir / "usage_events")
    land_days(platform.database, table, platform.data_dir / "landing", days, platform.months[0], datetime.now(UTC))
    platform.command("land", str(platform.months[-1]))


def _add_organizations(server: PostgresServer, created_at: datetime) -> None:
    owner = BillingDatabase(server.url("billing", role=OWNER))
    migrate(owner)
    with owner.transaction() as connection:
        load_price_book(connection, read_price_book_files(SHIPPED / "fly"))
        for name in ORGANIZATIONS:
            connection.execute(
                text(
                    "insert into organizations (id, name, billing_group, created_at)"
                    " values (:id, :name, :id, :created_at)"
                ),
                {"id": name, "name": name.title(), "created_at": created_at},
            )
    owner.engine.dispose()


@contextmanager
def _dev(data_dir: Path, webhook_url: str) -> Iterator[str]:
    """Run `fly-billing dev` during the block. Yields the address of Dagster's UI."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    log = data_dir / "dev.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [PROGRAM, "dev", "--port", str(port)],
            stdout=output,
            stderr=subprocess.STDOUT,
            env=_environment(data_dir) | {"ALERT_WEBHOOK_URL": webhook_url},
        )
    try:
        url = f"http://127.0.0.1:{port}"
        _wait_until_served(url, process, log)
        yield url
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(STOPS_WITHIN)


def _wait_until_served(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    until = time.monotonic() + STARTS_WITHIN
    while time.monotonic() < until:
        assert process.poll() is None, log.read_text(encoding="utf-8")[-3000:]
        if _registered(url).issuperset(ORGANIZATIONS):
            return
        time.sleep(0.5)
    raise AssertionError(log.read_text(encoding="utf-8")[-3000:])


def _registered(url: str) -> set[str]:
    """Return the organizations that have partitions; none while the UI is not served."""
    try:
        answer = requests.post(f"{url}/graphql", json={"query": GRAPHQL}, timeout=20)
        answer.raise_for_status()
    except requests.RequestException:
        return set()
    dimensions = answer.json()["data"]["assetNodeOrError"].get("partitionKeysByDimension", [])
    return {key for dimension in dimensions if dimension["name"] == "org" for key in dimension["partitionKeys"]}


def _environment(data_dir: Path) -> dict[str, str]:
    return {**os.environ, "FLY_BILLING_DATA_DIR": str(data_dir)}


def _fly_billing(data_dir: Path, *arguments: str, code: int = 0) -> str:
    done = subprocess.run(
        [PROGRAM, *arguments],
        capture_output=True, text=True, encoding="utf-8", check=False, env=_environment(data_dir),
    )  # fmt: skip
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout


def closed_months(count: int) -> tuple[BillingMonth, ...]:
    """Return the last `count` months whose days of grace are over, oldest first."""
    last = BillingMonth.containing(datetime.now(UTC) - timedelta(days=4)).plus(-1)
    return tuple(last.plus(-back) for back in range(count - 1, -1, -1))
