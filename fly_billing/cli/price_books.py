"""Checks, shows, compares and tries price books: `fly-billing prices check`, `show`, `diff`, `quote`, `books`.

A book is a folder of files, or the name of a loaded one. Only a loaded one needs the database. Not here: loading
(`cli.prices`).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from fractions import Fraction
from pathlib import Path
from typing import Any
from uuid import UUID

from rich.table import Table

from fly_billing.cli.local_platform import local_platform
from fly_billing.cli.terminal import Terminal, lines, styled
from fly_billing.errors import ActionableError, BillingError
from fly_billing.foreign_text import visible
from fly_billing.money import counted, plain
from fly_billing.periods import moment_text
from fly_billing.postgres.database import BillingDatabase
from fly_billing.pricing import rate
from fly_billing.pricing.loaded_books import NoSuchPriceBook, prices_of_book, summarize_books, used_versions
from fly_billing.pricing.price_books import PriceBookFiles, read_price_book_files
from fly_billing.pricing.rules.book_difference import PriceChange, difference
from fly_billing.pricing.rules.book_problems import unknown_meters
from fly_billing.pricing.rules.fields import did_you_mean
from fly_billing.pricing.rules.prices import Price, PriceBook
from fly_billing.statements.rules.item_facts import charged_by
from fly_billing.workspace.file_schemas import SCHEMAS


class NoSuchPrice(ActionableError):
    """The price book has no such price in force. The message suggests similar ones."""


class BookNotNamed(ActionableError):
    """A command needs the name of a price book. The message lists them."""


class PriceBookHasMistakes(ActionableError):
    """A folder's files have mistakes. The message has a line for each."""


def check_books(console: Terminal, folders: Sequence[Path]) -> bool:
    """Print every mistake of these folders, a line each. Returns True if there are none."""
    found = [_check(console, folder) for folder in folders]
    return all(found)


def _check(console: Terminal, folder: Path) -> bool:
    try:
        book = _read_folder(folder)
    except PriceBookHasMistakes as problem:
        mistakes = str(problem).splitlines()
        for mistake in mistakes:
            console.print(styled("wrong", "red"), mistake, soft_wrap=True)
        console.print(f"{folder}: {counted(len(mistakes), 'mistake')}")
        return False
    for unknown in unknown_meters(book.prices, {meter.key for meter in book.meters}).values():
        console.print(styled("note", "yellow"), f"{unknown} in this folder: load the book that has it first")
    currencies = ", ".join(sorted({price.currency for price in book.prices}))
    console.print(
        f"{folder}: no mistakes. {counted(len(book.meters), 'meter')}, {counted(len(book.prices), 'price version')}"
        f"{f' in {currencies}' if currencies else ''}, {counted(len(book.taxes), 'tax rate')},"
        f" {counted(len(book.negotiated), 'negotiated price')}"
    )
    return True


def _read_folder(folder: Path) -> PriceBookFiles:
    if not folder.is_dir():
        raise NoSuchPriceBook(f"{visible(str(folder))} is not a folder: name the folder of a price book")
    try:
        book = read_price_book_files(folder.resolve())
    except ValueError as problem:
        raise PriceBookHasMistakes(str(problem)) from problem
    if not (book.meters or book.prices or book.taxes or book.negotiated or book.members):
        raise PriceBookHasMistakes(f"{folder}: it has no .yaml file with prices, meters, taxes or negotiated prices")
    return book


def print_schema(kind: str) -> None:
    """Print the JSON Schema of a kind of file: one of SCHEMAS."""
    print(json.dumps(SCHEMAS[kind](), indent=2))


def show_books(console: Terminal, *, as_json: bool) -> None:
    """Print a row per loaded price book."""
    with local_platform() as settings:
        books = summarize_books(BillingDatabase(settings.database_url), datetime.now(UTC))
    if as_json:
        print(json.dumps([vars(book) for book in books], indent=2))
        return
    table = _table("Price books", "Book", "Currencies", *("Prices", "Versions", "In force", "Organizations"), numbers=4)
    for book in books:
        numbers = (book.keys, book.versions, book.in_force, book.organizations)
        table.add_row(book.book, ", ".join(book.currencies), *(f"{number:,}" for number in numbers))
    console.print(table)


def show_book(console: Terminal, source: str | None, word: str | None, at: datetime | None, *, as_json: bool) -> None:
    """Print the price versions of a book: all, those whose key contains a word, or those in force at a time.

    Args:
        source: None: the only loaded book.

    Raises:
        NoSuchPriceBook, PriceBookHasMistakes: There is no such book.
        BookNotNamed: Several books are loaded, or none.
    """
    prices = _prices(source)
    found = [price for price in prices if (word is None or word in price.key) and (at is None or price.is_in_force(at))]
    if as_json:
        print(json.dumps([price.to_data() for price in found], indent=2))
        return
    table = _table(f"Prices of {visible(source or prices[0].book)}", "Price", "Usage", "Charges", "From", "Until")
    for price in found:
        end = moment_text(price.effective_until) if price.effective_until else ""
        table.add_row(price.key, _usage(price), _charges(price), moment_text(price.effective_from), end)
    console.print(table)
    console.print(counted(len(found), "price version"))


def _usage(price: Price) -> str:
    dimensions = (f"{name} {' or '.join(values)}" for name, values in price.match.items())
    return ", ".join([price.meter or "fee", *dimensions])


def _charges(price: Price) -> str:
    return f"{charged_by(price)} ({price.currency} per {price.unit})"


