"""Writes negotiated prices and memberships in price groups: `price override`, `group`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from rich.table import Table

from fly_billing.cli.change_options import ChangeOptions
from fly_billing.cli.changes import Work, make
from fly_billing.cli.local_platform import local_platform
from fly_billing.cli.terminal import Terminal
from fly_billing.customers.organizations import show_organization
from fly_billing.customers.price_groups import join_group, leave_group, list_memberships
from fly_billing.customers.price_overrides import write_price_overrides
from fly_billing.customers.writing import Written
from fly_billing.money import counted
from fly_billing.periods import moment_text
from fly_billing.postgres.database import BillingDatabase
from fly_billing.pricing.rules.negotiated_prices import NegotiatedPrice


def override_price(
    console: Terminal, options: ChangeOptions, organization: str, key: str, start: datetime | None, **terms: Any
) -> None:
    """Negotiate a price for an organization, in its price book. `terms`: fields of a price book's file."""

    def act(work: Work) -> Sequence[Written]:
        book = show_organization(work.connection, organization, work.actor.at).price_book
        given = {name: value for name, value in terms.items() if value not in (None, {})}
        if "unit_amount" in given:
            given["model"] = "per_unit"
        data = {"key": key, "organization": organization, "effective_from": start or work.actor.at, **given}
        return write_price_overrides(work.connection, work.actor, [NegotiatedPrice.from_data(book, data)])

    make(console, options, act)


def show_memberships(console: Terminal, holder: str | None, *, with_past: bool, as_json: bool) -> None:
    """Print a row per membership: of all groups, of one group, or of one organization."""
    with local_platform() as settings:
        database = BillingDatabase(settings.database_url)
        found = list_memberships(database, holder, None if with_past else datetime.now(UTC))
    if as_json:
        print(json.dumps([one.as_data() for one in found], indent=2))
        return
    table = Table(title="Members of price groups", title_justify="left")
    for heading in ("Group", "Organization", "Name", "From", "Until", "Price book", "Prices"):
        table.add_column(heading, justify="right" if heading == "Prices" else "left", overflow="fold")
    for one in found:
        until = moment_text(one.effective_until.astimezone(UTC)) if one.effective_until else ""
        start = moment_text(one.effective_from.astimezone(UTC))
        table.add_row(
            one.price_group, one.organization_id, one.name, start, until, one.price_book, f"{one.prices:,}"
        )  # fmt: skip
    console.print(table)
    console.print(counted(len(found), "membership"))


def join(
    console: Terminal, options: ChangeOptions, organization: str, group: str, start: datetime | None,
    until: datetime | None,
) -> None:  # fmt: skip
    """Add an organization to a price group, now or from an instant on."""
    make(
        console, options,
        lambda work: join_group(work.connection, work.actor, organization, group, start or work.actor.at, until),
    )  # fmt: skip


def leave(console: Terminal, options: ChangeOptions, organization: str, group: str, at: datetime | None) -> None:
    """End a membership in a price group, now or at an instant."""
    make(
        console, options,
        lambda work: leave_group(work.connection, work.actor, organization, group, at or work.actor.at),
    )  # fmt: skip
