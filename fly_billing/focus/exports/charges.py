"""Turns an item of an invoice into priced charges: one per step of its sum, so that price x quantity holds for each.

Keeps out: discounts, cents, and how a charge is written down (`rows`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import ROUND_HALF_UP, Context, Decimal

from fly_billing.focus.exports.billed import BilledItem
from fly_billing.focus.exports.columns import COST_DECIMALS, QUANTITY_DECIMALS
from fly_billing.focus.exports.units import focus_unit
from fly_billing.money import EXACT, divide, exact_sum
from fly_billing.pricing.rules.fields import AMOUNT_DECIMALS, has_more_decimals
from fly_billing.pricing.rules.intervals import INTERVALS

# Labels of steps that say nothing that the price does not say.
_PLAIN_LABELS = ("all", *(f"share of the {interval}" for interval in INTERVALS))
# What a step multiplies where that is no usage: packages, a flat fee, an item.
_UNITS = "Units"
_ROUNDED = Context(prec=EXACT.prec, rounding=ROUND_HALF_UP)


@dataclass(frozen=True)
class FocusCharge:
    """`unit_price x quantity` of `unit`, in FOCUS's terms; None where it has no price of its own (a credit, a tax).

    `unit_price` is what is charged, `list_unit_price` that of the price list where another one was negotiated.
    `amount` is what the invoice says of it, exact. `consumed` is the usage behind it. `label` says which part of the
    item it is; None where it is all of it.
    """

    category: str
    amount: Decimal
    label: str | None = None
    sku_price: str | None = None
    unit_price: Decimal | None = None
    quantity: Decimal | None = None
    unit: str | None = None
    consumed: Decimal | None = None
    is_correction: bool = False
    list_unit_price: Decimal | None = None

    @property
    def at_list(self) -> Decimal | None:
        """The unit price of the price list."""
        return self.unit_price if self.list_unit_price is None else self.list_unit_price

    @property
    def list_cost(self) -> Decimal | None:
        return self._cost(self.at_list)

    @property
    def contracted_cost(self) -> Decimal | None:
        return self._cost(self.unit_price)

    def _cost(self, unit_price: Decimal | None) -> Decimal | None:
        if unit_price is None or self.quantity is None:
            return None
        return EXACT.multiply(unit_price, self.quantity)


def charges_of(item: BilledItem) -> list[FocusCharge]:
    """Return the item's charges, at least one; their amounts add up to its amount.

    A credit and an adjustment (also a minimum that is topped up to) have no unit price. An adjustment of an earlier
    month, what an earlier invoice charged in advance, and what goes back to a credit, are corrections in FOCUS's sense.
    """
    if item.kind in ("usage", "subscription"):
        charges = [*_allowance(item), *(_step(item, step) for step in item.detail.get("steps", ()))]
        return _beside_the_list(item, charges) if "negotiated" in item.detail else charges
    if item.kind == "one_off" and item.amount >= 0 and item.detail.get("steps"):
        return [replace(_step(item, step), sku_price="one-off") for step in item.detail["steps"]]
    if item.kind == "one_off" and item.amount >= 0:
        price = _at_most(item.amount, COST_DECIMALS)
        return [FocusCharge("Purchase", item.amount, None, "one-off", price, Decimal(1), focus_unit(item.unit))]
    category = {"one_off": "Credit", "credit": "Credit", "tax": "Tax"}.get(item.kind, "Adjustment")
    is_returned = item.kind == "credit" and item.amount > 0
    return [FocusCharge(category, item.amount, is_correction=item.kind == "adjustment" or is_returned)]


def _allowance(item: BilledItem) -> Iterator[FocusCharge]:
    """Yield the usage that was free, at a price of 0; also where there was none, as no item may be left out."""
    free = Decimal(item.detail.get("free_allowance_used", "0"))
    if free or not item.detail.get("steps"):
        free = _at_most(free, QUANTITY_DECIMALS)
        label = "free allowance"
        sku_price, unit = f"{item.price_key}|{label}", focus_unit(item.unit)
        yield FocusCharge("Usage", Decimal(0), label, sku_price, Decimal(0), free, unit, _consumed(item, free))


def _step(item: BilledItem, step: Mapping[str, str]) -> FocusCharge:
    quantity, unit_amount = Decimal(step["quantity"]), Decimal(step["unit_amount"])
    per, units = Decimal(step["per"]), Decimal(step.get("units", step["quantity"]))
    if unit_amount < 0:  # a list price is never below zero: what is given back is a quantity below zero
        unit_amount, quantity = EXACT.minus(unit_amount), EXACT.minus(quantity)
    unit_price, quantity = _factors(unit_amount, divide(quantity, per))
    is_plain = step["label"] in _PLAIN_LABELS
    return FocusCharge(
        category=_category(item, units),
        amount=Decimal(step["amount"]),
        label=None if is_plain else step["label"],
        sku_price=item.price_key if is_plain else f"{item.price_key}|{step['label']}",
        unit_price=unit_price,
        quantity=quantity,
        unit=_UNITS if "units" in step else focus_unit(item.unit, per),
        consumed=_consumed(item, units) if item.kind == "usage" and units else None,
        is_correction=item.kind == "subscription" and not units,
    )


def _beside_the_list(item: BilledItem, charges: Sequence[FocusCharge]) -> list[FocusCharge]:
    """Give each charge of a negotiated price the unit price of the list.

    Where the list price has the same steps (a percentage off it, another amount for the same tiers), it is that of the
    step. Otherwise it is an average: the item at the list price, shared out by the usage that each charge is for.
    """
    listed = item.detail["negotiated"]["list"]
    steps, same = item.detail.get("steps", ()), ("label", "quantity", "per", "units")
    is_alike = [[one.get(name) for name in same] for one in steps] == [
        [one.get(name) for name in same] for one in listed["steps"]
    ]
    free = (item.detail.get("free_allowance_used", "0"), listed.get("free_allowance_used", "0"))
    if is_alike and free[0] == free[1]:
        free_charges = charges[: len(charges) - len(steps)]
        prices = [Decimal(0)] * len(free_charges) + [abs(Decimal(step["unit_amount"])) for step in listed["steps"]]
    else:
        units = [Decimal(free[0])] * (len(charges) - len(steps))
        units += [Decimal(step.get("units", step["quantity"])) for step in steps]
        prices = list(_averages(charges, units, Decimal(listed["amount"])))
    return [_with_list_price(charge, price) for charge, price in zip(charges, prices, strict=True)]


def _averages(charges: Sequence[FocusCharge], units: Sequence[Decimal], amount: Decimal) -> Iterator[Decimal]:
    """Yield for each charge what a unit of its quantity costs, if `amount` is shared out by `units`."""
    total = exact_sum(list(units))
    for number, (charge, own) in enumerate(zip(charges, units, strict=True)):
        part = divide(EXACT.multiply(amount, own), total) if total else amount if number == 0 else Decimal(0)
        average = abs(divide(part, charge.quantity)) if charge.quantity else Decimal(0)
        yield _at_most(average, AMOUNT_DECIMALS)


def _with_list_price(charge: FocusCharge, price: Decimal) -> FocusCharge:
    """Cut prices and quantity so that both products, exactly, have at most COST_DECIMALS."""
    if charge.unit_price is None or charge.quantity is None:
        return charge
    price, _ = _factors(price, charge.quantity)
    if charge.quantity == charge.quantity.to_integral_value():
        return replace(charge, list_unit_price=price)
    most = COST_DECIMALS - max(_decimals(price), _decimals(charge.unit_price))
    return replace(charge, list_unit_price=price, quantity=_at_most(charge.quantity, min(QUANTITY_DECIMALS, most)))


def _consumed(item: BilledItem, units: Decimal) -> Decimal:
    """Return the usage behind so many charged units: those, or in proportion what was used before it was rounded."""
    how = item.detail.get("transformed")
    if how is not None:
        used = divide(Decimal(how["used"]), Decimal(how["divide_by"]))
        # A step that an earlier version of the price began is not charged again, and its usage is still usage.
        units = divide(EXACT.multiply(units, used), item.quantity) if item.quantity else used
    return _at_most(units, QUANTITY_DECIMALS)


def _category(item: BilledItem, units: Decimal) -> str:
    """A fee that accounts for no usage (a tier's, up to a minimum, down to a maximum) is no charge by quantity."""
    if item.kind in ("subscription", "one_off"):
        return "Purchase"
    return "Usage" if units else "Adjustment"


def _factors(unit_price: Decimal, quantity: Decimal) -> tuple[Decimal, Decimal]:
    """Cut both so that their product, exactly, has at most COST_DECIMALS.

    A price for 2,592,000 seconds does not divide by them: such a quantity of months is rounded at its 18th decimal.
    """
    is_whole = quantity == quantity.to_integral_value()
    price = _at_most(unit_price, COST_DECIMALS if is_whole else AMOUNT_DECIMALS)
    return price, _at_most(quantity, min(QUANTITY_DECIMALS, COST_DECIMALS - _decimals(price)))


def _decimals(number: Decimal) -> int:
    return max(0, -int(number.normalize(EXACT).as_tuple().exponent))


def _at_most(number: Decimal, decimals: int) -> Decimal:
    """Round half-up at that decimal place what has more; leave the rest as it is."""
    if not has_more_decimals(number, decimals):
        return number
    return number.quantize(Decimal(1).scaleb(-decimals), context=_ROUNDED)


def cut_cost(amount: Decimal) -> Decimal:
    """Return the amount with as many decimals as a cost of the file may have."""
    return _at_most(amount, COST_DECIMALS)
