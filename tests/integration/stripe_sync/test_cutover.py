"""Before a month is synced: a dry run shows the requests, and an unusual total waits for approval."""

import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from fly_billing.errors import ActionableError
from fly_billing.periods import BillingMonth
from fly_billing.postgres.database import BillingDatabase
from fly_billing.stripe_sandbox import SandboxServer
from fly_billing.stripe_sync.approvals import UnusualTotals, approve_totals, plan_of_sync, require_usual_totals
from tests.support.deployment import Deployment
from tests.support.stripe_builders import (
    API_KEY,
    JULY,
    JUNE,
    add_organization,
    bill_june,
    charge,
    close_month,
    execute,
    in_stripe,
    query,
    sync,
    sync_tools,
)

COMMAND = Path(sys.executable).with_name("fly-billing")
SEPTEMBER, OCTOBER = BillingMonth(2026, 9), BillingMonth(2026, 10)
NOW = datetime(2023, 8, 5, tzinfo=UTC)


def command(
    database: BillingDatabase, sandbox: SandboxServer, data_dir: Path, *arguments: str
) -> subprocess.CompletedProcess[str]:
    """Run a command in a separate process, on the test's database and sandbox."""
    url = database.engine.url.render_as_string(hide_password=False)
    environment = {
        **os.environ,
        "FLY_BILLING_DATA_DIR": str(data_dir),
        "COLUMNS": "160",
        "DATABASE_URL": url,
        "DAGSTER_DATABASE_URL": url,
        "STRIPE_API_KEY": API_KEY,
        "STRIPE_API_BASE": sandbox.url,
        "STRIPE_REQUESTS_PER_SECOND": "10",
        "STRIPE_REQUESTS_PER_ENDPOINT": "2",
    }
    return subprocess.run(
        [COMMAND, *arguments],
        env=environment,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
        encoding="utf-8",
    )


def two_months(database: BillingDatabase, folder: Path, june: str, july: str) -> None:
    """Finalize June and July 2023 of acme, over these amounts."""
    bill_june(database, folder, acme=[june])
    charge(database, "acme", july, month=JULY)
    close_month(database, folder, JULY)


def test_a_dry_run_lists_exactly_the_requests_of_the_sync_and_sends_none(
    billing_database: BillingDatabase, sandbox: SandboxServer, tmp_path: Path
) -> None:
    # acme: 150 lines of $1.00 in 2 calls; bolt already has a customer; crux has nothing to pay
    bill_june(billing_database, tmp_path, acme=["1.00"] * 150, bolt=["12.00", "23.45"], crux=[])
    sandbox.control.seed_customer("cus_bolt", name="Bolt")
    execute(billing_database, "update organizations set stripe_customer_id = 'cus_bolt' where id = 'bolt'")

    dry_run = command(billing_database, sandbox, tmp_path / "data", "sync", "2023-06", "--dry-run")

    assert dry_run.returncode == 0, dry_run.stderr
    assert sandbox.control.calls() == []
    rows = [tuple(part.strip() for part in row.strip("│ ").split("│")) for row in dry_run.stdout.splitlines()]
    for line in [
        ("customers to create", "1"),
        ("invoices", "2"),
        ("lines", "152"),
        ("total in USD", "$185.45"),
        ("calls of POST /v1/invoices", "2"),
        ("calls in total", "8"),
        ("reads before the first call", "1 per 100 invoices and customers in Stripe"),
        ("shortest time at 10 calls a second, 2 per endpoint", "2 s"),
    ]:
        assert line in rows, dry_run.stdout
    assert "spending guard (USD): passes: last month has no final invoices" in dry_run.stdout

    planned = plan_of_sync(billing_database, JUNE)
    sync(sync_tools(billing_database, sandbox.url))
    sent = sandbox.control.call_counts()
    assert planned.calls == {"create_customer": 1, "create": 2, "add_lines": 3, "finalize": 2, "retrieve": 0}
    assert sent == {
        "customers.create": 1,
        "invoices.create": 2,
        "invoices.add_lines": 3,
        "invoices.finalize": 2,
        # It first reads what Stripe already has: nothing yet, so one page of each.
        "invoices.list": 1,
        "customers.list": 1,
    }
    assert in_stripe(sandbox) == [("acme", "open", 15000, 150), ("bolt", "open", 3545, 2)]
    assert plan_of_sync(billing_database, JUNE).invoices == 0


