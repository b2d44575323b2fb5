"""Why an item costs what it costs: sums that a person can redo on a calculator, each checked while it is made.

Works everything out again from what is written of the item: `quantity x unit_amount / per = amount` for each step, the
rollups that make up the quantity, the steps that make up the amount, the parts that a discount or a credit paid, the
invoice's rounding. What does not come to what was billed is told in `problems`; nothing is quietly put right.
Keeps out: where the data comes from (`statements.explanation_reader`) and how it looks (`cli.explain`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from fractions import Fraction
from typing import Any

from fly_billing.corrections.rules.adjusted import Adjusted
from fly_billing.corrections.rules.differences import CAUSES
from fly_billing.invoicing.rules.inputs import UsageRollup
from fly_billing.invoicing.rules.items import InvoiceItem
from fly_billing.money import (
    EXACT,
    exact_product,
    exact_sum,
    format_cents,
    from_cents,
    grouped,
    plain,
    to_cents,
)
from fly_billing.periods import moment_text, overlap_days, overlap_seconds, span_text
from fly_billing.pricing.rules.intervals import INTERVALS, FeePeriod
from fly_billing.pricing.rules.negotiated_prices import NegotiatedPrice
from fly_billing.pricing.rules.prices import Price
from fly_billing.pricing.rules.rating import rate
from fly_billing.statements.rules.rounding import Rounding

# What of an item's detail is told in its sums (or by its price); the rest becomes facts, so that nothing is left out.
_TOLD_IN_SUMS = frozenset(
    "negotiated price price_effective_from steps free_allowance_used subscribed billed_before applied_to base percent"
    " maximum minimum counted counted_before available drawn left returned step taxed transformed".split()
)
_HUNDRED = Decimal(100)
# How the parts of an interval are counted, by the unit of the share.
_OVERLAPS = {"day": overlap_days, "second": overlap_seconds}


@dataclass(frozen=True)
class Line:
    """One line of a sum: `amount`, and where it is a product, `quantity x unit_amount / per`."""

    label: str
    amount: Decimal
    product: tuple[Decimal, Decimal, Decimal] | None = None

    @property
    def working(self) -> str:
        """Write the product as it is typed into a calculator: `10,000 x 0.15 / 720`; empty where there is none."""
        if self.product is None:
            return ""
        quantity, unit_amount, per = (grouped(plain(number)) for number in self.product)
        return f"{quantity} x {unit_amount}" + (f" / {per}" if per != "1" else "")

    @property
    def is_right(self) -> bool:
        return self.product is None or exact_product(*self.product) == self.amount

    @property
    def is_rounded(self) -> bool:
        """Whether the division does not end: the amount is rounded at the 20th decimal place then."""
        if self.product is None:
            return False
        quantity, unit_amount, per = map(Fraction, self.product)
        return quantity * unit_amount / per != Fraction(self.amount)

    def as_data(self) -> dict[str, Any]:
        """Return JSON-ready data; numbers are text."""
        factors = zip(("quantity", "unit_amount", "per"), map(plain, self.product or ()), strict=False)
        rounded = {"is_rounded_at_20_decimals": True} if self.is_rounded else {}
        return {"label": self.label, **dict(factors), "amount": plain(self.amount), **rounded}


@dataclass(frozen=True)
class Sum:
    """Lines that add up to `total`. `unit` is what is added up: the usage's unit, or the currency."""

    title: str
    unit: str
    lines: tuple[Line, ...]
    total: Decimal

    def problems(self) -> list[str]:
        """Return a sentence for each line and for the total that do not come to what they say."""
        wrong = [
            f"{self.title}, {line.label}: {line.working} is not {plain(line.amount)}"
            for line in self.lines
            if not line.is_right
        ]
        added = exact_sum([line.amount for line in self.lines])
        if added != self.total:
            wrong.append(f"{self.title}: the lines add up to {plain(added)} {self.unit}, not to {plain(self.total)}")
        return wrong

    def as_data(self) -> dict[str, Any]:
        """Return JSON-ready data; numbers are text."""
        return {
            "title": self.title,
            "unit": self.unit,
            "lines": [line.as_data() for line in self.lines],
            "total": plain(self.total),
        }


