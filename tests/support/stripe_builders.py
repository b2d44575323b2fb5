"""Finalized invoices and sync tools for tests of the Stripe side, with manually calculated amounts."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import NAMESPACE_URL, uuid5

import stripe
from sqlalchemy import text

from fly_billing.invoicing.bill_run import Billed, bill
from fly_billing.invoicing.month_closing import Terms
from fly_billing.periods import BillingMonth
from fly_billing.postgres.database import BillingDatabase
from fly_billing.stripe_sandbox import SandboxServer
from fly_billing.stripe_sync.client import make_stripe_client
from fly_billing.stripe_sync.invoice_sync import SyncRules, SyncTools
from fly_billing.stripe_sync.journal import StripeJournal
from fly_billing.stripe_sync.month_sync import SyncReport, sync_month
from fly_billing.stripe_sync.rate_limiter import RateLimiter
from fly_billing.stripe_sync.reconciliation import Reconciliation, reconcile_month
from fly_billing.usage.landing import land_days
from fly_billing.usage.rollups import roll_up
from fly_billing.usage.usage_table import UsageTable
from tests.support.prepared import prepare

JUNE, JULY = BillingMonth(2023, 6), BillingMonth(2023, 7)
TERMS = Terms(grace=timedelta(hours=72), due_days=14)
API_KEY = "sk_test_fly"
# Seconds after which a test gives up. No test waits that long, even on a slow machine.
PATIENCE = 120.0
MUTATIONS = ("invoices.create", "invoices.add_lines", "invoices.finalize")

Json = dict[str, Any]


def execute(database: BillingDatabase, statement: str, **parameters: Any) -> None:
    with database.transaction() as connection:
        connection.execute(text(statement), parameters)


def query(database: BillingDatabase, statement: str, **parameters: Any) -> list[Mapping[str, Any]]:
    with database.transaction() as connection:
        return [dict(row) for row in connection.execute(text(statement), parameters).mappings()]


def add_organization(database: BillingDatabase, name: str, currency: str = "USD", customer: str | None = None) -> None:
    """Add an organization that existed before June 2023, with its own billing group."""
    execute(
        database,
        """
        insert into organizations (id, name, currency, billing_group, created_at, stripe_customer_id)
        values (:id, :name, :currency, :id, '2023-01-01T00:00:00Z', :customer)
        """,
        id=name,
        name=name.title(),
        currency=currency,
        customer=customer,
    )


def charge(database: BillingDatabase, organization: str, *amounts: str, month: BillingMonth = JUNE) -> None:
    """Add one-off items of these amounts, in the organization's currency, to the month."""
    values = [
        {
            "id": uuid5(NAMESPACE_URL, f"{organization}|{month}|{number}"),
            "organization": organization,
            "description": f"charge {number:04d}",
            "amount": Decimal(amount),
            "at": month.start + timedelta(minutes=number),
        }
        for number, amount in enumerate(amounts, start=1)
    ]
    statement = """
        insert into one_off_items (id, organization_id, description, amount, currency, occurred_at)
        select :id, :organization, :description, :amount, currency, :at from organizations where id = :organization
    """
    with database.transaction() as connection:
        connection.execute(text(statement), values)


def close_month(
    database: BillingDatabase, folder: Path, month: BillingMonth = JUNE, *, finalize: bool = True
) -> Billed:
    """Bill all organizations for a month without usage, the day after its grace period."""
    closed = month.closes_at(TERMS.grace)
    usage_table, landing = UsageTable(folder / "usage_table"), folder / "no_usage"
    landing.mkdir(parents=True, exist_ok=True)
    # One day is really landed, to create a usage table; the other days are only inserted. It is in the middle of the
    # month, so that no other month has to be rolled up again because of it.
    land_days(database, usage_table, landing, [month.first_day + timedelta(days=9)], month, closed)
    execute(
        database,
        """
        insert into landing_days (landing_day, landed_at, lake_version)
        select cast(day as date), :now, 0
        from generate_series(cast(:first as timestamp), :last, interval '1 day') as days (day)
        on conflict do nothing
        """,
        first=month.first_day,
        last=month.last_landing_day(TERMS.grace),
        now=closed,
    )
    now = closed + timedelta(days=1)
    roll_up(database, usage_table, month, groups_of(database), now)
    return bill(database, month, groups_of(database), TERMS, now, finalize=finalize)


def bill_june(database: BillingDatabase, folder: Path, /, **charges: Sequence[str]) -> None:
    """Finalize June 2023 for organizations of these names, with one item per amount, in US dollars."""

    def make() -> None:
        for name, amounts in charges.items():
            add_organization(database, name)
            if amounts:
                charge(database, name, *amounts)
        close_month(database, folder)

    prepare(f"June 2023: {charges}", database, folder, ("usage_table", "no_usage"), make)


def groups_of(database: BillingDatabase) -> list[str]:
    return [row["billing_group"] for row in database.rows("billing_groups")]