def test_a_month_within_half_of_the_previous_one_may_be_sent(billing_database: BillingDatabase, tmp_path: Path) -> None:
    two_months(billing_database, tmp_path, "100.00", "150.00")
    assert [total.reason for total in require_usual_totals(billing_database, JULY, 50)] == ["within 50 % of last month"]


@pytest.mark.parametrize(("july", "change"), [("150.01", "51 % more"), ("49.99", "51 % less")])
def test_a_blocked_month_names_both_totals_and_the_largest_changes(
    billing_database: BillingDatabase, tmp_path: Path, july: str, change: str
) -> None:
    two_months(billing_database, tmp_path, "100.00", july)
    with pytest.raises(UnusualTotals) as stopped:
        require_usual_totals(billing_database, JULY, 50)
    refusal = str(stopped.value)
    assert f"${july} this month, $100.00 last month: {change}, 50 % is allowed" in refusal
    assert f"Largest changes: acme ${july} (last month $100.00)" in refusal
    assert f"`fly-billing approve 2023-07 --by NAME --total {july}`" in refusal


def test_an_approval_covers_totals_up_to_its_own_and_the_newest_one_counts(
    billing_database: BillingDatabase, tmp_path: Path
) -> None:
    two_months(billing_database, tmp_path, "100.00", "200.00")
    approve_totals(billing_database, [JULY], {"USD": 20000}, "Ada", NOW)
    assert [total.reason for total in require_usual_totals(billing_database, JULY, 50)] == ["approved up to $200.00"]

    add_organization(billing_database, "bolt")
    charge(billing_database, "bolt", "0.01", month=JULY)
    close_month(billing_database, tmp_path, JULY)
    with pytest.raises(UnusualTotals, match=r"only \$200.00 is approved"):
        require_usual_totals(billing_database, JULY, 50)

    approve_totals(billing_database, [JULY], {"USD": 20001}, "Ada", NOW)
    require_usual_totals(billing_database, JULY, 50)
    approve_totals(billing_database, [JULY], {"USD": 1}, "Grace", NOW)
    with pytest.raises(UnusualTotals):
        require_usual_totals(billing_database, JULY, 50)


def test_an_approval_covers_only_its_month(billing_database: BillingDatabase, tmp_path: Path) -> None:
    two_months(billing_database, tmp_path, "100.00", "200.00")
    approve_totals(billing_database, [JUNE], {"USD": 20000}, "Ada", NOW)
    with pytest.raises(UnusualTotals):
        require_usual_totals(billing_database, JULY, 50)


def test_a_total_in_a_currency_without_an_invoice_is_refused_and_approves_nothing(
    billing_database: BillingDatabase, tmp_path: Path
) -> None:
    two_months(billing_database, tmp_path, "100.00", "200.00")
    with pytest.raises(ActionableError, match=r"^2023-07 has no invoice in EUR: nothing was approved; its .*: USD$"):
        approve_totals(billing_database, [JULY], {"USD": 20000, "EUR": 20000}, "Ada", NOW)
    with pytest.raises(ActionableError, match=r"^2023-09 has no invoice in USD: .*; run `fly-billing bill 2023-09`"):
        approve_totals(billing_database, [JULY, BillingMonth(2023, 9)], {"USD": 20000}, "Ada", NOW)
    assert query(billing_database, "select * from sync_approvals") == []


def test_an_approval_by_command_is_recorded_with_name_and_time(
    billing_database: BillingDatabase, sandbox: SandboxServer, tmp_path: Path
) -> None:
    two_months(billing_database, tmp_path, "100.00", "200.00")
    stopped = command(billing_database, sandbox, tmp_path / "data", "sync", "2023-07", "--dry-run")
    assert stopped.returncode == 1
    assert "spending guard (USD): blocked: $200.00 this month, $100.00 last month" in stopped.stdout

    in_cents = command(
        billing_database, sandbox, tmp_path / "data", "approve", "2023-07", "--by", "Ada", "--total", "20000"
    )
    assert (in_cents.returncode, query(billing_database, "select * from sync_approvals")) == (2, [])
    assert "20000 has no cents: write 20000.00 if you mean $20,000.00" in in_cents.stderr
    approved = command(
        billing_database, sandbox, tmp_path / "data", "approve", "2023-07", "--by", "Ada", "--total", "200.00"
    )
    assert approved.returncode == 0, approved.stderr
    assert "2023-07: Ada approved up to $200.00." in approved.stdout
    (row,) = query(billing_database, "select * from sync_approvals")
    assert (row["approved_by"], row["total_cents"], row["currency"]) == ("Ada", 20000, "USD")
    assert command(billing_database, sandbox, tmp_path / "data", "sync", "2023-07", "--dry-run").returncode == 0