@dataclass(frozen=True)
class Explanation:
    """All that there is to say about one item's amount. `problems` is empty where everything comes to what was billed.

    `facts` are (name, text) pairs for people; `price` is the version that was charged.
    """

    item: InvoiceItem
    currency: str
    facts: tuple[tuple[str, str], ...]
    sums: tuple[Sum, ...]
    rounding: Rounding
    price: Price | None
    problems: tuple[str, ...]

    def as_data(self) -> dict[str, Any]:
        """Return JSON-ready data; exact numbers are text, cents are whole numbers."""
        item = self.item
        return {
            "id": str(item.id),
            "kind": item.kind,
            "organization_id": item.organization_id,
            "product": item.product,
            "description": item.description,
            "quantity": plain(item.quantity),
            "unit": item.unit,
            "currency": self.currency,
            "amount": plain(item.amount),
            "amount_cents": item.amount_cents,
            "price": None if self.price is None else _price_data(self.price),
            "sums": [one.as_data() for one in self.sums],
            "rounding": self.rounding.as_data(),
            "facts": dict(self.facts),
            "detail": dict(item.detail),
            "problems": list(self.problems),
        }


def explain_item(
    item: InvoiceItem,
    rounding: Rounding,
    currency: str,
    rollups: Sequence[UsageRollup] = (),
    price: Price | None = None,
    facts: Sequence[tuple[str, str]] = (),
    adjusted: Adjusted | None = None,
) -> Explanation:
    """Explain an invoice's item; `rounding` is its own of `rounding.explain_rounding`.

    `rollups` is the usage that it prices, `price` the version by which, `facts` (name, text) what else is known of it,
    `adjusted` the record of the adjustment that it bills. Same input, same explanation.
    """
    if adjusted is None:
        sums = [*_quantity(item, rollups), *_fee(item, price, currency), *_amount(item, currency)]
        sums += _at_list(item, currency)
    else:
        sums = _adjustment(item, adjusted, currency)
        facts = [*facts, *_why(adjusted)]
    problems = [problem for one in sums for problem in one.problems()]
    problems += [*_unaccounted_units(item), *_wrong_tax(sums, item, currency), *_wrong_share(item, price)]
    if rounding.cents != item.amount_cents:
        problems.append(
            f"Rounding: {format_cents(item.amount_cents, currency)} is billed, the invoice's rounding comes to"
            f" {format_cents(rounding.cents, currency)}"
        )
    if item.kind in ("usage", "subscription") and price is None:
        problems.append("Price: the version that was charged is not in the price book any more")
    return Explanation(item, currency, (*_facts(item, price), *facts), tuple(sums), rounding, price, tuple(problems))


def _quantity(item: InvoiceItem, rollups: Sequence[UsageRollup]) -> list[Sum]:
    """The usage that was added up, and what of it is charged for."""
    if item.kind != "usage":
        return []
    lines = tuple(Line(whose(one), one.quantity) for one in rollups)
    how = item.detail.get("transformed")
    if how is None:
        return [Sum("Quantity", item.unit, lines, item.quantity), *_charged_for(item)]
    used = Decimal(how["used"])
    return [Sum("Used", "", lines, used), _transformed(item, used, how), *_charged_for(item)]


def _transformed(item: InvoiceItem, used: Decimal, how: Mapping[str, str]) -> Sum:
    """The quantity that is charged for: the used one in other units, rounded to whole steps."""
    factors = (used, Decimal(1), Decimal(how["divide_by"]))
    converted = Line("used", exact_product(*factors), None if factors[2] == 1 else factors)
    by = EXACT.subtract(item.quantity, converted.amount)
    rounded = Line(f"the month rounded {how['round']} to a multiple of {grouped(how['step'])}", by)
    return Sum("Quantity", item.unit, (converted, rounded), item.quantity)


