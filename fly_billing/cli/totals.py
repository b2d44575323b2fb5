"""`fly-billing totals`: what each month came to, over any number of years."""

from __future__ import annotations

import json
from datetime import UTC, datetime

from rich.bar import Bar
from rich.table import Table

from fly_billing.cli.local_platform import local_platform
from fly_billing.cli.terminal import Terminal
from fly_billing.errors import ActionableError
from fly_billing.money import format_cents
from fly_billing.periods import FIRST_MONTH, BillingMonth
from fly_billing.postgres.database import BillingDatabase, Row
from fly_billing.postgres.isolation import readable_rows
from fly_billing.statements.statement_reader import describe_missing_organization

AMOUNTS = {
    "final_cents": "Billed", "paid_cents": "Paid", "written_off_cents": "Written off", "open_cents": "Open so far",
}  # fmt: skip
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

    Raises ActionableError for an unknown organization, and, after printing everything else, for an invoice that
    can't be added up.
    """
    with local_platform() as settings:
        database = BillingDatabase(settings.database_url)
        if organization is not None and not database.rows("organization", id=organization):
            raise ActionableError(describe_missing_organization(organization, database.rows("organization_ids")))
        months = first or FIRST_MONTH, last or BillingMonth.containing(datetime.now(UTC))
        found = database.rows(
            "monthly_totals", organization_id=organization, first=months[0].first_day, last=months[1].first_day
        )
        _, bad = readable_rows(database.rows("unreadable_totals", organization_id=organization))
    if as_json:
        print(json.dumps([row | {"month": str(BillingMonth.containing(row["month"]))} for row in map(dict, found)]))
    else:
        console.print(_table(organization, found))
    if bad:
        which = "; ".join(map(str, bad))
        raise ActionableError(
            f"{len(bad)} invoices are in no total, as they can't be read: {which}: correct these rows"
        )


def _table(organization: str | None, found: list[Row]) -> Table:
    shown = Table(title=f"By month, {organization or 'all organizations'}", title_justify="left")
    for heading in ("Month", "", "Invoices", *AMOUNTS.values()):
        shown.add_column(heading, justify="left" if heading in ("Month", "") else "right")
    largest: dict[str, int] = {}
    for row in found:
        largest[row["currency"]] = max(largest.get(row["currency"], 0), _total(row))
    for row in found:
        bar = Bar(largest[row["currency"]], 0, max(0, _total(row)), width=BAR_WIDTH)
        amounts = (format_cents(row[name], row["currency"]) if row[name] else "" for name in AMOUNTS)
        shown.add_row(str(BillingMonth.containing(row["month"])), bar, f"{row['invoices']:,}", *amounts)
    return shown


def _total(row: Row) -> int:
    return int(row["final_cents"] + row["open_cents"])
