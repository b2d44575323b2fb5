"""Totals that Stripe can't charge although they are right: found before anything is sent.

Stripe's amounts are in ISO 4217 minor units, with rules of its own for some currencies
(docs.stripe.com/currencies#special-cases). Keeps out: amounts that only Stripe knows to be too small or too large.
"""

from __future__ import annotations

from fly_billing.domain.money import THREE_DECIMAL

# No coins smaller than the unit, but two decimals in Stripe's API, which must be 00.
WHOLE_UNITS = frozenset({"ISK", "UGX"})

AMOUNT_NOT_CHARGEABLE = "amount_not_chargeable"


def charging_problem(total_cents: int, currency: str) -> str | None:
    """Return the failure code of a total that Stripe would refuse to charge, or None. `total_cents`: minor units.

    Only the total is looked at: the lines are not charged by themselves.
    """
    step = 10 if currency in THREE_DECIMAL else 100 if currency in WHOLE_UNITS else 1
    return AMOUNT_NOT_CHARGEABLE if total_cents % step else None
