"""Commands about prices: price books, negotiated prices and reservations."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Literal

import typer

from fly_billing.cli.parameters import (
    ExactJson,
    OptionalOrganization,
    Organization,
    console,
    exit_with,
    parse_month,
    wide_console,
)
from fly_billing.periods import BillingMonth

PANEL = "Prices"

app = typer.Typer()
books = typer.Typer(help="Check, show, compare and try price books, and list negotiated prices.", no_args_is_help=True)
app.add_typer(books, name="prices", rich_help_panel=PANEL)

AtTime = Annotated[
    datetime | None,
    typer.Option(metavar="TIME", help="Only prices in force at this time, in UTC: 2026-10-01 or 2026-10-01T12:00"),
]
Book = Annotated[
    str | None,
    typer.Option(metavar="BOOK", help="A folder, or the name of a loaded book. Default: the only one that fits"),
]


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


@books.command("check")
def check_prices(folders: Annotated[list[Path], typer.Argument(metavar="FOLDER...", help="Price books")]) -> None:
    """Report every mistake in the files of price books, with file, line and key. Exits 1 if there are any."""
    from fly_billing.cli.price_books import check_books

    exit_with(check_books(console, folders))


@books.command("show")
def show_book_prices(
    word: Annotated[str | None, typer.Argument(metavar="[WORD]", help="Only prices with this in their key")] = None,
    book: Book = None,
    at: AtTime = None,
    as_json: ExactJson = False,
) -> None:
    """List the price versions of a book, and what each charges."""
    from fly_billing.cli.price_books import show_book

    show_book(wide_console(), book, word, in_utc(at), as_json=as_json)


@books.command("diff")
def compare_books(
    before: Annotated[str, typer.Argument(metavar="BOOK", help="A folder, or the name of a loaded book")],
    after: Annotated[str, typer.Argument(metavar="BOOK", help="The book that it is compared with")],
    as_json: ExactJson = False,
) -> None:
    """Show which price versions differ between two books, and which of them final invoices used. Exits 1 if any do."""
    from fly_billing.cli.price_books import show_difference

    exit_with(show_difference(wide_console(), before, after, as_json=as_json))


@books.command("quote")
def quote_price(
    key: Annotated[str, typer.Argument(metavar="KEY", help="The key of a price")],
    quantity: Annotated[str, typer.Argument(metavar="QUANTITY", help="A month's quantity: 12500 or 0.5")],
    book: Book = None,
    at: AtTime = None,
    share: Annotated[str, typer.Option(help="Multiplies the free allowance: 3 seats, or 1/2 of a month")] = "1",
    as_json: ExactJson = False,
) -> None:
    """Calculate what a quantity costs, step by step."""
    from fly_billing.cli.price_books import Quote, show_quote

    quote = Quote(key, quantity, book, in_utc(at) or datetime.now(UTC), share)
    show_quote(wide_console(), quote, as_json=as_json)


@books.command("books")
def list_books(as_json: ExactJson = False) -> None:
    """List the loaded price books, their currencies, and how many organizations have each."""
    from fly_billing.cli.price_books import show_books

    show_books(wide_console(), as_json=as_json)


@books.command("schema")
def show_schema(
    kind: Annotated[
        Literal["book", "terms", "sources", "settings"],
        typer.Argument(help="A price book's file, or terms.yaml, sources.yaml, fly_billing.yaml"),
    ] = "book",
) -> None:
    """Print the JSON Schema of a price book's file, or of a workspace's, for your editor: book|terms|sources|settings.

    `fly-billing init` writes them into the folder `schemas`.
    """
    from fly_billing.cli.price_books import print_schema

    print_schema(kind)


@books.command("negotiated")
def list_negotiated(organization: OptionalOrganization = None, at: AtTime = None, as_json: ExactJson = False) -> None:
    """List negotiated prices of organizations and groups, with their dates and list prices."""
    from fly_billing.cli.prices import show_prices

    show_prices(wide_console(), organization, in_utc(at), as_json=as_json)


def in_utc(moment: datetime | None) -> datetime | None:
    return moment.replace(tzinfo=UTC) if moment else None


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