def _charged_for(item: InvoiceItem) -> list[Sum]:
    free = _free(item)
    if item.kind != "usage" or not free:
        return []
    lines = (Line("used", item.quantity), Line("free allowance", EXACT.minus(free)))
    return [Sum("Charged for", item.unit, lines, EXACT.subtract(item.quantity, free))]


def whose(rollup: UsageRollup) -> str:
    """Name a rollup for people: its dimensions (its meter, where it has none) and its part of the month."""
    named = ", ".join(f"{name} {value}" for name, value in sorted(rollup.dimensions.items())) or rollup.meter
    return f"{named}; {span_text(rollup.segment_start, rollup.segment_end)}"


def _fee(item: InvoiceItem, price: Price | None, currency: str) -> list[Sum]:
    """What a whole interval of a subscription costs, where that is more than its price for one unit."""
    if item.kind != "subscription" or price is None:
        return []
    quantity = Decimal(item.detail.get("subscribed", "1"))
    rated = rate(price, quantity)
    if "subscribed" not in item.detail and not rated.allowance_used and len(rated.steps) == 1:
        return []
    sums = []
    if rated.allowance_used:
        free = (Line("subscribed", quantity), Line("free allowance", EXACT.minus(rated.allowance_used)))
        sums.append(Sum("Charged for", "unit", free, EXACT.subtract(quantity, rated.allowance_used)))
    lines = tuple(_step(step.as_data()) for step in rated.steps)
    return [*sums, Sum(f"A whole {price.interval}", currency, lines, rated.amount)]


def _amount(item: InvoiceItem, currency: str) -> list[Sum]:
    """How the exact amount comes about, by the kind of item: as its billing step worked it out."""
    detail = item.detail
    if "steps" in detail:
        return [Sum("Amount", currency, tuple(_step(step) for step in detail["steps"]), item.amount)]
    match item.kind:
        case "discount" if "percent" in detail:
            line = _percentage("off what is left of them", detail["base"], f"-{detail['percent']}")
            return [Sum("Amount", currency, (line,), item.amount), _parts(item, currency)]
        case "discount":
            return [_parts(item, currency, "Amount")]
        case "maximum":
            over = (
                _negative("they come to", detail["base"]),
                Line(f"agreed at most{_for_a_part(detail)}", Decimal(detail["maximum"])),
            )
            return [Sum("Amount", currency, over, item.amount), _parts(item, currency)]
        case "minimum":
            missing = (
                Line(f"agreed at least{_for_a_part(detail)}", Decimal(detail["minimum"])),
                _negative("counted in earlier months", detail["counted_before"]),
                _negative("counted this month", detail["base"]),
            )
            return [_counted(detail, currency), Sum("Amount", currency, missing, item.amount)]
        case "credit" if "available" not in detail:  # what it got back, or paid in all
            return [_parts(item, currency, "Amount")]
        case "credit":
            drawn = (Line("there was", Decimal(detail["available"])), _negative("used now", detail["drawn"]))
            left = Sum("Left of the credit", currency, drawn, Decimal(detail["left"]))
            return [_parts(item, currency, "Amount"), left]
        case "tax":
            line = _percentage("of what is taxed at it", detail["base"], detail["percent"])
            return [*_taxed(detail, currency), Sum("Tax before it is rounded", currency, (line,), line.amount)]
        case "rounding":
            base = Decimal(detail["base"])
            near = Line(f"the nearest multiple of {detail['step']}", EXACT.add(base, item.amount))
            return [Sum("Amount", currency, (near, _negative("all other items", detail["base"])), item.amount)]
        case _:
            return [Sum("Amount", currency, (Line("as it was entered", item.amount),), item.amount)]


def _at_list(item: InvoiceItem, currency: str) -> list[Sum]:
    """What the same comes to at the list price, where another one was negotiated."""
    if "negotiated" not in item.detail:
        return []
    listed = item.detail["negotiated"]["list"]
    lines = tuple(_step(step) for step in listed["steps"])
    return [Sum("At the list price it would be", currency, lines, Decimal(listed["amount"]))]


