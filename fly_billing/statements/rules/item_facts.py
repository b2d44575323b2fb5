"""Facts about an item that an explanation lists besides the sums: price, interval, and other details, as text.

Not here: facts from the records that an item bills (`sql/facts_of_item.sql`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fly_billing.invoicing.rules.items import InvoiceItem
from fly_billing.money import plain
from fly_billing.periods import moment_text, overlap_days, overlap_seconds, span_text
from fly_billing.pricing.rules.intervals import FeePeriod
from fly_billing.pricing.rules.negotiated_prices import NegotiatedPrice
from fly_billing.pricing.rules.prices import Price

# Entries of an item's detail that its sums or its price show. All others become facts, so that nothing is left out.
_SHOWN_IN_SUMS = frozenset(
    "negotiated price price_effective_from steps free_allowance_used subscribed billed_before applied_to base percent"
    " maximum minimum counted counted_before available drawn left returned step taxed transformed".split()
)
# The function that measures a part of an interval, by the unit of the share.
OVERLAPS = {"day": overlap_days, "second": overlap_seconds}


def facts_of_item(item: InvoiceItem, price: Price | None) -> tuple[tuple[str, str], ...]:
    """Return (name, text) pairs for everything in the item's record that its sums do not show."""
    facts = []
    if price is not None:
        listed = price.list_price
        facts.append(("Price", f"{listed.key} of price book {listed.book!r}, {_in_force(listed)}"))
        facts.append(("Charged by" if price is listed else "List price", charged_by(listed)))
        if price.negotiated:
            facts += [("Negotiated", _agreed(price.negotiated)), ("Charged by", charged_by(price))]
    if item.period_start and item.period_end:
        facts.append(("Period", span_text(item.period_start, item.period_end)))
    if item.interval_start and item.interval_end:
        facts.append(("Interval", _part_of_interval(item, FeePeriod(item.interval_start, item.interval_end), price)))
    for name, value in item.detail.items():
        if name not in _SHOWN_IN_SUMS:
            facts.append(("Agreed amount" if name == "amount" else name.replace("_", " ").capitalize(), _text(value)))
    return tuple(facts)


def _part_of_interval(item: InvoiceItem, interval: FeePeriod, price: Price | None) -> str:
    """Return the interval of a fee and the part charged: `quarter 2026-04-01 to 2026-07-01: 32 of 91 days`."""
    named = f"{price.interval if price else 'interval'} {span_text(interval.start, interval.end)}"
    if not item.quantity or item.period_start is None:
        return f"{named}: not charged"
    unit = "day" if item.unit == "day" else "second"
    part = OVERLAPS[unit](interval, item.period_start, item.period_end)
    whole = OVERLAPS[unit](interval, interval.start, None)
    if unit == "second" and part % 86_400 == whole % 86_400 == 0:
        unit, part, whole = "day", part // 86_400, whole // 86_400
    charged = ", charged in full" if part != whole and item.unit not in OVERLAPS else ""
    return f"{named}: {part:,} of {whole:,} {unit}s{charged}"


def _in_force(price: Price | NegotiatedPrice) -> str:
    until = f" until {moment_text(price.effective_until)}" if price.effective_until else ""
    return f"in effect from {moment_text(price.effective_from)}{until}"


def _agreed(price: NegotiatedPrice) -> str:
    terms = "own price" if price.percent_off is None else f"{plain(price.percent_off)} % off the list price"
    where = f" for {_text(price.match)}" if price.match else ""
    return f"{terms}{where}, agreed with {price.holder}, {_in_force(price)}"


def price_data(price: Price) -> dict[str, Any]:
    """Return JSON-ready data of the price version that was charged, with the list price if one was negotiated."""
    listed, agreed = price.list_price, price.negotiated
    data = {"id": str(listed.id), "book": price.book, **price.to_data()}
    if agreed is None:
        return data
    return {
        **data,
        "negotiated": {
            "id": str(agreed.id),
            "of": agreed.holder,
            "effective_from": agreed.effective_from.isoformat(),
            "effective_until": agreed.effective_until.isoformat() if agreed.effective_until else None,
            **agreed.charges_data(),
        },
        "list_price": listed.to_data(),
    }


def charged_by(price: Price) -> str:
    """Return the terms of a price in one line: `per_unit: unit_amount 0.15, per 720`."""
    data = price.to_data()
    shown = [
        *price.model.to_data(),
        "free_allowance",
        "allowance_with",
        "minimum",
        "maximum",
        "at_zero",
        "transform_quantity",
        "interval",
    ]
    return f"{price.model.NAME}: " + ", ".join(f"{name} {_text(data[name])}" for name in shown if name in data)


def _text(value: Any) -> str:
    if isinstance(value, Mapping):
        return " ".join(f"{name} {_text(part)}" for name, part in value.items() if part is not None)
    if isinstance(value, list | tuple):
        return "; ".join(_text(part) for part in value) or "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value)
