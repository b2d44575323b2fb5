"""Commands about prices: price books, negotiated prices and reservations."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from fly_billing.cli.parameters import (
    ExactJson,
    OptionalOrganization,
    Organization,
    console,
    parse_month,
    wide_console,
)
from fly_billing.periods import BillingMonth

PANEL = "Prices"

app = typer.Typer()


@app.command(rich_help_panel=PANEL)
def load_prices(
    folder: Annotated[
        Path | None,
        typer.Argument(
            help="Folder of the price book; its name is the book's. Default: the book that fly_billing ships"
        ),
    ] = None,
) -> None:
    """Load a price book and its negotiated prices into the billing database."""
    from fly_billing.cli.prices import load_price_book_folder

    load_price_book_folder(console, folder)


@app.command(rich_help_panel=PANEL)
def prices(
    organization: OptionalOrganization = None,
    at: Annotated[
        datetime | None,
        typer.Option(metavar="TIME", help="Only prices in force at this time, in UTC: 2026-10-01 or 2026-10-01T12:00"),
    ] = None,
    as_json: ExactJson = False,
) -> None:
    """List negotiated prices of organizations and groups, with their dates and list prices."""
    from fly_billing.cli.prices import show_prices

    show_prices(wide_console(), organization, at.replace(tzinfo=UTC) if at else None, as_json=as_json)


@app.command(rich_help_panel=PANEL)
def reserve(
    organization: Organization,
    block: Annotated[str, typer.Argument(metavar="BLOCK", help="For example reservation/performance/20")],
    value: Annotated[str, typer.Argument(metavar="VALUE", help="The region that it is for")],
    first_month: Annotated[
        BillingMonth | None,
        typer.Option("--from", metavar="YYYY-MM", help="First month. Default: the current one", parser=parse_month),
    ] = None,
    number: Annotated[int, typer.Option(min=1, help="2 or more buys another block of the same kind and month")] = 1,
) -> None:
    """Sell a one-year reservation: one upfront charge, monthly credits at a discount."""
    from fly_billing.cli.reserve import reserve as run_reserve

    run_reserve(console, organization, block, value, first_month, number)
