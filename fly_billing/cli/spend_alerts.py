"""`fly-billing spend-alert`: the amounts at which people are told what a month has come to."""

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
    said = "Spend alert added" if is_new else "That spend alert is there already"
    console.print(f"{said}: when a month of {organization} comes to {amount}")


def remove(console: Terminal, organization: str, amount: str) -> None:
    with _database() as database:
        remove_threshold(database, organization, amount)
    console.print(f"No spend alert of {organization} at {amount} any more")


def show(console: Terminal, organization: str | None) -> None:
    with _database() as database:
        found = thresholds(database, organization)
    if not found:
        console.print("No spend alerts" + (f" of {organization}" if organization else ""))
        return
    table = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0))
    table.add_column("Organization")
    table.add_column("A month comes to", justify="right")
    table.add_column("Last told")
    for threshold in found:
        amount = format_cents(threshold.amount_cents, threshold.currency)
        table.add_row(threshold.organization_id, amount, threshold.last_alerted or "never")
    console.print(table)
