"""Makes the parts of answers that are money: amounts, the cost of a month by its breakdowns, and its comparison.

Not here: whole answers (`api.answers`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from fly_billing.api import models
from fly_billing.money import typed_amount
from fly_billing.statements.rules import spend

# Apps, regions, and pairs of them that an answer lists.
MOST_PLACES = 100


def money(cents: int, currency: str) -> models.Money:
    return models.Money(amount=typed_amount(cents, currency), currency=currency)


def money_by_currency(totals: dict[str, int]) -> list[models.Money]:
    return [money(cents, currency) for currency, cents in sorted(totals.items())]


def cost(found: spend.Spend, currency: str) -> models.Cost:
    def shares(rows: Iterable[spend.SpendShare]) -> list[models.Share]:
        return [
            models.Share(
                label=row.label,
                cost=money(row.amount_cents, currency),
                is_of_the_whole_invoice=row.is_of_the_whole_invoice,
            )
            for row in rows
        ]

    def others(rows: Sequence[spend.SpendShare]) -> models.OtherShares | None:
        left = [row for row in rows if row.label is not None][MOST_PLACES:]
        total = sum(row.amount_cents for row in left)
        return models.OtherShares(count=len(left), cost=money(total, currency)) if left else None

    def part(cents: int | None) -> models.Money | None:
        return None if cents is None else money(cents, currency)

    days = found.by_day
    return models.Cost(
        by_product=shares(found.by_product),
        by_app=shares(_listed(found.by_app)),
        other_apps=others(found.by_app),
        by_region=shares(_listed(found.by_region)),
        other_regions=others(found.by_region),
        by_day=[models.DayCost(day=day.day, cost=money(day.amount_cents, currency)) for day in days.days],
        day_not_known=part(days.day_not_known_cents),
        whole_invoice=part(days.whole_invoice_cents),
    )


def _listed(rows: Sequence[spend.SpendShare]) -> list[spend.SpendShare]:
    """Return the largest labelled rows, and those without a label."""
    labelled = [row for row in rows if row.label is not None]
    return [*labelled[:MOST_PLACES], *(row for row in rows if row.label is None)]


def comparison(compared: spend.MonthComparison, currency: str) -> models.CostComparison:
    def change(found: spend.Change) -> models.CostChange:
        return models.CostChange(
            label=found.label,
            before=money(found.before_cents, currency),
            now=money(found.now_cents, currency),
            difference=money(found.difference_cents, currency),
        )

    return models.CostComparison(
        month=compared.month,
        until_day=compared.until_day,
        total=change(compared.total),
        by_product=[*map(change, compared.by_product)],
    )