def utc_now() -> datetime:
    return datetime.now(UTC)


class MovableClock:
    """Our clock and Stripe's, which move together."""

    def __init__(self, sandbox: SandboxServer) -> None:
        self._sandbox = sandbox
        self._offset = timedelta()

    def __call__(self) -> datetime:
        return utc_now() + self._offset

    def advance(self, hours: float) -> None:
        self._offset += timedelta(hours=hours)
        self._sandbox.control.advance_clock(int(hours * 3600))


def eventually(happened: Callable[[], object]) -> None:
    """Wait for an event that is certain to happen, even on a slow machine."""
    deadline = time.monotonic() + PATIENCE
    while not happened():
        assert time.monotonic() < deadline, f"not in {PATIENCE:.0f} s"
        time.sleep(0.01)


def hurried(seconds: float) -> None:
    """Sleep a twentieth of the given seconds."""
    time.sleep(seconds / 20)


def sync_tools(
    database: BillingDatabase,
    url: str,
    *,
    clock: Callable[[], datetime] = utc_now,
    key: str = API_KEY,
    workers: int = 1,
    patience: float | None = None,
    limiter: RateLimiter | None = None,
    journal: StripeJournal | None = None,
) -> SyncTools:
    """Make sync tools with short pauses between tries. `patience`: seconds to wait for a response."""
    client = make_stripe_client(key, url)
    if patience is not None:
        http = stripe.RequestsClient(timeout=(5, patience))
        client = stripe.StripeClient(key, base_addresses={"api": url}, http_client=http, max_network_retries=0)
    return SyncTools(
        journal=journal or StripeJournal(database, "test run"),
        client=client,
        limiter=limiter or RateLimiter(database, 1000, 1000),
        clock=clock,
        rules=SyncRules(workers=workers),
        sleep=hurried,
    )


def sync(tools: SyncTools, month: BillingMonth = JUNE) -> SyncReport:
    """Sync all billing groups of a month, once the locks of earlier syncs are gone."""
    database = tools.journal.database
    held = """
        select l.pid from pg_locks as l join pg_database as d on d.oid = l.database
        where l.locktype = 'advisory' and d.datname = current_database()
    """
    deadline = time.monotonic() + PATIENCE
    while query(database, held) and time.monotonic() < deadline:
        time.sleep(0.005)  # the server needs a moment to notice that a connection was closed or its process killed
    return sync_month(tools, month, groups_of(tools.journal.database))


def reconcile(tools: SyncTools, month: BillingMonth = JUNE) -> Reconciliation:
    """Compare all billing groups of a month with Stripe."""
    reader = tools.reader()
    return reconcile_month(tools.journal, reader, month, groups_of(tools.journal.database))


def kinds(tools: SyncTools, month: BillingMonth = JUNE) -> list[str]:
    """List the kinds of discrepancies of a month between our invoices and Stripe."""
    return [discrepancy.kind for discrepancy in reconcile(tools, month).discrepancies]


def outcome(report: SyncReport) -> tuple[dict[str, int], list[str]]:
    """Return (number of invoices by state, codes of the failed ones)."""
    return report.states, sorted(failed.failure.code for failed in report.failures)


def entry(database: BillingDatabase, organization: str, month: BillingMonth = JUNE) -> Mapping[str, Any]:
    """Return the invoice's row in the journal."""
    (row,) = query(
        database,
        """
        select s.* from stripe_invoices as s join invoices as i on i.id = s.invoice_id
        where i.organization_id = :organization and i.month = :month
        """,
        organization=organization,
        month=month.first_day,
    )
    return row


def in_stripe(sandbox: SandboxServer) -> list[tuple[str, str, int, int]]:
    """List Stripe's invoices: (organization, status, total, number of lines), by organization."""
    return sorted(
        (invoice["metadata"].get("organization", ""), invoice["status"], invoice["total"], len(invoice["lines"]))
        for invoice in sandbox.control.invoices()
    )


def invoice_in_stripe(sandbox: SandboxServer, organization: str) -> Json:
    """Return the organization's only invoice in Stripe, with all its lines."""
    (found,) = [
        invoice for invoice in sandbox.control.invoices() if invoice["metadata"]["organization"] == organization
    ]
    return found


def calls(sandbox: SandboxServer) -> list[str]:
    """List the endpoints that were called, in order."""
    return [call["endpoint"] for call in sandbox.control.calls()]


def sent(sandbox: SandboxServer) -> list[str]:
    """List the endpoints of calls that change objects, in order, without reads."""
    return [call["endpoint"] for call in sandbox.control.calls(method="POST")]


def reads(sandbox: SandboxServer) -> dict[str, int]:
    """Count the calls that only read."""
    return sandbox.control.call_counts(method="GET")


def mutations(sandbox: SandboxServer) -> dict[str, int]:
    """Count the calls that change invoices, replays included."""
    counts = sandbox.control.call_counts()
    return {name: counts[name] for name in MUTATIONS if name in counts}
