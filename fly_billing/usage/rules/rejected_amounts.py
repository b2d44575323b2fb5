"""Estimates the money at stake in rejected rows. Not here: reading them and their prices (`usage.rejections`)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from uuid import UUID

from fly_billing.money import EXACT, counted, format_cents, to_cents
from fly_billing.pricing.rules.prices import Price
from fly_billing.pricing.rules.rating import rate


@dataclass(frozen=True)
class PricedRows:
    """Rejected rows of one organization and month under one price.

    Attributes:
        quantity: The sum of the rows' quantities.
    """

    organization_id: str
    month: str
    price: Price
    quantity: Decimal


@dataclass(frozen=True)
class Estimate:
    """The money at stake.

    Attributes:
        amounts: Exact, by currency.
        unknown_rows: The rows without a readable organization, quantity or price; their money is not in `amounts`.
    """

    amounts: Mapping[str, Decimal] = field(default_factory=dict)
    unknown_rows: int = 0

    def in_words(self) -> str:
        """Return the amounts in cents, and how many rows they leave out: `$1.20 (unknown for 2 rows)`."""
        if not self.amounts:
            return "unknown"
        money = " + ".join(
            format_cents(to_cents(amount, currency), currency) for currency, amount in sorted(self.amounts.items())
        )
        return f"{money} (unknown for {counted(self.unknown_rows, 'row')})" if self.unknown_rows else money


def estimate_amounts(priced: Iterable[PricedRows], unknown_rows: int) -> Estimate:
    """Rate the rows as if they were the only usage of their organization and month.

    Free allowances, minimums and maximums are left out: other usage of the month has used or reached them, or not.
    So are discounts, credits and taxes.
    """
    quantities: dict[tuple[str, str, UUID], Decimal] = defaultdict(Decimal)
    prices: dict[UUID, Price] = {}
    for rows in priced:
        prices[rows.price.id] = rows.price
        key = rows.organization_id, rows.month, rows.price.id
        quantities[key] = EXACT.add(quantities[key], rows.quantity)
    amounts: dict[str, Decimal] = defaultdict(Decimal)
    for (_, _, price_id), quantity in quantities.items():
        price = replace(prices[price_id], free_allowance=Decimal(0), allowance_with=None, minimum=None, maximum=None)
        rated = rate(price, quantity)
        amounts[rated.currency] = EXACT.add(amounts[rated.currency], rated.amount)
    return Estimate(dict(amounts), unknown_rows)
