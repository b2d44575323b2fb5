"""Checks that an item's numbers agree with each other: one sentence per contradiction.

Not here: whether the lines of a sum add up (`sums.Sum.problems`), and the checks of a whole month before it is billed
(`invoicing`).
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

from fly_billing.invoicing.rules.items import InvoiceItem
from fly_billing.money import EXACT, exact_sum, from_cents, grouped, plain, to_cents
from fly_billing.periods import span_text
from fly_billing.pricing.rules.intervals import INTERVALS, FeePeriod
from fly_billing.pricing.rules.prices import Price
from fly_billing.statements.rules.item_facts import OVERLAPS
from fly_billing.statements.rules.item_sums import free_quantity
from fly_billing.statements.rules.sums import Sum


def problems_of_item(item: InvoiceItem, sums: Sequence[Sum], price: Price | None, currency: str) -> list[str]:
    """Return a sentence for each contradiction between the item's units, tax or interval and its amount."""
    return [*_unaccounted_units(item), *_wrong_tax(sums, item, currency), *_wrong_share(item, price)]


def _unaccounted_units(item: InvoiceItem) -> list[str]:
    """Check that each unit is either free or in exactly one step (`PriceStep.units`)."""
    if item.kind != "usage":
        return []
    charged = exact_sum([Decimal(step.get("units", step["quantity"])) for step in item.detail.get("steps", ())])
    if EXACT.add(charged, free_quantity(item)) == item.quantity:
        return []
    return [
        f"Units: the steps charge for {plain(charged)} and {plain(free_quantity(item))} are free, together not the"
        f" {plain(item.quantity)} that were used"
    ]


def _wrong_tax(sums: Sequence[Sum], item: InvoiceItem, currency: str) -> list[str]:
    """Check that the tax and its base are their exact values, rounded to the currency's minor unit."""
    if item.kind != "tax":
        return []
    problems = []
    base = Decimal(item.detail["base"])
    if len(sums) > 1 and abs(EXACT.subtract(sums[0].total, base)) >= from_cents(1, currency):
        problems.append(f"Base: {plain(sums[0].total)} rounded to the {currency}'s minor unit is not {plain(base)}")
    if from_cents(to_cents(sums[-1].total, currency), currency) != item.amount:
        problems.append(
            f"Tax: {plain(sums[-1].total)} rounded to the {currency}'s minor unit is not {plain(item.amount)}"
        )
    return problems


def _wrong_share(item: InvoiceItem, price: Price | None) -> list[str]:
    """Count again the part of the interval that a fee is for, and the length of the interval."""
    if item.kind != "subscription" or item.interval_start is None or item.interval_end is None:
        return []
    interval = FeePeriod(item.interval_start, item.interval_end)
    problems = []
    if price is not None and interval.months != INTERVALS[price.interval]:
        problems.append(f"Interval: {span_text(interval.start, interval.end)} is not a {price.interval}")
    share = next((step for step in item.detail["steps"] if step["label"].startswith("share of the ")), None)
    if share is None or item.unit not in OVERLAPS or item.period_start is None:
        return problems
    counted = OVERLAPS[item.unit]
    part, whole = counted(interval, item.period_start, item.period_end), counted(interval, interval.start, None)
    if Decimal(share["quantity"]) != part or Decimal(share["per"]) != whole:
        problems.append(
            f"Share: {span_text(item.period_start, item.period_end or interval.end)} is {grouped(str(part))} of"
            f" {grouped(str(whole))} {item.unit}s, not {grouped(share['quantity'])} of {grouped(share['per'])}"
        )
    return problems