def _adjustment(item: InvoiceItem, adjusted: Adjusted, currency: str) -> list[Sum]:
    """Both calculations, each with its own sums, and what is corrected between them."""
    corrected = [Line("owed now", adjusted.owed), Line("billed on the invoice", EXACT.minus(adjusted.billed))]
    if adjusted.before:
        corrected.append(Line("adjusted before", EXACT.minus(adjusted.before)))
    if adjusted.waits:
        corrected.append(Line("changed terms, not decided on when it was booked", EXACT.minus(adjusted.waits)))
    return [
        *_calculation("As it was billed", adjusted.billed_items, adjusted.billed, currency),
        *_calculation("As it is now", adjusted.owed_items, adjusted.owed, currency),
        Sum("Corrected by", currency, tuple(corrected), item.amount),
    ]


def _calculation(title: str, items: Sequence[InvoiceItem] | None, total: Decimal, currency: str) -> list[Sum]:
    """The sums of one side's items, then the items themselves where they are more than one, or none."""
    if items is None:
        return []
    sums = [
        replace(one, title=f"{title}: {item.description}, {one.title[:1].lower()}{one.title[1:]}")
        for item in items
        for one in (*_charged_for(item), *_amount(item, currency))
    ]
    if len(items) == 1 and items[0].amount == total:
        return sums
    return [*sums, Sum(title, currency, tuple(Line(item.description, item.amount) for item in items), total)]


def _why(adjusted: Adjusted) -> list[tuple[str, str]]:
    facts = [("Why", CAUSES[cause]) for cause in adjusted.causes if cause in CAUSES]
    if adjusted.billed_items is None:
        facts.append(("Calculations", "not kept: the adjustment was booked before adjustments kept them"))
    return facts


def _step(step: Mapping[str, str]) -> Line:
    amount = Decimal(step["amount"])
    if step.get("units") == "0" and step["quantity"] == "1":  # an amount that is owed whatever the number of units
        return Line(step["label"], amount)
    return Line(step["label"], amount, (Decimal(step["quantity"]), Decimal(step["unit_amount"]), Decimal(step["per"])))


def _percentage(label: str, base: str, percent: str) -> Line:
    factors = (Decimal(base), Decimal(percent), _HUNDRED)
    return Line(f"{percent} % {label}", exact_product(*factors), factors)


def _negative(label: str, amount: str) -> Line:
    return Line(label, EXACT.minus(Decimal(amount)))


def _parts(item: InvoiceItem, currency: str, title: str = "Taken off") -> Sum:
    """What was taken off each of the items that a discount, a maximum or a credit is about."""
    lines = tuple(_negative(_named(part), part["amount"]) for part in item.detail["applied_to"])
    return Sum(title, currency, lines, item.amount)


def _taxed(detail: Mapping[str, Any], currency: str) -> list[Sum]:
    """The base of a rate before it is rounded: what is left to pay of the items taxed at it. Empty: of all items."""
    if "taxed" not in detail:
        return []
    lines = tuple(Line(_named(part), Decimal(part["amount"])) for part in detail["taxed"])
    return [Sum("Taxed at it, before it is rounded", currency, lines, exact_sum([line.amount for line in lines]))]


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


def _free(item: InvoiceItem) -> Decimal:
    return Decimal(item.detail.get("free_allowance_used", "0"))


def _unaccounted_units(item: InvoiceItem) -> list[str]:
    """Every unit is free or in a step (`PriceStep.units`), none in two."""
    if item.kind != "usage":
        return []
    charged = exact_sum([Decimal(step.get("units", step["quantity"])) for step in item.detail.get("steps", ())])
    if EXACT.add(charged, _free(item)) == item.quantity:
        return []
    return [
        f"Units: the steps charge for {plain(charged)} and {plain(_free(item))} are free, together not the"
        f" {plain(item.quantity)} that were used"
    ]


