"""After `land`, `bill` and `sync`: what was done, in words and as JSON. Failures are never counted as done."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest

from fly_billing.embedded_postgres import PostgresServer, create_database, drop_database
from fly_billing.periods import BillingMonth
from fly_billing.stripe_sandbox import SandboxServer
from tests.support.deployment import Deployment, machine_seconds

PROGRAM = Path(sys.executable).with_name("fly-billing")
SEPTEMBER = BillingMonth(2026, 9)
DAGSTER = "run_results_dagster"
# A Machine for 30 days is $2.02.
MONTHLY = "2592000"


@dataclass
class Commands:
    """Runs `fly-billing` on the deployment's data."""

    environment: dict[str, str]

    def words(self, *arguments: str, code: int = 0) -> list[str]:
        return self._run(*arguments, code=code).stdout.splitlines()

    def data(self, *arguments: str, code: int = 0) -> dict[str, Any]:
        """Run it with `--json`. The standard output is the JSON alone."""
        found: dict[str, Any] = json.loads(self._run(*arguments, "--json", code=code).stdout)
        return found

    def _run(self, *arguments: str, code: int) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [PROGRAM, *arguments], env=self.environment, capture_output=True, encoding="utf-8", timeout=600, check=False
        )
        assert done.returncode == code, done.stdout + done.stderr
        return done


@pytest.fixture
def commands(postgres: PostgresServer, deployment: Deployment, tmp_path: Path) -> Iterator[Commands]:
    """Provide September with acme (two Machines, $4.04), beta (one, $2.02) and corp, whose Machine has no price."""
    deployment.load_prices()
    for organization in ("acme", "beta", "corp"):
        deployment.add_organization(organization, created_at=SEPTEMBER.start)
    events = [
        machine_seconds(number, organization, SEPTEMBER.start, MONTHLY)
        for number, organization in enumerate(["acme", "acme", "beta", "corp"])
    ]
    events[3]["data"]["preset"] = "no-such-preset"
    unknown = {**events[0], "id": "unknown", "type": "no such meter"}
    deployment.write_usage(date(2026, 9, 2), [*events, events[0], unknown])
    create_database(postgres, DAGSTER)
    yield Commands(
        {
            **os.environ,
            "COLUMNS": "132",
            "DATABASE_URL": deployment.database_url,
            "DAGSTER_DATABASE_URL": postgres.url(DAGSTER, "postgresql+psycopg2"),
            "FLY_BILLING_DATA_DIR": str(tmp_path / "data"),
            "FLY_BILLING_LANDING_DIR": str(deployment.landing_dir),
            "FLY_BILLING_LAKE_DIR": str(deployment.lake_dir),
            "STRIPE_API_KEY": "sk_test_world",
            "STRIPE_API_BASE": deployment.stripe_url,
        }
    )
    drop_database(postgres, DAGSTER)


def test_rejected_rows_land_again_after_a_correction_of_the_sources(
    commands: Commands, deployment: Deployment, tmp_path: Path
) -> None:
    """The source test may send nothing but other; then it may send machine_seconds, of which 4 land."""
    folder = tmp_path / "shop"
    folder.mkdir()
    (folder / "fly_billing.yaml").write_text("version: 1\nname: shop\n", encoding="utf-8")
    commands.environment["FLY_BILLING_WORKSPACE"] = str(folder)
    (folder / "sources.yaml").write_text("sources: [{name: test, meters: [other]}]\n", encoding="utf-8")
    landed = commands.data("land")
    assert landed["rows"] == {"accepted": 0, "duplicate": 0, "rejected": 6}
    assert {reason["reason"] for reason in landed["reasons_of_rejection"]} == {"undeclared_meter", "unknown_meter"}
    (folder / "sources.yaml").write_text("sources: [{name: test, meters: [machine_seconds]}]\n", encoding="utf-8")
    assert commands.data("land")["rows"] == {"accepted": 0, "duplicate": 0, "rejected": 0}
    assert "correct sources.yaml and run `fly-billing land --rejected`" in commands.words("rejected")[-1]
    assert commands.data("land", "--rejected")["rows"] == {"accepted": 4, "duplicate": 1, "rejected": 1}


