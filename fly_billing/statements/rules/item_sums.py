"""The sums that explain an item's amount: the quantity used, the billable quantity, and the amount by kind of item.

Each follows the billing step that made the item (`invoicing.rules.steps`), from the `detail` that the step recorded.
Not here: adjustments (`adjustment_sums`), and how events make up a quantity (`quantities`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from fly_billing.invoicing.rules.inputs import UsageRollup
from fly_billing.invoicing.rules.items import InvoiceItem
from fly_billing.money import EXACT, exact_product, exact_sum, grouped
from fly_billing.periods import span_text
from fly_billing.pricing.rules.prices import Price
from fly_billing.pricing.rules.rating import rate
from fly_billing.statements.rules.sums import Line, Sum

_HUNDRED = Decimal(100)


def sums_of_item(item: InvoiceItem, rollups: Sequence[UsageRollup], price: Price | None, currency: str) -> list[Sum]:
    """Return the sums of an item that is not an adjustment, in the order in which a person checks them.

    Args:
        rollups: The usage that the item prices.
        price: The price version that was charged.
    """
    return [
        *_quantity(item, rollups),
        *_fee(item, price, currency),
        *amount_sums(item, currency),
        *_at_list(item, currency),
    ]


def _quantity(item: InvoiceItem, rollups: Sequence[UsageRollup]) -> list[Sum]:
    """Return the sums of a usage item's quantity: the rollups, and the quantity beyond the free allowance."""
    if item.kind != "usage":
        return []
    lines = tuple(Line(rollup_label(rollup), rollup.quantity) for rollup in rollups)
    transformed = item.detail.get("transformed")
    if transformed is None:
        return [Sum("Quantity", item.unit, lines, item.quantity), *billable_quantity(item)]
    used = Decimal(transformed["used"])
    return [Sum("Used", "", lines, used), _transformed(item, used, transformed), *billable_quantity(item)]


def _transformed(item: InvoiceItem, used: Decimal, transformed: Mapping[str, str]) -> Sum:
    """Return the billable quantity: the used one converted to other units and rounded to whole steps."""
    factors = (used, Decimal(1), Decimal(transformed["divide_by"]))
    converted = Line("used", exact_product(*factors), None if factors[2] == 1 else factors)
    by = EXACT.subtract(item.quantity, converted.amount)
    rounded = Line(
        f"the month's total rounded {transformed['round']} to a multiple of {grouped(transformed['step'])}", by
    )
    return Sum("Quantity", item.unit, (converted, rounded), item.quantity)


def billable_quantity(item: InvoiceItem) -> list[Sum]:
    """Return how the free allowance lowers the quantity; nothing where the item has none."""
    free = free_quantity(item)
    if item.kind != "usage" or not free:
        return []
    lines = (Line("used", item.quantity), Line("free allowance", EXACT.minus(free)))
    return [Sum("Billable quantity", item.unit, lines, EXACT.subtract(item.quantity, free))]


def rollup_label(rollup: UsageRollup) -> str:
    """Return a rollup's label for people: its dimensions (or its meter) and its part of the month."""
    named = ", ".join(f"{name} {value}" for name, value in sorted(rollup.dimensions.items())) or rollup.meter
    return f"{named}; {span_text(rollup.segment_start, rollup.segment_end)}"


def _fee(item: InvoiceItem, price: Price | None, currency: str) -> list[Sum]:
    """Return how the fee for a full interval was calculated, where it is more than the price of one unit."""
    if item.kind != "subscription" or price is None:
        return []
    quantity = Decimal(item.detail.get("subscribed", "1"))
    rated = rate(price, quantity)
    if "subscribed" not in item.detail and not rated.allowance_used and len(rated.steps) == 1:
        return []
    sums = []
    if rated.allowance_used:
        free = (Line("subscribed", quantity), Line("free allowance", EXACT.minus(rated.allowance_used)))
        sums.append(Sum("Billable quantity", "unit", free, EXACT.subtract(quantity, rated.allowance_used)))
    lines = tuple(_step(step.as_data()) for step in rated.steps)
    return [*sums, Sum(f"Fee for a full {price.interval}", currency, lines, rated.amount)]


