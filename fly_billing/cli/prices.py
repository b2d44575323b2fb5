"""`fly-billing prices`: who has which negotiated prices, and since when."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from rich.table import Table

from fly_billing.cli.local_platform import local_platform
from fly_billing.cli.terminal import Terminal
from fly_billing.errors import ActionableError
from fly_billing.periods import moment_text
from fly_billing.postgres.database import BillingDatabase, rows
from fly_billing.pricing.negotiated_prices import read_agreements
from fly_billing.pricing.price_books import read_price_books
from fly_billing.pricing.rules.negotiated_prices import Holding
from fly_billing.pricing.rules.prices import Price
from fly_billing.statements.rules.item_facts import charged_by
from fly_billing.statements.statement_reader import describe_missing_organization

Listed = Mapping[tuple[str, str], Sequence[Price]]


def show_prices(console: Terminal, organization: str | None, at: datetime | None, *, as_json: bool) -> None:
    """Print a row per organization and negotiated price; those of one organization, or those in force at a moment.

    Raises ActionableError where there is no such organization.
    """
    with local_platform() as settings, BillingDatabase(settings.database_url).transaction() as connection:
        if organization is not None and not rows(connection, "organization", id=organization):
            raise ActionableError(describe_missing_organization(organization, rows(connection, "organization_ids")))
        agreements = read_agreements(connection)
        listed: dict[tuple[str, str], list[Price]] = defaultdict(list)
        for book, prices in read_price_books(connection).items():
            for price in prices:
                listed[book, price.key].append(price)
    held = {
        name: [one for one in holdings if at is None or one.is_in_force(at)]
        for name, holdings in sorted(agreements.holdings().items())
        if organization in (None, name)
    }
    unreadable = {name: error for name, error in agreements.unreadable.items() if organization in (None, name)}
    if as_json:
        print(json.dumps(
            {
                "prices": [_as_data(name, one, listed) for name, some in held.items() for one in some],
                "unreadable": {name: error.operator_text for name, error in unreadable.items()},
            },
            indent=2,
        ))  # fmt: skip
        return
    console.print(_table(held, listed))
    for name, error in sorted(unreadable.items()):
        console.print(f"{name}: {error.operator_text}", soft_wrap=True)


def _table(held: Mapping[str, Sequence[Holding]], listed: Listed) -> Table:
    table = Table(title="Negotiated prices", title_justify="left")
    for heading in ("Organization", "Price", "From", "Until", "It charges", "List price", "Of"):
        table.add_column(heading, overflow="fold")
    for name, holdings in held.items():
        for one in holdings:
            data = _as_data(name, one, listed)
            where = "".join(f", {dimension} {' or '.join(values)}" for dimension, values in data["match"].items())
            table.add_row(
                name, f"{data['price']} of {data['book']}{where}", moment_text(one.start),
                moment_text(one.end) if one.end else "", data["charges"], data["list_price"] or "",
                data["of"],
            )  # fmt: skip
    return table


def _as_data(name: str, one: Holding, listed: Listed) -> dict[str, Any]:
    """Return JSON-ready data: when the organization has the price, what it charges and what the list price does.

    The list price is the version in force now, or when the negotiated price begins or ended.
    """
    price, now = one.price, datetime.now(UTC)
    moment = max(one.start, now if one.end is None or now < one.end else one.start)
    versions = [each for each in listed.get((price.book, price.key), ()) if each.effective_from <= moment]
    version = max(versions, key=lambda each: each.effective_from, default=None)
    return {
        "organization": name,
        "book": price.book,
        "price": price.key,
        "match": {dimension: list(values) for dimension, values in price.match.items()},
        "from": one.start.isoformat(),
        "until": one.end.isoformat() if one.end else None,
        "charges": _charges(one, version),
        "list_price": charged_by(version) if version else None,
        "of": price.holder,
    }


def _charges(one: Holding, version: Price | None) -> str:
    """Say what it charges: a percentage with what that is of the list price."""
    price = one.price
    off = "" if price.percent_off is None else f"{price.percent_off:f} % off"
    if version is None:
        return off or "no list price"
    try:
        charged = charged_by(price.over(version))
    except ValueError as problem:
        return str(problem)
    return f"{off}: {charged}" if off else charged
