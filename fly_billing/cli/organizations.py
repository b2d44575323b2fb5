"""Changes and shows organizations: `fly-billing org`. Not here: the rules and the writing (`customers`)."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from rich.table import Table

from fly_billing.cli.change_options import ChangeOptions
from fly_billing.cli.changes import Work, make
from fly_billing.cli.local_platform import local_platform
from fly_billing.cli.terminal import Terminal, lines
from fly_billing.customers.billing_details import change_billing_details
from fly_billing.customers.closing import close_organization, reopen_organization
from fly_billing.customers.organizations import (
    Groups,
    ListedOrganization,
    add_organization,
    change_organization,
    list_organizations,
    rename_organization,
)
from fly_billing.customers.overview import read_overview
from fly_billing.customers.rules.organizations import OrganizationRecord
from fly_billing.customers.writing import CustomerRefused, Written
from fly_billing.money import counted
from fly_billing.periods import BillingMonth, moment_text
from fly_billing.postgres.database import BillingDatabase


def add(console: Terminal, options: ChangeOptions, organization: str, name: str | None, **facts: Any) -> None:
    """Add an organization. `facts`: other fields of OrganizationRecord; None for its default."""
    given = {field: value for field, value in facts.items() if value is not None}

    def act(work: Work) -> Sequence[Written]:
        one = OrganizationRecord(organization, name or organization, **{"created_at": work.actor.at} | given)
        groups = Groups(work.settings.max_org_partitions, work.settings.shared_groups)
        named = [field for field in ("created_at", "stripe_customer_id") if field in given]
        return [add_organization(work.connection, work.actor, one, groups, named)]

    make(console, options, act)


def rename(console: Terminal, options: ChangeOptions, organization: str, name: str) -> None:
    """Give an organization another name."""
    make(console, options, lambda work: [rename_organization(work.connection, work.actor, organization, name)])


def change_pricing(
    console: Terminal, options: ChangeOptions, organization: str, currency: str | None, book: str | None,
    first: BillingMonth | None,
) -> None:  # fmt: skip
    """Give an organization another currency or price book."""
    if currency is None and book is None:
        raise CustomerRefused(["give a --currency, a --book or both"])

    def act(work: Work) -> Sequence[Written]:
        code = currency.upper() if currency else None
        return [change_organization(work.connection, work.actor, organization, code, book, first)]

    make(console, options, act)


def close(console: Terminal, options: ChangeOptions, organization: str, at: datetime | None) -> None:
    """Close an organization's account, now or at an instant."""
    make(
        console, options,
        lambda work: close_organization(work.connection, work.actor, organization, at or work.actor.at),
    )  # fmt: skip


def reopen(console: Terminal, options: ChangeOptions, organization: str) -> None:
    """Open an organization's account again."""
    make(console, options, lambda work: [reopen_organization(work.connection, work.actor, organization)])


def change_details(console: Terminal, options: ChangeOptions, organization: str, **details: Any) -> None:
    """Change the details that are given. `details`: columns of `billing_details`; None: it stays."""
    given = {name: value for name, value in details.items() if value is not None}
    if "tax_ids" in given:
        given["tax_ids"] = tuple(part.strip() for part in given["tax_ids"].split(",") if part.strip())

    def act(work: Work) -> Sequence[Written]:
        return [change_billing_details(work.connection, work.actor, organization, **given)]

    make(console, options, act)


def show_all(console: Terminal, word: str | None, *, with_closed: bool, as_json: bool) -> None:
    """Print the organizations, or those with a word in id or name."""
    now = datetime.now(UTC)
    with local_platform() as settings:
        found = list_organizations(BillingDatabase(settings.database_url), now, word, with_closed=with_closed)
    if as_json:
        print(json.dumps([vars(one) for one in found], indent=2, default=datetime.isoformat))
        return
    table = Table(title="Organizations", title_justify="left")
    for heading in ("Id", "Name", "Currency", "Price book", "Since", "Subscriptions", "Paid by", "Last invoice", ""):
        table.add_column(heading, justify="right" if heading == "Subscriptions" else "left", overflow="fold")
    for one in found:
        table.add_row(
            one.id, one.name, one.currency, one.price_book, f"{one.created_at.astimezone(UTC):%Y-%m-%d}",
            f"{one.subscriptions:,}", one.payer_id or "", one.last_final_month or "", _closed(one, now),
        )  # fmt: skip
    console.print(table)
    console.print(counted(len(found), "organization"))


def _closed(one: ListedOrganization, now: datetime) -> str:
    if one.closed_at is None:
        return ""
    return f"{'closed' if one.closed_at <= now else 'closes'} {moment_text(one.closed_at.astimezone(UTC))}"


def show(console: Terminal, organization: str, *, as_json: bool) -> None:
    """Print an organization and all its terms. Raises CustomerRefused."""
    now = datetime.now(UTC)
    with local_platform() as settings:
        found = read_overview(BillingDatabase(settings.database_url), organization, now)
    one = found.organization
    if as_json:
        print(json.dumps(found.as_data(), indent=2))
        return
    console.print(
        f"{one.id}: {one.name}, price book {one.price_book} in {one.currency}, a customer from"
        f" {moment_text(one.created_at.astimezone(UTC))} on{', ' + _closed(one, now) if one.closed_at else ''}",
        soft_wrap=True,
    )
    table = Table(title="Terms", title_justify="left")
    for heading in ("Kind", "Terms"):
        table.add_column(heading, overflow="fold")
    for term in found.terms:
        table.add_row(term.kind, lines(*(f"{name}: {value}" for name, value in term.facts.items())))
    console.print(table if found.terms else "It has no terms: it pays list prices for its usage.")
