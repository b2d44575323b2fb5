"""Shows an organization's statement on a terminal, or writes it as a page: `fly-billing statement`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from rich.columns import Columns
from rich.table import Table

from fly_billing.cli.local_platform import local_platform
from fly_billing.cli.terminal import RenderableType, Terminal, joined, lines, panel, styled
from fly_billing.errors import ActionableError
from fly_billing.money import format_cents
from fly_billing.output_files import output_file
from fly_billing.periods import BillingMonth
from fly_billing.postgres.reading import ReadingDatabase
from fly_billing.settings import DatabaseLimits, Settings, reveal
from fly_billing.statements.rules.spend import DailySpend, Spend, SpendShare, fold_shares
from fly_billing.statements.rules.statement import Statement, StatementInvoice
from fly_billing.statements.statement_reader import read_statement

if TYPE_CHECKING:
    from fly_billing.statements.rules.daily_costs import DailyCosts
    from fly_billing.statements.rules.estimate import MonthEndEstimate, NoEstimate

    Estimate: TypeAlias = MonthEndEstimate | NoEstimate

BARS = "▁▂▃▄▅▆▇█"
# The number of apps, regions or organizations to list. `--json` has all of them.
MOST_ROWS = 8


@dataclass(frozen=True)
class StatementFiles:
    """The files to write.

    Attributes:
        page: The statement as an HTML page.
        pdf: The month's invoice as a PDF.
        overwrite: Replace files that exist.
    """

    page: Path | None = None
    pdf: Path | None = None
    overwrite: bool = False


def show_statement_of(
    console: Terminal,
    organization: str,
    month: BillingMonth | None,
    files: StatementFiles,
    *,
    as_json: bool,
    all_months: bool,
) -> bool:
    """Read an organization's statement and print it, or write it to the files.

    Args:
        all_months: List the earlier months, too, although nothing of them is due.

    Returns:
        True if every record could be read.

    Raises:
        NoSuchOrganization: No organization has this id.
        ActionableError: The organization has nothing in that month.
        OutputExists, OutputNotWritten: A file can't be written.
        PdfNotPossible: The month's invoice can't be a PDF.
    """
    with local_platform() as settings:
        try:
            with closing(ReadingDatabase(reveal(settings.database_url), DatabaseLimits.from_environment())) as database:
                statement = read_statement(database, organization, datetime.now(UTC), month, all_months=all_months)
                costs = _daily_costs(database, statement) if files.page else None
            estimate = _estimate(settings, statement)
        except ValueError as problem:
            raise ActionableError(str(problem)) from problem
    if files.page:
        write_page(files.page, statement, settings.seller, costs, estimate, overwrite=files.overwrite)
    if files.pdf:
        write_pdf(files.pdf, statement, settings, overwrite=files.overwrite)
    if as_json:
        forecast = {"month_end_estimate": estimate.as_data() if estimate else None}
        print(json.dumps(statement.as_data() | forecast, indent=2))
    elif not (files.page or files.pdf):
        show_statement(console, statement, estimate)
    return not statement.problems


def _daily_costs(database: ReadingDatabase, statement: Statement) -> DailyCosts | None:
    from fly_billing.statements.daily_costs_reader import read_daily_costs  # here, because only the page shows them

    return read_daily_costs(database, statement)


def _estimate(settings: Settings, statement: Statement) -> Estimate | None:
    """Return the estimate of the month that is shown; None if it is over."""
    month = BillingMonth.containing(statement.as_of)
    if statement.month != str(month):
        return None
    # Here, because only an open month needs prices.
    from fly_billing.postgres.database import BillingDatabase
    from fly_billing.statements.month_end import read_month_end

    return read_month_end(BillingDatabase(settings.database_url), statement.organization_id, statement.as_of, month)


def write_page(
    path: Path,
    statement: Statement,
    seller: Sequence[str],
    costs: DailyCosts | None = None,
    estimate: Estimate | None = None,
    *,
    overwrite: bool,
) -> None:
    """Write the statement as an HTML page. Raises OutputExists, OutputNotWritten."""
    from fly_billing.statements.page import statement_page  # here, because only this needs the template engine

    with output_file(path, overwrite=overwrite) as file:
        file.write(statement_page(statement, seller, costs, estimate).encode())


def write_pdf(path: Path, statement: Statement, settings: Settings, *, overwrite: bool) -> None:
    """Write the invoice of the statement's month as a PDF. Raises PdfNotPossible, OutputExists, OutputNotWritten."""
    from fly_billing.statements.pdf import PdfNotPossible, invoice_pdf  # here, because only this needs the library

    invoice = statement.shown()
    if invoice is None:
        raise PdfNotPossible(f"{statement.organization_name} has no invoice yet")
    if statement.problems:
        raise PdfNotPossible(f"the invoice is incomplete: {statement.problems[0]}")
    drawn = invoice_pdf(invoice, settings.seller, settings.pdf_fonts)
    with output_file(path, overwrite=overwrite) as file:
        file.write(drawn)


def show_statement(console: Terminal, statement: Statement, estimate: Estimate | None = None) -> None:
    """Print the balance, a line per month that is listed, the items of the month that is shown, and its estimate."""
    parts: list[RenderableType] = [styled(statement.headline(), "bold")]
    if calculation := statement.calculation():
        parts += ["", _calculation(calculation)]
    parts += [*(styled(caveat, "dim") for caveat in statement.caveats()), "", _months(statement)]
    if statement.earlier_months:
        parts.append(styled(f"{statement.earlier_months.in_words()}: `--all-months` lists them", "dim"))
    if estimate:
        parts += ["", estimate.in_words()]
    shown = statement.shown()
    if shown and shown.items:
        parts += ["", _items(shown), "", *(_spend(shown, shown.spend) if shown.spend else [])]
    parts += [credit.in_words() for credit in statement.credits]
    for problem in statement.problems:
        parts += ["", joined(styled("can't be shown ", "red"), problem)]
    if unread := statement.unread_usage_in_words():
        parts += ["", unread]
    if statement.completeness:
        parts += ["", styled(statement.completeness.in_words(), "dim")]
    title = f"{statement.organization_name} ({statement.organization_id}), as of {statement.as_of:%Y-%m-%d %H:%M} UTC"
    console.print(panel(*parts, title=title, padding=(1, 2)))


