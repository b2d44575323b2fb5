"""Reads a month's usage by day and product, app or region, for the statement's cost explorer.

One more round trip than the statement itself, which only the page takes. The amounts are those of the statement that
was read before, so that both always add up to the same total. Not here: the amounts (`statements.rules.daily_costs`).
"""

from __future__ import annotations

from uuid import UUID

from fly_billing.periods import BillingMonth
from fly_billing.postgres.reading import ReadableDatabase
from fly_billing.statements.rules.daily_costs import DailyCosts, UsageOfLabel, explore, wanted_labels
from fly_billing.statements.rules.statement import Statement


def read_daily_costs(database: ReadableDatabase, statement: Statement, by: str = "product") -> DailyCosts | None:
    """Read the usage of the month that the statement shows; None if it shows none, or can't break it down.

    Args:
        by: One of `rules.daily_costs.SPLITS`.
    """
    shown = statement.shown()
    if shown is None or shown.spend is None:
        return None
    shares = {"product": (), "app": shown.spend.by_app, "region": shown.spend.by_region}[by]
    usage = database.records(
        UsageOfLabel, "usage_by_day_and_label",
        items=[UUID(item.id) for item in shown.items if item.kind == "usage"],
        dimension=None if by == "product" else by,
        labels=wanted_labels(by, shown.items, shares),
    )  # fmt: skip
    return explore(by, shown.items, usage, shares, BillingMonth.parse(shown.month), shown.currency)
