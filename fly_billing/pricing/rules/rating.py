"""Rating: calculates the amount of a quantity under a price, from plain values, without a database. Public and stable.

The steps, in this order:
  1. convert the quantity into whole steps of other units;        `_transformed`
  2. take the free allowance off, in time order;                  `_billable`
  3. turn the rest into steps with the price model;               `_rate_part`
  4. without billable units, charge nothing or the item;          `_rate_part`
  5. top up to the minimum, cut down to the maximum.              `_bounds`
Amounts are exact: an invoice rounds its total once (`money`). Not here: choosing the price (`pricing.rules.prices`),
and invoices.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Any

from fly_billing.money import EXACT, divide, exact_sum, plain
from fly_billing.pricing.rules.fields import exact_number
from fly_billing.pricing.rules.models import PriceStep
from fly_billing.pricing.rules.prices import Price

# The fields that only name a price: they do not change the charge, so the data of a rated price may omit them.
_UNNAMED = {"key": "unnamed", "product": "", "description": "", "unit": "unit", "effective_from": "1970-01-01T00:00Z"}


@dataclass(frozen=True)
class Rated:
    """The result of rating a quantity.

    Attributes:
        quantity: `used`, transformed if the price transforms it. It equals `allowance_used` plus the steps' units.
        allowance_used: The free units.
        amount: The exact sum of the steps, in the currency's major unit.
        used: The quantity that was rated.
    """

    quantity: Decimal
    allowance_used: Decimal
    amount: Decimal
    currency: str
    steps: tuple[PriceStep, ...]
    used: Decimal

    def as_data(self) -> dict[str, Any]:
        """Return the result as JSON-ready data; numbers are text, so that no digit is lost."""
        numbers = {"quantity": self.quantity, "allowance_used": self.allowance_used, "amount": self.amount}
        if self.used != self.quantity:
            numbers = {"used": self.used, **numbers}
        return {
            **{name: plain(value) for name, value in numbers.items()},
            "currency": self.currency,
            "steps": [step.as_data() for step in self.steps],
        }


Share = Fraction | int | str
_ONE_SHARE = (Fraction, int, str, float)


def rate(price: Price | Mapping[str, Any], quantity: Decimal | int | str, *, share: Share = 1) -> Rated:
    """Rate a month's quantity under one price.

    Args:
        price: A Price or its plain data. The fields that only name it may be missing.
        quantity: At least 0. Floats are refused.
        share: Multiplies the free allowance: `Fraction(1, 2)` for a plan that ran half of the month, 3 for three seats
            that each include it. If the result is not a finite decimal, it is rounded half-up at the 20th decimal.

    Raises:
        ValueError: Names the problem.

    >>> rated = rate({"unit_amount": "0.02", "free_allowance": "100"}, 110)
    >>> rated.amount, rated.allowance_used
    (Decimal('0.20'), Decimal('100'))
    """
    return rate_month([(price, quantity)], share=share)[0]


def rate_month(
    parts: Sequence[tuple[Price | Mapping[str, Any], Decimal | int | str]], *, share: Share | Sequence[Share] = 1
) -> list[Rated]:
    """Rate a month in which the price changed.

    The parts share the month: tiers and packages continue where the part before ended, the whole month chooses a volume
    tier, and the part that first reaches a flat fee charges it. Each version grants its own allowance, less the free
    units of the parts before. Its maximum caps the sum of the parts up to it; the minimum and `at_zero` are those of
    the last part.

    Args:
        parts: Each price version with the quantity of its time, in time order.
        share: As in `rate`: one for all parts, or one for each.

    Raises:
        ValueError: Names the problem.
    """
    prices = [_read_price(price) for price, _ in parts]
    if len(prices) > 1:
        _refuse_several_currencies(prices)
    quantities_used = [exact_number("quantity", quantity) for _, quantity in parts]
    quantities = _transformed(prices, quantities_used)
    shares = [share] * len(parts) if isinstance(share, _ONE_SHARE) else list(share)
    billable = _billable(prices, quantities, [_read_share(multiplier) for multiplier in shares])
    total = exact_sum(billable)
    rated: list[Rated] = []
    used = charged = Decimal(0)
    rows = zip(prices, quantities_used, quantities, billable, strict=True)
    for number, (price, before, quantity, units) in enumerate(rows, start=1):
        steps = _rate_part(price, units, used, total, charged, is_last=number == len(parts))
        amount = exact_sum([step.amount for step in steps])
        free = EXACT.subtract(quantity, units)
        rated.append(Rated(quantity, free, amount, price.currency, tuple(steps), before))
        used, charged = EXACT.add(used, units), EXACT.add(charged, amount)
    return rated


def _refuse_several_currencies(prices: Sequence[Price]) -> None:
    currencies = sorted({price.currency for price in prices})
    if len(currencies) > 1:
        raise ValueError(f"the versions of a price are in {' and '.join(currencies)}: they can't share a month")


def _read_price(price: Price | Mapping[str, Any]) -> Price:
    return price if isinstance(price, Price) else Price.from_data("rated", _UNNAMED | dict(price))


def _read_share(share: Share) -> Fraction:
    if isinstance(share, float):
        raise ValueError(f"share {share!r} is a float: give it as a fraction, it must stay exact")
    try:
        part = share if isinstance(share, Fraction) else Fraction(share)
    except (TypeError, ValueError, ZeroDivisionError):
        raise ValueError(f"share {share!r} is not a fraction") from None
    if part.numerator < 0:
        raise ValueError(f"share {share} must be at least 0")
    return part


def _transformed(prices: Sequence[Price], quantities: Sequence[Decimal]) -> list[Decimal]:
    """Convert each quantity to the units of its price: the units it adds to the month, so that no step counts twice."""
    if not any(price.transform_quantity for price in prices):
        return list(quantities)
    transformed, before = [], Decimal(0)
    for price, quantity in zip(prices, quantities, strict=True):
        after = EXACT.add(before, quantity)
        how = price.transform_quantity
        transformed.append(quantity if how is None else EXACT.subtract(how.apply(after), how.apply(before)))
        before = after
    return transformed


def _billable(prices: Sequence[Price], quantities: Sequence[Decimal], shares: Sequence[Fraction]) -> list[Decimal]:
    """Return the billable part of each quantity, after the allowance, which a month has once."""
    billable, free = [], Decimal(0)
    for price, quantity, share in zip(prices, quantities, shares, strict=True):
        if not price.free_allowance:
            billable.append(quantity)
            continue
        allowance = divide(EXACT.multiply(price.free_allowance, Decimal(share.numerator)), Decimal(share.denominator))
        # If a later version grants less than was already used, the used units stay free.
        left = max(Decimal(0), EXACT.subtract(allowance, free))
        taken = min(quantity, left)
        free = EXACT.add(free, taken)
        billable.append(EXACT.subtract(quantity, taken))
    return billable


def _rate_part(
    price: Price, units: Decimal, used: Decimal, total: Decimal, charged: Decimal, *, is_last: bool
) -> list[PriceStep]:
    if total:
        steps = price.model.steps(units, used, total)
    elif is_last and price.at_zero == "item":
        steps = price.model.steps_at_zero()
    else:
        return []
    if price.minimum is None and price.maximum is None:
        return steps
    return steps + _bounds(price, exact_sum([step.amount for step in steps]), charged, is_last=is_last)


def _bounds(price: Price, amount: Decimal, charged: Decimal, *, is_last: bool) -> list[PriceStep]:
    """Return the difference to the minimum or the maximum of the month; empty if the amount is between them."""
    so_far = EXACT.add(charged, amount)
    if is_last and price.minimum is not None and so_far < price.minimum:
        return [PriceStep.fee(f"up to the minimum of {plain(price.minimum)}", EXACT.subtract(price.minimum, so_far))]
    if price.maximum is not None and amount and so_far > price.maximum:
        # A later version's maximum never gives back the charges of earlier parts.
        over = min(amount, EXACT.subtract(so_far, price.maximum))
        return [PriceStep.fee(f"down to the maximum of {plain(price.maximum)}", EXACT.minus(over))]
    return []
