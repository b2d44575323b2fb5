"""Re-rates a billed month under another price book and shows the differences: `fly-billing shadow`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

from rich.table import Column, Table

from fly_billing.cli.local_platform import local_platform
from fly_billing.cli.terminal import RenderableType, Terminal, Text, busy, joined, lines, styled
from fly_billing.corrections.rules.shadow_report import CurrencyTotals, ShadowDifference, ShadowReport
from fly_billing.corrections.shadow_billing import shadow_bill
from fly_billing.errors import ActionableError
from fly_billing.money import counted, format_cents
from fly_billing.periods import BillingMonth
from fly_billing.postgres.database import BillingDatabase
from fly_billing.pricing.price_books import PriceBookFiles, read_price_book_files


class NoPriceBook(ActionableError):
    """The folder has no readable price book."""


def run_shadow(
    console: Terminal, month: BillingMonth, folder: Path, *, instead_of: str, as_json: bool, top: int
) -> bool:
    """Re-rate the month and print the comparison. Returns True if every payer could be rated."""
    book = read_book(folder)
    with local_platform() as settings, busy(Terminal(stderr=True), f"Re-rating {month}") as show:
        report = shadow_bill(
            BillingDatabase(settings.database_url),
            month,
            book,
            instead_of=instead_of,
            progress=lambda done, total: show(f"Re-rating {month}: {done:,} of {total:,}"),
        )
    if as_json:
        print(json.dumps(report.as_data(), indent=2))
    else:
        show_shadow(console, report, top)
    return not report.unpriced


def read_book(folder: Path) -> PriceBookFiles:
    """Read the price book from its files. Raises NoPriceBook, which names the mistake."""
    try:
        book = read_price_book_files(folder)
    except (ValueError, KeyError, OSError) as problem:  # a wrong entry, or a missing field or file
        raise NoPriceBook(f"the price book can't be read: {problem}") from problem
    if not book.prices:
        raise NoPriceBook(
            f"{folder} has no prices: a price book is a folder of .yaml files, like fly_billing/pricing/books/fly"
        )
    return book


def show_shadow(console: Terminal, report: ShadowReport, top: int) -> None:
    """Print totals, the `top` biggest differences, products, and the payers that could not be rated."""
    for totals in report.totals:
        console.print(_sentence(report, totals))
    if report.differences:
        console.print(*_organizations(report, top), *_products(report), sep="\n")
    changed = sum(1 for difference in report.differences if not difference.is_by_prices_alone)
    if changed:
        console.print(
            styled("*", "yellow"),
            f"the total of {counted(changed, 'payer')} also changes under the same prices, because usage or terms"
            " changed after billing. That part of the difference is not due to the price book (see --json).",
        )
    if report.unpriced:
        console.print(*_unpriced(report, top), sep="\n")
    console.print(styled("Nothing was written.", "dim"))


def _sentence(report: ShadowReport, totals: CurrencyTotals) -> RenderableType:
    billed, shadow = (format_cents(cents, totals.currency) for cents in (totals.billed_cents, totals.shadow_cents))
    percent = _percent(totals.billed_cents, totals.cents)
    return joined(
        f"{report.month} under {report.book}: ", styled(shadow, "bold"), f" instead of {billed}, ",
        _signed(totals.cents, totals.currency), f" ({percent} %)" if percent else "",
        f". {totals.pay_more:,} would pay more, {totals.pay_less:,} less, {totals.pay_the_same:,} the same.",
    )  # fmt: skip


def _percent(before: int, cents: int) -> str:
    """Return the percentage with its sign; an empty text if it rounds to zero or nothing was billed before."""
    percent = f"{Decimal(100 * cents) / before:+,.1f}" if before > 0 else ""
    return "" if percent in ("+0.0", "-0.0") else percent


def _signed(cents: int, currency: str) -> Text:
    style = "red" if cents > 0 else "green" if cents < 0 else "dim"
    return styled(f"{'+' if cents > 0 else ''}{format_cents(cents, currency)}", style)


def _organizations(report: ShadowReport, top: int) -> Iterator[RenderableType]:
    shown, count = report.differences[:top], len(report.differences)
    biggest = "difference" if top == 1 else f"{top:,} differences"
    yield _title("Totals by payer" + (f": the biggest {biggest} of {count:,}" if count > top else ""))
    table = _table("Payer")
    for difference in shown:
        table.add_row(
            _name(difference),
            *_amounts(difference.billed_cents, difference.shadow_cents, difference.cents, difference.currency),
        )
    yield table


def _name(difference: ShadowDifference) -> Text:
    mark = styled("" if difference.is_by_prices_alone else " *", "yellow")
    return joined(difference.organization_name, mark)


def _products(report: ShadowReport) -> Iterator[RenderableType]:
    yield _title("By product")
    table = _table("Product")
    for product in report.products:
        table.add_row(
            product.product, *_amounts(product.billed_cents, product.shadow_cents, product.cents, product.currency)
        )
    yield table


def _title(text: str) -> Text:
    """Return a title on its own line, because a table breaks its title at the table's width."""
    return lines("", styled(text, "bold"))


def _table(first_column: str) -> Table:
    table = Table(first_column)
    for name in ("Billed", "Re-rated", "Difference", "Percent"):
        table.add_column(name, justify="right", no_wrap=True)
    return table


def _amounts(billed: int, shadow: int, cents: int, currency: str) -> tuple[str, str, Text, str]:
    money = format_cents(billed, currency), format_cents(shadow, currency), _signed(cents, currency)
    return *money, _percent(billed, cents)


def _unpriced(report: ShadowReport, top: int) -> Iterator[RenderableType]:
    shown, count = report.unpriced[:top], len(report.unpriced)
    yield _title(f"{count:,} could not be rated" + (f": the {top:,} with the largest invoices" if count > top else ""))
    table = Table("Payer", Column("Billed", justify="right", no_wrap=True), "Reason")
    for payer in shown:
        reason = joined(styled(payer.code, "red"), f": {payer.reason}")
        table.add_row(payer.organization_name, format_cents(payer.billed_cents, payer.currency), reason)
    yield table