def _calculation(rows: Sequence[tuple[str, str]]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0), show_header=False)
    table.add_column()
    table.add_column(justify="right", no_wrap=True)
    for text, amount in rows:
        table.add_row(text, amount)
    return table


def _table(*columns: str) -> Table:
    """Return a table without lines: names in the first column, numbers in the others."""
    table = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0))
    for n, name in enumerate(columns):
        table.add_column(name, justify="right" if n else "left", no_wrap=n > 0)
    return table


def _months(statement: Statement) -> Table:
    table = _table("Month", "Total", "Status", "Due")
    table.columns[2].justify, table.columns[2].no_wrap = "left", False
    for invoice in statement.invoices:
        total = "" if invoice.total_cents is None else format_cents(invoice.total_cents, invoice.currency)
        status = lines(invoice.status_in_words(), *filter(None, (invoice.reminder(statement.as_of), invoice.trouble)))
        table.add_row(invoice.month, total, status, str(invoice.due_on or ""))
    return table


def _items(invoice: StatementInvoice) -> Table:
    table = Table(
        box=None, pad_edge=False, padding=(0, 2, 0, 0), title_justify="left", title_style="bold", show_footer=True
    )
    as_of = f", as of {invoice.as_of:%Y-%m-%d %H:%M} UTC" if invoice.as_of else ""
    number = f", invoice {invoice.number}" if invoice.number else ""
    table.title = f"{invoice.month}: why{number}{as_of}"
    table.add_column("Item", footer="Total", max_width=44)
    table.add_column("Calculation", ratio=1)
    table.add_column("Exact amount", justify="right", no_wrap=True)
    table.add_column("Billed", justify="right", no_wrap=True)
    table.columns[-1].footer = format_cents(invoice.total_cents or 0, invoice.currency)
    for product, items in invoice.items_by_product().items():
        table.add_row(styled(product, "bold"))
        for item in items:
            calculation = item.working or "; ".join(item.reasons)
            billed = format_cents(item.amount_cents, invoice.currency)
            table.add_row(f"  {item.description}", calculation, short(item.amount), billed)
    return table


def _spend(invoice: StatementInvoice, spend: Spend) -> list[RenderableType]:
    found = {"organization": spend.by_organization, "app": spend.by_app, "region": spend.by_region}
    shares = {by: rows for by, rows in found.items() if _has_labels(rows)}
    parts: list[RenderableType] = [_days(spend.by_day, invoice.currency)]
    for tax in invoice.taxes:
        on = format_cents(tax.taxable_cents, invoice.currency)
        contained = " contained in it" if tax.is_inclusive else ""
        amount = format_cents(tax.tax_cents, invoice.currency)
        parts.append(f"{tax.title} on {on}: {amount}{contained}" + (f" ({tax.legal_text})" if tax.legal_text else ""))
    tables: list[RenderableType] = [
        _shares(by, rows, invoice.currency) for by, rows in shares.items() if _has_labels(rows)
    ]
    if invoice.compared:
        tables.append(_compared(invoice))
    if invoice.not_compared:
        parts.append(invoice.not_compared)
    return [*parts, "", Columns(tables, padding=(0, 4, 1, 0))]


def _has_labels(shares: Sequence[SpendShare]) -> bool:
    """Return True if the platform has apps or regions: otherwise each row would only say that there are none."""
    return any(share.label is not None for share in shares)


def _days(days: DailySpend, currency: str) -> RenderableType:
    """Draw a bar per day. A day with more credits than charges has the lowest bar."""
    peak = max(days.days, key=lambda day: day.amount_cents)
    if peak.amount_cents <= 0:
        return "Daily: no spend"
    top = len(BARS) - 1
    bars = "".join(BARS[max(0, day.amount_cents) * top // peak.amount_cents] for day in days.days)
    caption = f" peak {peak.day:%m-%d}: {format_cents(peak.amount_cents, currency)}"
    unknown = days.day_not_known_cents
    rest = "" if unknown is None else f"; the day of {format_cents(unknown, currency)} is unknown"
    return joined("Daily ", styled(bars, "cyan"), caption + rest)


def _shares(by: str, shares: Sequence[SpendShare], currency: str) -> Table:
    table = _table(f"By {by}", "")
    for share in fold_shares(shares, MOST_ROWS):
        without = "discounts, credits, taxes" if share.is_of_the_whole_invoice else f"no {by}"
        table.add_row(share.label or without, format_cents(share.amount_cents, currency))
    return table


def _compared(invoice: StatementInvoice) -> Table:
    compared = invoice.compared
    assert compared is not None
    before, now = compared.title(compared.month), compared.title(invoice.month)
    table = _table(f"Compared with {before}", before, now, "Difference")
    for change in (*compared.by_product, compared.total):
        amounts = (change.before_cents, change.now_cents, change.difference_cents)
        table.add_row(change.label or "Total", *(format_cents(cents, invoice.currency) for cents in amounts))
    return table


def short(amount: str, digits: int = 8) -> str:
    """Shorten a long exact amount for the screen, with an ellipsis. `--json` has all digits."""
    whole, point, rest = amount.partition(".")
    return amount if len(rest) <= digits else f"{whole}{point}{rest[:digits]}…"