def show_difference(console: Terminal, before: str, after: str, *, as_json: bool) -> bool:
    """Print what changes from one book to the other. Returns True if nothing does.

    Raises NoSuchPriceBook, PriceBookHasMistakes.
    """
    changes = difference(_prices(before), _prices(after))
    used = _used(before, changes)
    if as_json:
        print(json.dumps([{**change.as_data(), "is_used": change.id in used} for change in changes], indent=2))
        return not changes
    table = _table(f"From {visible(before)} to {visible(after)}", "", "Price", "From", "Changes")
    for change in changes:
        note = "final invoices used it: end it or add a later version" if change.id in used else ""
        table.add_row(
            change.kind, change.key, moment_text(change.effective_from), lines(*_texts(change), styled(note, "yellow"))
        )
    if changes:
        console.print(table)
    console.print(f"Different: {counted(len(changes), 'price version')}." if changes else "Both have the same prices.")
    return not changes


def _texts(change: PriceChange) -> list[str]:
    if change.kind != "changed":
        return [f"{field.field}: {_value(field.before or field.after)}" for field in change.fields]
    return [f"{field.field}: {_value(field.before)} -> {_value(field.after)}" for field in change.fields]


def _value(value: Any) -> str:
    return "none" if value is None else value if isinstance(value, str) else json.dumps(value)


def _used(before: str, changes: Iterable[PriceChange]) -> set[UUID]:
    """Return the changed versions of a loaded book that final invoices used."""
    ids = [change.id for change in changes if change.kind != "added"]
    if Path(before).is_dir() or not ids:
        return set()
    with local_platform() as settings:
        return used_versions(BillingDatabase(settings.database_url), ids)


@dataclass(frozen=True)
class Quote:
    """A question: the cost of a month's quantity under the price `key` of a book, in force at a time.

    Attributes:
        book: A folder or a loaded book; None: the only loaded book, or the only one with this key.
        share: Multiplies the free allowance.
    """

    key: str
    quantity: str
    book: str | None
    at: datetime
    share: str = "1"


def show_quote(console: Terminal, quote: Quote, *, as_json: bool) -> None:
    """Print how much a quantity would cost, step by step.

    Raises:
        NoSuchPriceBook, PriceBookHasMistakes, NoSuchPrice: There is no such price.
        BookNotNamed: Several loaded books have the key, or no book is loaded.
        NotQuoted: The quantity or share is not a number that can be charged.
    """
    price = _price_of(quote)
    try:
        rated = rate(price, quote.quantity, share=Fraction(quote.share))
    except (ValueError, ZeroDivisionError) as problem:
        raise NotQuoted(f"{visible(quote.quantity)} of {quote.key} can't be rated: {problem}") from problem
    if as_json:
        print(json.dumps({"price": price.key, "book": price.book, **rated.as_data()}, indent=2))
        return
    table = _table(f"{price.description}: {_charges(price)}", "Step", "Quantity", "Unit amount", "Amount", numbers=3)
    if rated.allowance_used:
        table.add_row("free allowance", plain(rated.allowance_used), "", "0")
    for step in rated.steps:
        data = step.as_data()
        table.add_row(data["label"], data["quantity"], data["unit_amount"], data["amount"])
    console.print(table)
    console.print(f"{plain(rated.amount)} {rated.currency}, before the invoice rounds its total")


class NotQuoted(ActionableError):
    """A quantity can't be rated. The message says why."""


def _price_of(quote: Quote) -> Price:
    prices = _prices(quote.book, quote.key)
    try:
        return PriceBook(prices).for_key(quote.key, quote.at)
    except BillingError as problem:
        known = {price.key for price in prices if price.is_in_force(quote.at)}
        book = visible(quote.book or prices[0].book)
        raise NoSuchPrice(
            f"{book} has no price {visible(quote.key)} in force at {moment_text(quote.at)}"
            f"{did_you_mean(quote.key, known)}: `fly-billing prices show` lists them"
        ) from problem


def _prices(source: str | None, key: str | None = None) -> Sequence[Price]:
    """Return the prices of a folder, or of a loaded book; None: of the only one, or of the only one with the key."""
    if source is not None and Path(source).is_dir():
        return _read_folder(Path(source)).prices
    with local_platform() as settings:
        database = BillingDatabase(settings.database_url)
        return prices_of_book(database, _only_book(database, key) if source is None else source)


def _only_book(database: BillingDatabase, key: str | None) -> str:
    """Return the name of the only loaded book, or of the only one that has a price with this key.

    Raises BookNotNamed, NoSuchPrice.
    """
    books = [book.book for book in summarize_books(database, datetime.now(UTC))]
    if not books:
        raise BookNotNamed("no price book is loaded: name a folder with --book")
    if key is not None and len(books) > 1:
        keys = {book: {price.key for price in prices_of_book(database, book)} for book in books}
        books = [book for book in books if key in keys[book]]
        if not books:
            known = did_you_mean(key, set().union(*keys.values()))
            raise NoSuchPrice(f"none of the books {', '.join(keys)} has a price {visible(key)}{known}")
    if len(books) > 1:
        subject = "several books are loaded" if key is None else f"several books have a price {visible(key)}"
        raise BookNotNamed(f"{subject}: name one with --book: {', '.join(books)}")
    return books[0]


def _table(title: str, *headings: str, numbers: int = 0) -> Table:
    """Return an empty table; the last `numbers` columns are numbers."""
    table = Table(title=title, title_justify="left")
    for position, heading in enumerate(headings):
        is_number = position >= len(headings) - numbers
        table.add_column(heading, justify="right" if is_number else "left", overflow="fold")
    return table