def test_each_command_counts_what_it_did_and_lists_what_failed(
    commands: Commands, deployment: Deployment, sandbox: SandboxServer
) -> None:
    landed = commands.data("land", "2026-09")
    assert landed["rows"] == {"accepted": 4, "duplicate": 1, "rejected": 1}
    assert (landed["files"], landed["not_landed_days"], landed["success"]) == (1, [], True)
    assert {"2026-09-01", "2026-10-03"} <= {*landed["landed_days"]}
    assert [(reason["reason"], reason["rows"]) for reason in landed["reasons_of_rejection"]] == [("unknown_meter", 1)]
    assert "rows: 0 accepted, 0 duplicate, 0 rejected" in commands.words("land"), "nothing has changed since"

    billed = commands.data("bill", "2026-09", code=1)
    assert billed["invoices"] == {"finalized": 2, "upcoming": 0, "already_final": 0, "not_updated": 0}
    assert billed["totals"] == [
        {"outcome": "finalized", "currency": "USD", "invoices": 2, "items": 2, "amount": "6.06", "minor_units": 606}
    ]
    assert [(failed["organization"], failed["code"]) for failed in billed["not_billed"]] == [("corp", "unpriced_usage")]
    assert (billed["success"], len(billed["failed_runs"]), billed["held_corrections"]) == (False, 1, 0)
    words = commands.words("bill", "2026-09", code=1)
    assert "already final: 2 invoices with 2 items, $6.06" in words
    assert "not billed 1 organization: corp" in words

    sandbox.control.add_fault(
        "error", "invoices.finalize", first=1, status=400, type="invalid_request_error", code="parameter_invalid"
    )
    sent = commands.data("sync", "2026-09", code=1)
    assert sent["invoices"] == {"sent": 1, "already_there": 0, "nothing_to_pay": 0, "waiting": 0, "failed": 1}
    assert (sent["success"], sum(each["minor_units"] for each in sent["totals"])) == (False, 606)
    sandbox.control.clear_faults()
    first, second, done = commands.words("sync", "2026-09")
    assert first.startswith("sent: 1 invoice with 1 item, $")
    assert second.startswith("already there: 1 invoice with 1 item, $")
    assert done == "sync_month 2026-09 done"


def test_a_sync_of_an_open_month_says_how_many_invoices_are_open(commands: Commands, deployment: Deployment) -> None:
    """September is billed on the 20th. An invoice is sent once its month is closed: neither is sent now."""
    deployment.now = datetime(2026, 9, 20, tzinfo=UTC)
    deployment.register_organizations()
    deployment.land(date(2026, 9, 2), date(2026, 9, 2))
    deployment.bill(SEPTEMBER, fails=True)
    assert commands.words("sync", "2026-09") == [
        "open until the month closes: 2 invoices",
        "sync_month 2026-09 done",
    ]
    synced = commands.data("sync", "2026-09")
    assert (synced["open_invoices"], synced["totals"]) == (2, [])


def test_landing_names_late_usage_of_a_final_month_until_it_is_billed(
    commands: Commands, deployment: Deployment
) -> None:
    """On 10 October, usage of September arrives, which is final since 4 October: a third Machine of acme's.

    It ran for half a month: $1.01, on the next invoice.
    """
    commands.data("land", "2026-09")
    commands.data("bill", "2026-09", code=1)
    deployment.write_usage(date(2026, 10, 10), [machine_seconds("late", "acme", SEPTEMBER.start, "1296000")])
    *_, landed, late = commands.words("land")
    assert landed.endswith("landed")
    assert late == (
        "late 1 event belongs to 2026-09, which is final: `fly-billing bill 2026-09` books it on the next invoice"
    )
    assert commands.data("land")["late_usage"] == [{"month": "2026-09", "new_events": 0}]
    assert commands.words("land")[-1] == (
        "late usage of 2026-09, which is final, landed since: `fly-billing bill 2026-09` books the difference on the"
        " next invoice"
    )
    words = commands.words("bill", "2026-09", code=1)
    at = words.index("corrected: 1 item, on the next invoice of each organization")
    assert words[at + 1] == (
        "  acme: shared-cpu-1x 256MB in ams, 2026-09: 6,480,000 seconds instead of 5,184,000 seconds (late rows): $1.01"
    )
    assert commands.data("land")["late_usage"] == []
    assert commands.data("bill", "2026-09", code=1)["corrections"] == [], "they are booked once"


def test_json_of_a_plan_or_a_repair_is_refused(commands: Commands) -> None:
    for arguments in (["sync", "2026-09", "--dry-run"], ["land", "--repair"]):
        assert commands.words(*arguments, "--json", code=2) == []
