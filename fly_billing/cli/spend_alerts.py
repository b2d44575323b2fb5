"""Adds, removes and lists thresholds, caps and messages to customers: `fly-billing spend-alert` and `spend-cap`."""

from __future__ import annotations

import getpass
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import typer
from rich.table import Table

from fly_billing.cli.local_platform import local_platform
from fly_billing.cli.terminal import Terminal
from fly_billing.customer_alerts import spend_caps
from fly_billing.customer_alerts.alert_addresses import remove_alert_address, set_alert_address
from fly_billing.customer_alerts.customer_mail import subscribe_again
from fly_billing.customer_alerts.messages import customer_messages
from fly_billing.customer_alerts.messages import replay as replay_messages
from fly_billing.customer_alerts.rules.thresholds import Kind
from fly_billing.customer_alerts.thresholds import add_threshold, remove_threshold, thresholds
from fly_billing.foreign_text import visible
from fly_billing.money import counted
from fly_billing.postgres.database import BillingDatabase

# The time of which `replay` sends warnings again unless `--since` says otherwise: older warnings would only confuse.
REPLAYED = timedelta(days=7)


@contextmanager
def _database() -> Iterator[BillingDatabase]:
    with local_platform() as settings:
        yield BillingDatabase(settings.database_url)


def kind_of(app: str | None, product: str | None, *, forecast: bool) -> tuple[Kind, str | None]:
    """Return the kind and subject that options name. Raises typer.BadParameter for more than one option."""
    if sum([app is not None, product is not None, forecast]) > 1:
        raise typer.BadParameter("give at most one of --app, --product and --forecast")
    if app is not None:
        return "app", app
    if product is not None:
        return "product", product
    return ("forecast" if forecast else "amount"), None


def add(console: Terminal, organization: str, amount: str, kind: Kind, subject: str | None) -> None:
    with _database() as database:
        is_new = add_threshold(database, organization, amount, kind, subject, getpass.getuser())
        of_kind = [each for each in thresholds(database, organization) if (each.kind, each.subject) == (kind, subject)]
    outcome = "Added a spend alert" if is_new else "This spend alert already exists"
    console.print(f"{outcome}: when {_what(organization, kind, subject)} reaches {amount}")
    for reason in {each.no_effect for each in of_kind if each.no_effect}:
        console.print(f"It has no effect now. {reason}")


def remove(console: Terminal, organization: str, amount: str, kind: Kind, subject: str | None) -> None:
    with _database() as database:
        remove_threshold(database, organization, amount, kind, subject, getpass.getuser())
    console.print(f"Removed the spend alert: when {_what(organization, kind, subject)} reaches {amount}")


def _what(organization: str, kind: Kind, subject: str | None) -> str:
    if kind == "forecast":
        return f"the month-end estimate of {organization}"
    part = f"the {kind} {visible(subject)} in " if subject else ""
    return f"{part}an upcoming invoice of {organization}"


def show(console: Terminal, organization: str | None) -> None:
    """Print the thresholds, with the last month in which each alerted."""
    with _database() as database:
        alerts = thresholds(database, organization)
    if not alerts:
        console.print("No spend alerts" + (f" of {organization}" if organization else ""))
        return
    table = _table("Organization", "Upcoming invoice reaches", "Last sent", "Added by", "")
    for threshold in alerts:
        first = " (first alert)" if threshold.is_first else ""
        table.add_row(
            threshold.organization_id, threshold.limit.in_words() + first, threshold.last_alerted or "never",
            visible(threshold.added_by or "-"),
            f"no effect. {threshold.no_effect}" if threshold.no_effect else "",
        )  # fmt: skip
    console.print(table)


def show_messages(console: Terminal, organization: str | None, *, only_given_up: bool) -> None:
    """Print the newest messages to customers, with their state."""
    with _database() as database:
        messages = customer_messages(database, organization, only_given_up=only_given_up)
    if not messages:
        console.print("No messages")
        return
    table = _table("Made (UTC)", "Organization", "By", "State", "Subject", "Last refusal")
    for each in messages:
        made, refusal = f"{each.made_at:%Y-%m-%d %H:%M}", each.last_refusal or ""
        table.add_row(made, each.organization_id, each.channel, each.state, each.subject, visible(refusal))
    console.print(table)


def replay(console: Terminal, organization: str | None, since: datetime | None, *, also_sent: bool) -> None:
    """Put messages into the outbox again, with their ids. Without `since`, those of the last seven days."""
    with _database() as database:
        start = since or datetime.now(UTC) - REPLAYED
        number = replay_messages(database, start, organization, also_sent=also_sent)
    console.print(f"{counted(number, 'message')} will be sent again, with the same id")


def subscribe(console: Terminal, organization: str) -> None:
    """Send e-mails again to addresses that wanted none."""
    with _database() as database:
        number = subscribe_again(database, organization)
    console.print(f"{counted(number, 'address')} of {organization} will get alerts again")


def set_address(console: Terminal, organization: str, email: str) -> None:
    """Send alerts to this address. Raises NoSuchOrganization, AddressRefused."""
    with _database() as database:
        set_alert_address(database, organization, email, getpass.getuser())
    console.print(f"Alerts of {organization} go to {visible(email)}")


def remove_address(console: Terminal, organization: str) -> None:
    """Send alerts to the billing address again. Raises AddressRefused."""
    with _database() as database:
        remove_alert_address(database, organization)
    console.print(f"Alerts of {organization} go to the address of its billing details again")


def set_cap(console: Terminal, organization: str, amount: str) -> None:
    with _database() as database:
        spend_caps.set_cap(database, organization, amount, getpass.getuser())
    console.print(f"The cap of {organization} is {amount} a month; the platform is called when a month reaches it")


def remove_cap(console: Terminal, organization: str) -> None:
    with _database() as database:
        spend_caps.remove_cap(database, organization, getpass.getuser())
    console.print(f"Removed the cap of {organization}")


def acknowledge_cap(console: Terminal, organization: str) -> None:
    with _database() as database:
        spend_caps.acknowledge(database, organization)
    console.print(f"The call about the cap of {organization} is acknowledged and no longer repeated")


def show_caps(console: Terminal, organization: str | None) -> None:
    """Print the caps, with the last call to the platform."""
    with _database() as database:
        caps = spend_caps.spend_caps(database, organization)
    if not caps:
        console.print("No caps" + (f" of {organization}" if organization else ""))
        return
    table = _table("Organization", "Cap", "State")
    for cap in caps:
        table.add_row(cap.organization_id, cap.cap, cap.in_words())
    console.print(table)


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0))
    for column in columns:
        table.add_column(column)
    return table