@pytest.fixture
def grown(deployment: Deployment) -> Deployment:
    """September 2026 of acme and beta over $10.00 each, in Stripe; October over $10.00 and $90.00, finalized."""
    deployment.now = datetime(2026, 11, 5, tzinfo=UTC)
    for name in ("acme", "beta"):
        deployment.add_organization(name)
        charge(deployment.database, name, "10.00", month=SEPTEMBER)
        charge(deployment.database, name, "90.00" if name == "beta" else "10.00", month=OCTOBER)
    for month in (SEPTEMBER, OCTOBER):
        deployment.land_month(month)
        deployment.bill(month)
    deployment.sync(SEPTEMBER)
    return deployment


def test_a_blocked_run_fails_before_anything_is_sent_and_names_both_totals(
    grown: Deployment, sandbox: SandboxServer
) -> None:
    sandbox.control.clear_calls()
    result = grown.sync(OCTOBER, fails=True)
    assert sandbox.control.calls() == []
    (failed,) = [event for event in result.all_events if event.is_step_failure]
    refusal = failed.step_failure_data.error_display_string
    assert "$100.00 this month, $20.00 last month: 400 % more" in refusal
    assert "beta $90.00 (last month $10.00)" in refusal


def test_a_partition_of_a_blocked_month_is_not_sent_even_if_its_own_total_is_usual(
    grown: Deployment, sandbox: SandboxServer
) -> None:
    sandbox.control.clear_calls()
    grown.run("sync_month", {}, partition="2026-10-01|acme", fails=True)
    assert sandbox.control.calls() == []


def test_a_partition_of_a_usual_month_is_sent_even_if_its_own_total_is_unusual(
    grown: Deployment, sandbox: SandboxServer
) -> None:
    charge(grown.database, "acme", "90.00", month=BillingMonth(2026, 11))
    charge(grown.database, "beta", "30.00", month=BillingMonth(2026, 11))
    grown.now = datetime(2026, 12, 5, tzinfo=UTC)
    grown.land_month(BillingMonth(2026, 11))
    grown.bill(BillingMonth(2026, 11))
    # November: $120.00 after $100.00; beta by itself falls from $90.00 to $30.00
    grown.run("sync_month", {}, partition="2026-11-01|beta")
    assert ("beta", "open", 3000, 1) in in_stripe(sandbox)


def test_a_month_approved_in_the_launchpad_is_sent_and_the_approval_kept(
    grown: Deployment, sandbox: SandboxServer
) -> None:
    tags = {"fly_billing/approved_total": "100.00", "fly_billing/approved_by": "Grace"}
    grown.run("sync_month", {**grown.tags(OCTOBER), **tags})
    assert ("beta", "open", 9000, 1) in in_stripe(sandbox)
    (row,) = grown.execute("select approved_by, total_cents, currency from sync_approvals")
    assert row == {"approved_by": "Grace", "total_cents": 10000, "currency": "USD"}


def test_a_tag_with_a_lower_or_invalid_total_sends_nothing(grown: Deployment, sandbox: SandboxServer) -> None:
    sandbox.control.clear_calls()
    for text in ("99.99", "$100", "10000", "-100.00", "EUR=100.00"):
        grown.run("sync_month", {**grown.tags(OCTOBER), "fly_billing/approved_total": text}, fails=True)
    assert sandbox.control.calls() == []


def test_a_month_that_is_completely_in_stripe_passes_with_any_total(grown: Deployment) -> None:
    approve_totals(grown.database, [OCTOBER], {"USD": 10000}, "Ada", NOW)
    grown.sync(OCTOBER)
    approve_totals(grown.database, [OCTOBER], {"USD": 1}, "Ada", NOW)
    grown.sync(OCTOBER)


def test_the_guard_can_be_turned_off_by_its_setting(grown: Deployment, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLY_BILLING_GUARD_PERCENT", "0")
    grown.sync(OCTOBER)
