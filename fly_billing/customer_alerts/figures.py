"""Reads the figures that need an organization's statement: the part of an app or product, and the estimate.

They are the statement's own figures, to the cent. An organization is read again only after a newer invoice of an open
month; for a forecast also after an hour. Not here: totals, which a statement in SQL compares for all organizations at
once (`reached_thresholds.sql`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from itertools import groupby

from sqlalchemy import Connection

from fly_billing.customer_alerts.rules.messages import Reached
from fly_billing.periods import BillingMonth
from fly_billing.postgres.database import BillingDatabase, rows
from fly_billing.postgres.isolation import VALUE_ERRORS
from fly_billing.statements.month_end import read_month_end
from fly_billing.statements.rules.estimate import MonthEndEstimate
from fly_billing.statements.rules.statement import StatementInvoice
from fly_billing.statements.statement_reader import read_statement

# A forecast of an unchanged invoice is compared again after this time: it changes with the days that are complete.
FORECAST_AGAIN = timedelta(hours=1)


@dataclass
class ReadParts:
    """What statements say about thresholds on parts and estimates.

    Attributes:
        reached: The thresholds that are reached.
        checked: Those that were compared and are not reached. A reached one is read again until it is recorded.
        failed: Those whose statement can't be read, with the cause.
    """

    reached: list[Reached] = field(default_factory=list)
    checked: list[Reached] = field(default_factory=list)
    failed: list[tuple[Reached, Exception]] = field(default_factory=list)


def read_parts(
    database: BillingDatabase, months: Sequence[date], now: datetime, is_over: Callable[[], bool] = lambda: False
) -> ReadParts:
    """Compare the thresholds on parts and estimates whose month has a newer invoice than the last comparison.

    `is_over` is asked before each organization: True leaves the rest to the next round.
    """
    parts = ReadParts()
    waiting = database.records(
        Reached, "thresholds_to_read", months=list(months), forecasts_before=now - FORECAST_AGAIN
    )
    for (organization_id, month), group in groupby(waiting, key=lambda each: (each.organization_id, each.month)):
        some = list(group)
        if is_over():
            break
        try:
            reached = _reached(database, organization_id, BillingMonth.parse(month), some, now)
            done = {each.threshold_id for each in reached}
            parts.reached += reached
            parts.checked += [each for each in some if each.threshold_id not in done]
        except VALUE_ERRORS as problem:
            parts.failed.append((some[0], problem))
    return parts


def _reached(
    database: BillingDatabase, organization_id: str, month: BillingMonth, some: Sequence[Reached], now: datetime
) -> list[Reached]:
    """Read the statement and the estimate of a month, each if a threshold is about it, and return what is reached."""
    kinds = {each.kind for each in some}
    shown = read_statement(database, organization_id, now, month).shown() if kinds - {"forecast"} else None
    estimate = read_month_end(database, organization_id, now, month) if "forecast" in kinds else None
    likely = estimate.likely_cents if isinstance(estimate, MonthEndEstimate) else None
    found = []
    for each in some:
        cents = likely if each.kind == "forecast" else _part_cents(each, shown)
        if cents is not None and cents >= each.limit_cents:
            found.append(replace(each, reached_cents=cents))
    return found


def _part_cents(each: Reached, shown: StatementInvoice | None) -> int | None:
    """Return the cents of the app or product so far; None if the month has none of it.

    Raises ValueError if the month's items can't be read, as the statement says.
    """
    if shown is None:
        return None
    if shown.spend is None:
        raise ValueError(f"the statement of {each.organization_id} {each.month} can't be read")
    shares = shown.spend.by_app if each.kind == "app" else shown.spend.by_product
    cents = [
        share.amount_cents for share in shares if share.label == each.subject and not share.is_of_the_whole_invoice
    ]
    return sum(cents) if cents else None


def mark_checked(connection: Connection, parts: ReadParts, now: datetime) -> None:
    """Record the invoices with which thresholds were compared: for each month its own."""
    if parts.checked:
        rows(
            connection, "mark_thresholds_checked",
            ids=[each.threshold_id for each in parts.checked], months=[each.month for each in parts.checked],
            as_of=[each.as_of for each in parts.checked], now=now,
        )  # fmt: skip
