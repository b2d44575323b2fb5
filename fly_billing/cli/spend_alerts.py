"""Adds, removes and lists the alerts on an organization's upcoming invoice: `fly-billing spend-alert`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rich.table import Table

from fly_billing.alerting.spend_thresholds import add_threshold, remove_threshold, thresholds
from fly_billing.cli.local_platform import local_platform
from fly_billing.cli.terminal import Terminal
from fly_billing.money import format_cents
from fly_billing.postgres.database import BillingDatabase


@contextmanager
def _database() -> Iterator[BillingDatabase]:
    with local_platform() as settings:
        yield BillingDatabase(settings.database_url)


def add(console: Terminal, organization: str, amount: str) -> None:
    with _database() as database:
        is_new = add_threshold(database, organization, amount)
    outcome = "Added a spend alert" if is_new else "This spend alert already exists"
    console.print(f"{outcome}: when an upcoming invoice of {organization} reaches {amount}")


def remove(console: Terminal, organization: str, amount: str) -> None:
    with _database() as database:
        remove_threshold(database, organization, amount)
    console.print(f"Removed the spend alert of {organization} at {amount}")


def show(console: Terminal, organization: str | None) -> None:
    with _database() as database:
        alerts = thresholds(database, organization)
    if not alerts:
        console.print("No spend alerts" + (f" of {organization}" if organization else ""))
        return
    table = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0))
    table.add_column("Organization")
    table.add_column("Upcoming invoice reaches", justify="right")
    table.add_column("Last sent")
    for threshold in alerts:
        amount = format_cents(threshold.amount_cents, threshold.currency)
        table.add_row(threshold.organization_id, amount, threshold.last_alerted or "never")
    console.print(table)
