"""Compares month-end estimates of closed months with the totals that these months had: `make bench-estimate`.

The organizations are those of the sample platform, with the last of several closed months. Each invoice is estimated
as on the morning after its 5th, 10th, 15th, 20th and 25th day, from the usage of these days and of the month before.
Charges that were entered later in the month are in both totals: no estimate could know them.

The second column is what people do without an estimate: the usage so far, scaled to the whole month.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from decimal import Decimal
from statistics import median
from uuid import UUID

from rich.console import Console
from rich.table import Table
from sqlalchemy import text

from fly_billing.invoicing.inputs_reader import inputs_of, read_books, read_records
from fly_billing.invoicing.payers import read_payers
from fly_billing.invoicing.rules.assembly import assemble_invoice
from fly_billing.invoicing.rules.inputs import InvoiceInputs, Member, UsageRollup
from fly_billing.money import format_cents
from fly_billing.periods import BillingMonth
from fly_billing.postgres.database import BillingDatabase
from fly_billing.sample_platform import seed
from fly_billing.statements.rules.estimate import EstimateInputs, MonthEndEstimate, estimate_month_end
from fly_billing.statements.rules.usage_forecast import KnownDays, UsageSeries
from fly_billing.testing import throwaway_platform, throwaway_server

TODAY = date(2026, 11, 5)
ESTIMATED_AFTER = (5, 10, 15, 20, 25)
DAILY = """
select s.organization_id, s.month, r.id, r.meter, m.aggregation, r.dimensions::text as dimensions, r.segment_start,
    r.segment_end, r.daily
