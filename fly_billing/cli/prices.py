"""Loads price books and lists negotiated prices: `fly-billing load-prices` and `prices negotiated`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from rich.table import Table

from fly_billing.cli.local_platform import local_platform
from fly_billing.cli.terminal import Terminal
from fly_billing.corrections.price_loading import load_prices
from fly_billing.money import counted
from fly_billing.periods import moment_text
from fly_billing.postgres.database import BillingDatabase
from fly_billing.postgres.migrate import migrate, owner_database
from fly_billing.pricing.price_books import SHIPPED
from fly_billing.pricing.rules.fields import match_text
from fly_billing.statements.negotiated_price_list import ListedPrice, read_negotiated_prices


def load_price_book_folder(console: Terminal, folder: Path | None) -> None:
    """Load the price book in this folder; None: the book that fly_billing ships. Raises PriceBookNotLoaded."""
    with local_platform(migrates=True) as settings:
        migrate(owner_database(settings))
        loaded = load_prices(BillingDatabase(settings.database_url), folder.resolve() if folder else SHIPPED / "fly")
    book = loaded.book
    if loaded.undecided:
        console.print(
            f"Closed months stay as billed despite {counted(loaded.undecided, 'price change')}. `fly-billing"
            " corrections` lists their invoices; `fly-billing rebill` books a difference.",
            soft_wrap=True,
        )
    console.print(
        f"Loaded {counted(len(book.meters), 'meter')} and {counted(len(book.prices), 'price')} into the database."
    )
    if book.negotiated or book.members:
        console.print(
            f"Also {counted(len(book.negotiated), 'negotiated price')} and"
            f" {counted(len(book.members), 'group member')}: `fly-billing prices negotiated` lists them."
        )


def show_prices(console: Terminal, organization: str | None, at: datetime | None, *, as_json: bool) -> None:
    """Print a row per organization and negotiated price: of one organization, or only those in force at a time.

    Raises NoSuchOrganization.
    """
    with local_platform() as settings:
        database = BillingDatabase(settings.database_url)
        negotiated = read_negotiated_prices(database, organization, at, datetime.now(UTC))
    if as_json:
        print(json.dumps(
            {
                "prices": [price.as_data() for price in negotiated.prices],
                "unreadable": {name: error.operator_text for name, error in negotiated.unreadable.items()},
            },
            indent=2,
        ))  # fmt: skip
        return
    console.print(_table(negotiated.prices))
    for name, error in negotiated.unreadable.items():
        console.print(f"{name}: {error.operator_text}", soft_wrap=True)


def _table(prices: Sequence[ListedPrice]) -> Table:
    table = Table(title="Negotiated prices", title_justify="left")
    for heading in ("Organization", "Price", "From", "Until", "It charges", "List price", "Of"):
        table.add_column(heading, overflow="fold")
    for price in prices:
        dimensions = f", {match_text(price.match)}" if price.match else ""
        table.add_row(
            price.organization_id,
            f"{price.key} of {price.book}{dimensions}",
            moment_text(price.start),
            moment_text(price.end) if price.end else "",
            price.charges,
            price.list_price or "",
            price.holder,
        )
    return table
