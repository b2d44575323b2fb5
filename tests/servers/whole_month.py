"""A small month on any server: migrated, landed, rolled up, billed, synced, shown. Keeps out: the server's version."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path

from dagster import DagsterInstance
from pytest import MonkeyPatch

from fly_billing.dagster_storage import INSTANCE_FILE
from fly_billing.embedded_postgres import PostgresServer
from fly_billing.embedded_postgres.roles import DAGSTER, OWNER, PIPELINE
from fly_billing.periods import BillingMonth
from fly_billing.postgres.database import BillingDatabase
from fly_billing.postgres.migrate import migrate
from fly_billing.stripe_sandbox import SandboxServer
from tests.support.deployment import Deployment, event, machine_seconds

OCTOBER = BillingMonth(2026, 10)
NOON = datetime(2026, 10, 14, 12, tzinfo=UTC)
COMMAND = Path(sys.executable).with_name("fly-billing")


@dataclass(frozen=True)
class Databases:
    """The two databases as a user names them, and the billing one as its owner."""

    billing: str
    dagster: str
    owner: str

    @classmethod
    def on(cls, server: PostgresServer, billing: str = "billing", dagster: str = "dagster") -> Databases:
        return cls(
            server.url(billing, "postgresql", role=PIPELINE),
            server.url(dagster, "postgresql", role=DAGSTER),
            server.url(billing, "postgresql", role=OWNER),
        )


def bill_october(databases: Databases, folder: Path, sandbox: SandboxServer, monkeypatch: MonkeyPatch) -> None:
    """Bill acme's October: 2.02 of Machines, 0.25 of egress, 14.50 for half a month of support; to pay: 16.77."""
    (folder / "dagster").mkdir()
    (folder / "landing").mkdir()
    (folder / "dagster" / "dagster.yaml").write_text((INSTANCE_FILE).read_text(encoding="utf-8"), encoding="utf-8")
    monkeypatch.setenv("DAGSTER_DATABASE_URL", databases.dagster)
    owner = BillingDatabase(databases.owner)
    migrate(owner)
    with DagsterInstance.from_config(str(folder / "dagster")) as instance:
        deployment = Deployment(
            owner, databases.billing, folder / "landing", folder / "usage_table", sandbox.url, instance,
            datetime(2026, 11, 5, tzinfo=UTC),
        )  # fmt: skip
        deployment.load_prices()
        deployment.add_organization("acme")
        deployment.write_usage(
            date(2026, 10, 15),
            [
                machine_seconds(1, "acme", NOON, "2592000"),
                event(1, "egress_gb", "acme", NOON, "12.5", app="web", region="ams"),
            ],
        )
        deployment.execute(
            "insert into subscriptions values"
            " (gen_random_uuid(), 'acme', 'support/standard', '2026-09-01Z', '2026-10-16 12:00Z')"
        )
        deployment.land_month(OCTOBER)
        deployment.bill(OCTOBER)
        deployment.sync(OCTOBER)
        assert deployment.totals(OCTOBER) == {"acme": ("finalized", 1677)}
        assert deployment.statuses("invoices", OCTOBER, ["acme"]) == {"acme": "MATERIALIZED"}
        assert {run.status.value for run in instance.get_runs()} == {"SUCCESS"}
    owner.engine.dispose()
    (invoice,) = sandbox.control.invoices()
    assert (invoice["status"], invoice["total"], invoice["currency"]) == ("open", 1677, "usd")


def command(databases: Databases, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run `fly-billing` on these databases, in a separate process."""
    names = {
        **os.environ,
        "DATABASE_URL": databases.billing,
        "FLY_BILLING_MIGRATION_DATABASE_URL": databases.owner,
        "DAGSTER_DATABASE_URL": databases.dagster,
        "FLY_BILLING_DATA_DIR": str(folder / "data"),
        "COLUMNS": "1000",
    }
    return subprocess.run(
        [COMMAND, *arguments], env=names, capture_output=True, text=True, timeout=600, check=False, encoding="utf-8"
    )


def refused(found: subprocess.CompletedProcess[str], message: str) -> None:
    """Check that a command ended with one line that names the problem, and with a failing exit code."""
    lines = found.stderr.strip().splitlines()
    assert found.returncode != 0
    assert len(lines) == 1, found.stderr
    assert message in lines[0]
    assert found.stdout.strip() == ""
