"""Splits an invoice item into priced charges: one per step of its calculation, each a unit price x a quantity.

`rows` applies discounts, rounds to cents and writes the charges as rows.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import ROUND_HALF_UP, Context, Decimal

from fly_billing.focus.exports.columns import COST_DECIMALS, QUANTITY_DECIMALS
from fly_billing.focus.exports.exported_invoice import BilledItem
from fly_billing.focus.exports.units import focus_unit
from fly_billing.money import EXACT, divide, exact_sum
from fly_billing.pricing.rules.fields import AMOUNT_DECIMALS, has_more_decimals
from fly_billing.pricing.rules.intervals import INTERVALS

# Labels of steps that add nothing to the price's description.
_PLAIN_LABELS = ("all", *(f"share of the {interval}" for interval in INTERVALS))
# The unit of steps that don't multiply usage: packages, a flat fee, an item.
_UNITS = "Units"
_ROUNDED = Context(prec=EXACT.prec, rounding=ROUND_HALF_UP)


@dataclass(frozen=True)
class FocusCharge:
    """A part of an invoice item: `unit_price` x `quantity` of `unit`, in FOCUS's terms.

    Attributes:
        category: FOCUS's ChargeCategory.
        amount: The exact amount on the invoice.
        label: The part of the item; None if the charge is the whole item.
        unit_price: The price that was charged. A credit, a tax and an adjustment have no unit price and no quantity.
        consumed: The usage behind the charge.
        list_unit_price: The price list's unit price, if another one was negotiated.
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
        """The unit price in the price list."""
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
    """Return the item's charges, at least one. Their amounts add up to the item's amount.

    A credit, an adjustment and a top-up to a minimum have no unit price. Corrections in FOCUS's sense: an adjustment of
    an earlier month, the return of a fee that was charged in advance, and an amount returned to a credit.
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
    """Yield the free usage at a price of 0. An item without any step gets this charge even if nothing was free."""
    free = Decimal(item.detail.get("free_allowance_used", "0"))
    if free or not item.detail.get("steps"):
        free = _at_most(free, QUANTITY_DECIMALS)
        label = "free allowance"
        sku_price, unit = f"{item.price_key}|{label}", focus_unit(item.unit)
        yield FocusCharge("Usage", Decimal(0), label, sku_price, Decimal(0), free, unit, _consumed(item, free))


def _step(item: BilledItem, step: Mapping[str, str]) -> FocusCharge:
    quantity, unit_amount = Decimal(step["quantity"]), Decimal(step["unit_amount"])
    per, units = Decimal(step["per"]), Decimal(step.get("units", step["quantity"]))
    if unit_amount < 0:  # FOCUS has no negative list prices: a refund has a negative quantity instead
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
    """Add the list's unit price to each charge of a negotiated price.

    If the list price has the same steps (the negotiated price is a percentage off, or has other amounts for the same
    tiers), each charge gets its step's price. Otherwise it gets an average: the item's amount at the list price, split
    by the usage of each charge.
    """
    listed = item.detail["negotiated"]["list"]
    steps, compared = item.detail.get("steps", ()), ("label", "quantity", "per", "units")
    has_same_steps = [[step.get(name) for name in compared] for step in steps] == [
        [step.get(name) for name in compared] for step in listed["steps"]
    ]
    free = (item.detail.get("free_allowance_used", "0"), listed.get("free_allowance_used", "0"))
    if has_same_steps and free[0] == free[1]:
        free_charges = charges[: len(charges) - len(steps)]
        prices = [Decimal(0)] * len(free_charges) + [abs(Decimal(step["unit_amount"])) for step in listed["steps"]]
    else:
        units = [Decimal(free[0])] * (len(charges) - len(steps))
        units += [Decimal(step.get("units", step["quantity"])) for step in steps]
        prices = list(_averages(charges, units, Decimal(listed["amount"])))
    return [_with_list_price(charge, price) for charge, price in zip(charges, prices, strict=True)]


def _averages(charges: Sequence[FocusCharge], units: Sequence[Decimal], amount: Decimal) -> Iterator[Decimal]:
    """Split `amount` over the charges in proportion to `units`, and yield the average unit price of each."""
    total = exact_sum(list(units))
    for number, (charge, own_units) in enumerate(zip(charges, units, strict=True)):
        part = divide(EXACT.multiply(amount, own_units), total) if total else amount if number == 0 else Decimal(0)
        average = abs(divide(part, charge.quantity)) if charge.quantity else Decimal(0)
        yield _at_most(average, AMOUNT_DECIMALS)


def _with_list_price(charge: FocusCharge, price: Decimal) -> FocusCharge:
    """Round prices and quantity so that both exact products have at most COST_DECIMALS decimals."""
    if charge.unit_price is None or charge.quantity is None:
        return charge
    price, _ = _factors(price, charge.quantity)
    if charge.quantity == charge.quantity.to_integral_value():
        return replace(charge, list_unit_price=price)
    most = COST_DECIMALS - max(_decimals(price), _decimals(charge.unit_price))
    return replace(charge, list_unit_price=price, quantity=_at_most(charge.quantity, min(QUANTITY_DECIMALS, most)))


def _consumed(item: BilledItem, units: Decimal) -> Decimal:
    """Return the usage behind charged units: the units themselves, or a share of the usage if it was rounded first."""
    transformation = item.detail.get("transformed")
    if transformation is not None:
        used = divide(Decimal(transformation["used"]), Decimal(transformation["divide_by"]))
        # Without a quantity, an earlier price version already charged the started step, but the usage is still usage.
        units = divide(EXACT.multiply(units, used), item.quantity) if item.quantity else used
    return _at_most(units, QUANTITY_DECIMALS)


def _category(item: BilledItem, units: Decimal) -> str:
    """Return FOCUS's ChargeCategory. A fee without usage (of a tier, a minimum, a maximum) is an Adjustment."""
    if item.kind in ("subscription", "one_off"):
        return "Purchase"
    return "Usage" if units else "Adjustment"


def _factors(unit_price: Decimal, quantity: Decimal) -> tuple[Decimal, Decimal]:
    """Round both so that their exact product has at most COST_DECIMALS decimals.

    For a price per 2,592,000 seconds, the quantity of months is not a finite decimal: it is rounded to 18 decimals.
    """
    is_whole = quantity == quantity.to_integral_value()
    price = _at_most(unit_price, COST_DECIMALS if is_whole else AMOUNT_DECIMALS)
    return price, _at_most(quantity, min(QUANTITY_DECIMALS, COST_DECIMALS - _decimals(price)))


def _decimals(number: Decimal) -> int:
    return max(0, -int(number.normalize(EXACT).as_tuple().exponent))


def _at_most(number: Decimal, decimals: int) -> Decimal:
    """Round half-up to `decimals`, if the number has more."""
    if not has_more_decimals(number, decimals):
        return number
    return number.quantize(Decimal(1).scaleb(-decimals), context=_ROUNDED)


def cut_cost(amount: Decimal) -> Decimal:
    """Round the amount to the decimals that a cost in the file can have."""
    return _at_most(amount, COST_DECIMALS)