from usage_snapshots as s
join usage_rollups as r on r.snapshot_id = s.id
join meters as m on m.key = r.meter
where s.is_current and s.month in (:month, :before)
"""


@dataclass(frozen=True)
class Daily:
    """A rollup by day."""

    organization_id: str
    month: date
    id: UUID
    meter: str
    aggregation: str
    dimensions: str
    segment_start: datetime
    segment_end: datetime
    daily: Sequence[Decimal]


@dataclass(frozen=True)
class Tried:
    """An estimate with the total that the month had, and the usage so far scaled to the month, in cents."""

    found: MonthEndEstimate
    total: int
    scaled: int

    @property
    def is_inside(self) -> bool:
        return self.found.low_cents <= self.total <= self.found.high_cents

    def error(self, cents: int) -> float:
        return abs(cents - self.total) / self.total


def main() -> None:
    read = argparse.ArgumentParser(description=__doc__)
    read.add_argument("--organizations", type=int, default=150)
    read.add_argument("--months", type=int, default=4, help="closed months; all but the first are estimated")
    given = read.parse_args()
    console = Console()
    tried: dict[int, list[Tried]] = {day: [] for day in ESTIMATED_AFTER}
    with throwaway_server() as server, throwaway_platform(server) as platform, console.status("usage") as status:
        seeded = seed(
            platform.database, platform.landing_dir, usage_table=platform.usage_table, today=TODAY,
            months=given.months, organizations=given.organizations,
        )  # fmt: skip
        for month in seeded.closed_months:
            status.update(f"closing {month}")
            platform.close(month)
        started = time.process_time()
        for month in seeded.closed_months[1:]:
            status.update(f"estimating {month}")
            for inputs, daily in read_month(platform.database, month):
                for day in ESTIMATED_AFTER:
                    tried[day] += estimate(inputs, daily, month, day)
        made = sum(map(len, tried.values()))
        seconds = time.process_time() - started
    console.print(as_table(tried))
    console.print(f"{1000 * seconds / made:.1f} ms of CPU for an estimate, with the calculation of the total")


def read_month(database: BillingDatabase, month: BillingMonth) -> Iterator[tuple[InvoiceInputs, list[Daily]]]:
    """Yield the inputs of each invoice of the month, with the usage by day of its organizations in both months."""
    with database.transaction() as connection:
        groups = [row["billing_group"] for row in database.rows("billing_groups")]
        payers = [payer for payer in read_payers(connection, month, list(dict.fromkeys(groups))) if payer.is_final]
        records, books = read_records(connection, month, payers, is_final=True), read_books(connection)
        spans = {"month": month.first_day, "before": month.plus(-1).first_day}
        daily = [Daily(**row) for row in connection.execute(text(DAILY), spans).mappings()]
        for payer in payers:
            yield (
                inputs_of(payer, month, records, books),
                [row for row in daily if row.organization_id in payer.member_names],
            )


def estimate(inputs: InvoiceInputs, daily: Sequence[Daily], month: BillingMonth, day: int) -> list[Tried]:
    """Return the estimate after this day; none if the month has no usage, no positive total or it is too early."""
    rows = [row for row in daily if row.month == month.first_day]
    total = assemble_invoice(inputs).total_cents
    so_far = with_usage(inputs, rows, day, Decimal(1))
    known = KnownDays(month, day, month.plus(-1).days if len(daily) > len(rows) else 0)
    aggregations = {row.meter: row.aggregation for row in daily}
    as_of = month.start + timedelta(days=day, hours=8)
    found = estimate_month_end(EstimateInputs(so_far, list(series(daily, month, day)), aggregations, known, as_of))
    if not rows or total <= 0 or not isinstance(found, MonthEndEstimate):
        return []
    scaled = with_usage(inputs, rows, day, Decimal(month.days) / day)
    return [Tried(found, total, assemble_invoice(scaled).total_cents)]


def with_usage(inputs: InvoiceInputs, rows: Sequence[Daily], day: int, factor: Decimal) -> InvoiceInputs:
    """Return the inputs with the usage of the first days only, multiplied by the factor."""

    def rollups(member: Member) -> list[UsageRollup]:
        return [
            UsageRollup(row.id, row.meter, json.loads(row.dimensions), row.segment_start, row.segment_end, quantity)
            for row in rows
            if row.organization_id == member.organization_id and (quantity := sum(row.daily[:day]) * factor)
        ]

    return replace(inputs, members=[replace(member, rollups=rollups(member)) for member in inputs.members])


def series(daily: Sequence[Daily], month: BillingMonth, day: int) -> Iterator[UsageSeries]:
    by_key: dict[tuple[str, str, str], dict[bool, list[Decimal]]] = {}
    for row in daily:
        is_now = row.month == month.first_day
        quantities = [*row.daily[:day], *[Decimal(0)] * (month.days - day)] if is_now else [*row.daily]
        both = by_key.setdefault((row.organization_id, row.meter, row.dimensions), {})
        earlier = both.get(is_now, [Decimal(0)] * len(quantities))
        both[is_now] = [one + other for one, other in zip(earlier, quantities, strict=True)]
    for (name, meter, dimensions), both in by_key.items():
        now = both.get(True, [])
        if any(now) or both.get(False):
            yield UsageSeries(name, meter, json.loads(dimensions), now, both.get(False, ()))


def as_table(tried: dict[int, list[Tried]]) -> Table:
    table = Table(
        "after day", "estimates", "error, median", "error, 90th percentile", "inside the range",
        "width of the range, median", "scaled usage: error, median and 90th percentile",
    )  # fmt: skip
    for day, some in tried.items():
        errors = sorted(each.error(each.found.likely_cents) for each in some)
        scaled = sorted(each.error(each.scaled) for each in some)
        widths = [(each.found.high_cents - each.found.low_cents) / each.total for each in some]
        inside = sum(each.is_inside for each in some) / len(some)
        table.add_row(
            str(day), f"{len(some):,}", f"{median(errors):.1%}", f"{percentile(errors):.1%}", f"{inside:.0%}",
            f"{median(widths):.1%}", f"{median(scaled):.1%}, {percentile(scaled):.1%}",
        )  # fmt: skip
    table.caption = f"totals of {format_cents(sum(each.total for each in tried[ESTIMATED_AFTER[0]]), 'USD')}"
    return table


def percentile(errors: Sequence[float], part: float = 0.9) -> float:
    return errors[int(part * (len(errors) - 1))]


if __name__ == "__main__":
    main()
