"""Shows each month's totals: `fly-billing totals`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime

from rich.bar import Bar
from rich.table import Table

from fly_billing.cli.local_platform import local_platform
from fly_billing.cli.terminal import Terminal
from fly_billing.errors import ActionableError
from fly_billing.money import counted, format_cents
from fly_billing.periods import FIRST_MONTH, BillingMonth
from fly_billing.postgres.database import BillingDatabase
from fly_billing.statements.monthly_totals import MonthTotals, read_monthly_totals

AMOUNTS = ("Billed", "Paid", "Written off", "Open so far")
BAR_WIDTH = 30


def show_totals(
    console: Terminal,
    organization: str | None,
    first: BillingMonth | None,
    last: BillingMonth | None,
    *,
    as_json: bool,
) -> None:
    """Print a row per month and currency.

    Raises:
        NoSuchOrganization: No organization has this id.
        ActionableError: The range is reversed; or, after everything else was printed, an invoice can't be added up.
    """
    if first and last and last < first:
        raise ActionableError(f"the range {first} to {last} is reversed: name the earlier month with --from")
    with local_platform() as settings:
        totals = read_monthly_totals(
            BillingDatabase(settings.database_url),
            organization,
            first or FIRST_MONTH,
            last or BillingMonth.containing(datetime.now(UTC)),
        )
    if as_json:
        print(json.dumps([month.as_data() for month in totals.months]))
    else:
        console.print(_table(organization, totals.months))
    if totals.unreadable:
        invoices = "; ".join(map(str, totals.unreadable))
        raise ActionableError(
            f"{counted(len(totals.unreadable), 'invoice')} can't be read and so added to no total: {invoices}: correct"
            " these rows"
        )


def _table(organization: str | None, months: Sequence[MonthTotals]) -> Table:
    table = Table(title=f"By month, {organization or 'all organizations'}", title_justify="left")
    for heading in ("Month", "", "Invoices", *AMOUNTS):
        table.add_column(heading, justify="left" if heading in ("Month", "") else "right")
    largest: dict[str, int] = {}
    for month in months:
        largest[month.currency] = max(largest.get(month.currency, 0), month.total_cents)
    for month in months:
        bar = Bar(largest[month.currency], 0, max(0, month.total_cents), width=BAR_WIDTH)
        amounts = (month.final_cents, month.paid_cents, month.written_off_cents, month.open_cents)
        texts = (format_cents(cents, month.currency) if cents else "" for cents in amounts)
        table.add_row(str(month.billing_month), bar, f"{month.invoices:,}", *texts)
    return table