def _wrong_tax(sums: Sequence[Sum], item: InvoiceItem, currency: str) -> list[str]:
    """A tax is rounded to the cent before it is an amount, and so is its base: down or up."""
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
    """Count again how much of its interval a fee is for, and how long the interval is."""
    if item.kind != "subscription" or item.interval_start is None or item.interval_end is None:
        return []
    interval = FeePeriod(item.interval_start, item.interval_end)
    problems = []
    if price is not None and interval.months != INTERVALS[price.interval]:
        problems.append(f"Interval: {span_text(interval.start, interval.end)} is no {price.interval}")
    share = next((step for step in item.detail["steps"] if step["label"].startswith("share of the ")), None)
    if share is None or item.unit not in _OVERLAPS or item.period_start is None:
        return problems
    counted = _OVERLAPS[item.unit]
    part, whole = counted(interval, item.period_start, item.period_end), counted(interval, interval.start, None)
    if Decimal(share["quantity"]) != part or Decimal(share["per"]) != whole:
        problems.append(
            f"Share: {span_text(item.period_start, item.period_end or interval.end)} is {grouped(str(part))} of"
            f" {grouped(str(whole))} {item.unit}s, not {grouped(share['quantity'])} of {grouped(share['per'])}"
        )
    return problems


def _part_of_interval(item: InvoiceItem, interval: FeePeriod, price: Price | None) -> str:
    """Say which interval a fee is a part of, and how much of it: `quarter 2026-04-01 to 2026-07-01: 32 of 91 days`."""
    named = f"{price.interval if price else 'interval'} {span_text(interval.start, interval.end)}"
    if not item.quantity or item.period_start is None:
        return f"{named}: nothing of it"
    unit = "day" if item.unit == "day" else "second"
    part = _OVERLAPS[unit](interval, item.period_start, item.period_end)
    whole = _OVERLAPS[unit](interval, interval.start, None)
    if unit == "second" and part % 86_400 == whole % 86_400 == 0:
        unit, part, whole = "day", part // 86_400, whole // 86_400
    charged = ", charged whole" if part != whole and item.unit not in _OVERLAPS else ""
    return f"{named}: {part:,} of {whole:,} {unit}s{charged}"


def _facts(item: InvoiceItem, price: Price | None) -> tuple[tuple[str, str], ...]:
    facts = []
    if price is not None:
        listed = price.list_price
        facts.append(("Price", f"{listed.key} of price book {listed.book!r}, {_in_force(listed)}"))
        facts.append(("Charged by" if price is listed else "List price", charged_by(listed)))
        if price.negotiated:
            facts += [("Negotiated", _agreed(price.negotiated)), ("Charged by", charged_by(price))]
    if item.period_start and item.period_end:
        facts.append(("For", span_text(item.period_start, item.period_end)))
    if item.interval_start and item.interval_end:
        facts.append(("Interval", _part_of_interval(item, FeePeriod(item.interval_start, item.interval_end), price)))
    for name, value in item.detail.items():
        if name not in _TOLD_IN_SUMS:
            facts.append(("Promised" if name == "amount" else name.replace("_", " ").capitalize(), _text(value)))
    return tuple(facts)


def _in_force(one: Price | NegotiatedPrice) -> str:
    until = f"until {moment_text(one.effective_until)}" if one.effective_until else "on"
    return f"from {moment_text(one.effective_from)} {until}"


def _agreed(one: NegotiatedPrice) -> str:
    what = "a price of its own" if one.percent_off is None else f"{plain(one.percent_off)} % off the list price"
    where = f" for {_text(one.match)}" if one.match else ""
    return f"{what}{where}, of {one.holder}, {_in_force(one)}"


def _price_data(price: Price) -> dict[str, Any]:
    """Return JSON-ready data of the version that was charged: its ids, and the list price where one was negotiated."""
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
    """Say in a line what a price charges, from its own plain data: `per_unit: unit_amount 0.15, per 720`."""
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
        return " ".join(f"{name} {_text(one)}" for name, one in value.items() if one is not None)
    if isinstance(value, list | tuple):
        return "; ".join(_text(one) for one in value) or "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value)
