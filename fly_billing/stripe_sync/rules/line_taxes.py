"""An invoice's taxes as tax amounts of Stripe's lines, so that Stripe shows tax as tax.

Each rate's tax is shared out over its items when the invoice is billed (`invoicing.rules.steps.taxes`), so the amounts
at Stripe add up to ours. A tax stays a plain line where Stripe's model can't express it: on invoices that became final
before taxes were shared out, for a percentage with more than four decimals, and for more than 20 rates on one item.
Source: docs.stripe.com/billing/taxes/manual-tax-amounts. Not here: the requests (`requests`).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

from fly_billing.invoicing.rules.chargeable_amounts import to_stripe
from fly_billing.money import plain

MOST_TAXES_OF_A_LINE = 20
PERCENT_DECIMALS = 4
NAME_LENGTH = 100
# Stripe's words for the categories of tax rates.
REASONS: Mapping[str, str] = {
    "standard": "standard_rated",
    "reduced": "reduced_rated",
    "zero": "zero_rated",
    "exempt": "customer_exempt",
    "reverse_charge": "reverse_charge",
    "outside": "not_subject_to_tax",
}


@dataclass(frozen=True)
class LineTax:
    """The tax of one rate on one line, or on a whole invoice, in cents."""

    name: str
    percent: Decimal
    is_inclusive: bool
    category: str
    taxable_cents: int
    tax_cents: int

    @property
    def rate(self) -> LineTax:
        """Return the rate alone, to add up taxes of equal rates: Stripe has one tax rate for them."""
        return replace(self, taxable_cents=0, tax_cents=0)

    def as_param(self, currency: str) -> dict[str, Any]:
        """Return the tax as Stripe's `tax_amounts` takes it."""
        return {
            "amount": to_stripe(self.tax_cents, currency),
            "taxable_amount": to_stripe(self.taxable_cents, currency),
            "taxability_reason": REASONS[self.category],
            "tax_rate_data": {
                "display_name": self.name[:NAME_LENGTH],
                "percentage": plain(self.percent),
                "inclusive": self.is_inclusive,
            },
        }


@dataclass(frozen=True)
class BilledTax:
    """The tax of one rate on an invoice.

    Attributes:
        tax: The whole tax.
        shares: (position of the item, taxable cents, tax cents); None on invoices from before these were kept.
    """

    tax: LineTax
    shares: tuple[tuple[int, int, int], ...] | None


def taxes_by_position(taxes: Sequence[BilledTax], added_cents: int) -> dict[int, tuple[LineTax, ...]] | None:
    """Return the taxes of each item, by its position; None if Stripe needs plain lines for them.

    Args:
        taxes: All taxes of the invoice.
        added_cents: The sum of its tax items, which the tax amounts replace.
    """
    by_position: dict[int, list[LineTax]] = defaultdict(list)
    for billed in taxes:
        if billed.shares is None or _decimals(billed.tax.percent) > PERCENT_DECIMALS:
            return None
        for position, taxable, tax in billed.shares:
            by_position[position].append(replace(billed.tax, taxable_cents=taxable, tax_cents=tax))
    added = sum(tax.tax_cents for some in by_position.values() for tax in some if not tax.is_inclusive)
    merged = {position: merged_taxes(some) for position, some in by_position.items()}
    if added != added_cents or any(len(some) > MOST_TAXES_OF_A_LINE for some in merged.values()):
        return None
    return merged


def merged_taxes(taxes: Iterable[LineTax]) -> tuple[LineTax, ...]:
    """Add up the taxes of equal rates."""
    by_rate: dict[LineTax, LineTax] = {}
    for tax in taxes:
        before = by_rate.get(tax.rate, tax.rate)
        taxable, sum_ = before.taxable_cents + tax.taxable_cents, before.tax_cents + tax.tax_cents
        by_rate[tax.rate] = replace(tax, taxable_cents=taxable, tax_cents=sum_)
    return tuple(by_rate.values())


# The amounts of an invoice's tax rates in Stripe's unit, sorted, each with True if the tax is contained in the prices.
TaxAmounts = tuple[tuple[bool, int], ...]


def tax_amounts(taxes: Iterable[LineTax], currency: str) -> TaxAmounts:
    """Return the amounts of our tax rates, as Stripe should have them. Rates without tax are left out."""
    amounts = ((tax.is_inclusive, to_stripe(tax.tax_cents, currency)) for tax in merged_taxes(taxes))
    return tuple(sorted(amount for amount in amounts if amount[1]))


def tax_amounts_at_stripe(body: Mapping[str, Any]) -> TaxAmounts:
    """Return the amounts of the tax rates of an invoice at Stripe, whose rates have ids of its own."""
    found: dict[tuple[bool, str], int] = defaultdict(int)
    for tax in body.get("total_taxes") or ():
        rate = (tax.get("tax_rate_details") or {}).get("tax_rate") or ""
        found[tax["tax_behavior"] == "inclusive", str(rate)] += tax["amount"]
    return tuple(sorted((is_inclusive, amount) for (is_inclusive, _), amount in found.items() if amount))


def _decimals(percent: Decimal) -> int:
    exponent = percent.normalize().as_tuple().exponent
    return max(0, -exponent) if isinstance(exponent, int) else 0