def amount_sums(item: InvoiceItem, currency: str) -> list[Sum]:
    """Return the sums of the exact amount, as the billing step of this kind of item calculates it."""
    detail = item.detail
    if "steps" in detail:
        return [Sum("Amount", currency, tuple(_step(step) for step in detail["steps"]), item.amount)]
    match item.kind:
        case "discount" if "percent" in detail:
            line = _percentage("off the remaining amount of these items", detail["base"], f"-{detail['percent']}")
            return [Sum("Amount", currency, (line,), item.amount), _parts(item, currency)]
        case "discount":
            return [_parts(item, currency, "Amount")]
        case "maximum":
            over = (
                _negative("total of these items", detail["base"]),
                Line(f"agreed maximum{_for_a_part(detail)}", Decimal(detail["maximum"])),
            )
            return [Sum("Amount", currency, over, item.amount), _parts(item, currency)]
        case "minimum":
            missing = (
                Line(f"agreed minimum{_for_a_part(detail)}", Decimal(detail["minimum"])),
                _negative("counted in earlier months", detail["counted_before"]),
                _negative("counted this month", detail["base"]),
            )
            return [_counted(detail, currency), Sum("Amount", currency, missing, item.amount)]
        case "credit" if "available" not in detail:  # returned to the credit, or paid in full by it
            return [_parts(item, currency, "Amount")]
        case "credit":
            drawn = (
                Line("available", Decimal(detail["available"])),
                _negative("used on this invoice", detail["drawn"]),
            )
            left = Sum("Remaining credit", currency, drawn, Decimal(detail["left"]))
            return [_parts(item, currency, "Amount"), left]
        case "tax":
            line = _percentage("of the taxable amount", detail["base"], detail["percent"])
            return [*_taxed(detail, currency), Sum("Tax before rounding", currency, (line,), line.amount)]
        case "rounding":
            base = Decimal(detail["base"])
            near = Line(f"the nearest multiple of {detail['step']}", EXACT.add(base, item.amount))
            return [Sum("Amount", currency, (near, _negative("all other items", detail["base"])), item.amount)]
        case _:
            return [Sum("Amount", currency, (Line("amount as entered", item.amount),), item.amount)]


def _at_list(item: InvoiceItem, currency: str) -> list[Sum]:
    """Return the amount at the list price, where another price was negotiated."""
    if "negotiated" not in item.detail:
        return []
    listed = item.detail["negotiated"]["list"]
    lines = tuple(_step(step) for step in listed["steps"])
    return [Sum("At the list price", currency, lines, Decimal(listed["amount"]))]


def _step(step: Mapping[str, str]) -> Line:
    amount = Decimal(step["amount"])
    if step.get("units") == "0" and step["quantity"] == "1":  # a flat amount, owed for any number of units
        return Line(step["label"], amount)
    return Line(step["label"], amount, (Decimal(step["quantity"]), Decimal(step["unit_amount"]), Decimal(step["per"])))


def _percentage(label: str, base: str, percent: str) -> Line:
    factors = (Decimal(base), Decimal(percent), _HUNDRED)
    return Line(f"{percent} % {label}", exact_product(*factors), factors)


def _negative(label: str, amount: str) -> Line:
    return Line(label, EXACT.minus(Decimal(amount)))


def _parts(item: InvoiceItem, currency: str, title: str = "Deducted from these items") -> Sum:
    """Return what a discount, a maximum or a credit deducted from each item in its scope."""
    lines = tuple(_negative(_named(part), part["amount"]) for part in item.detail["applied_to"])
    return Sum(title, currency, lines, item.amount)


def _taxed(detail: Mapping[str, Any], currency: str) -> list[Sum]:
    """Return the taxable amount before rounding: what remains to pay of the items with this rate. Empty: of all."""
    if "taxed" not in detail:
        return []
    lines = tuple(Line(_named(part), Decimal(part["amount"])) for part in detail["taxed"])
    return [Sum("Taxable amount before rounding", currency, lines, exact_sum([line.amount for line in lines]))]


def _for_a_part(detail: Mapping[str, Any]) -> str:
    if "ran_seconds" not in detail:
        return ""
    return (
        f", {grouped(detail['agreed'])} x {grouped(detail['ran_seconds'])} / {grouped(detail['whole_seconds'])} seconds"
    )


def _counted(detail: Mapping[str, Any], currency: str) -> Sum:
    lines = tuple(Line(_named(part), Decimal(part["amount"])) for part in detail["counted"])
    return Sum("Counted this month", currency, lines, Decimal(detail["base"]))


def _named(part: Mapping[str, str]) -> str:
    return f"{part['product']}: {part['description']}"


def free_quantity(item: InvoiceItem) -> Decimal:
    return Decimal(item.detail.get("free_allowance_used", "0"))
