"""Plain prices: an amount per unit and nothing else. They rate most of a month's usage, in a fraction of the time.

`rating.rate_month` is the rule. A plain price returns the same amount to the last digit, and declines every price that
it does not know: with an allowance, a bound, another model, or a field that a later version of this code adds.
"""

from __future__ import annotations

from dataclasses import fields
from decimal import Decimal
from typing import Self

from fly_billing.bounds import MOST_UNITS
from fly_billing.money import DIVISION_DIGITS, EXACT, divide
from fly_billing.pricing.rules.models import PerUnit
from fly_billing.pricing.rules.prices import Price

# These fields name a price, say which usage it is for, or are the amount per unit. All others must have their defaults.
_KNOWN = "book key meter product description unit currency model effective_from effective_until match".split()
_OTHERS = {field.name: field.default for field in fields(Price) if field.name not in _KNOWN}
_ZERO = Decimal(0)


class PlainPrice:
    """A price per unit, prepared to rate many quantities."""

    def __init__(self, model: PerUnit) -> None:
        self._model = model
        units, parts = model.per.as_integer_ratio()
        # A quotient ends if the divisor without its factors 2 and 5 divides the dividend.
        self._endless = _without_2_and_5(units)
        self._units, self._parts = units, parts * 10**DIVISION_DIGITS

    @classmethod
    def of(cls, price: Price) -> Self | None:
        """Prepare a price; None if it is not plain."""
        has_defaults = all(getattr(price, name) == default for name, default in _OTHERS.items())
        # Exact types: a negotiated price and a model of its own may have other rules.
        is_known = type(price) is Price and type(price.model) is PerUnit and price.meter is not None
        return cls(price.model) if has_defaults and is_known and isinstance(price.model, PerUnit) else None

    def amount_of(self, quantity: Decimal) -> Decimal | None:
        """Return the amount of a month's quantity; None if it is not a usual one, which `rate_month` decides about."""
        if not quantity.is_finite() or not _ZERO < quantity < MOST_UNITS:
            return None
        amount = EXACT.multiply(quantity, self._model.unit_amount)
        numerator, denominator = amount.as_integer_ratio()
        if not numerator % self._endless:
            return EXACT.add(_ZERO, divide(amount, self._model.per))
        # Rounded half-up, as in `money.divide`, which learns from an exception that a quotient does not end.
        divisor = denominator * self._units
        whole = (2 * numerator * self._parts + divisor) // (2 * divisor)
        return Decimal(whole).scaleb(-DIVISION_DIGITS, context=EXACT)


def _without_2_and_5(number: int) -> int:
    for factor in (2, 5):
        while number % factor == 0:
            number //= factor
    return number
