"""Our minor units (ISO 4217) as Stripe's amounts, and which totals Stripe can charge.

They are the same but for some currencies (docs.stripe.com/currencies#special-cases):
  - ISK and UGX have no minor unit. Stripe writes them with two decimals, which must be 00: 101 shillings are 10100.
  - BHD, JOD, KWD, OMR and TND have three decimals. Stripe charges a total only if the third one is 0. An invoice is
    rounded to that by an item of its own (`billing_steps.rounding`), before it is final.
Keeps out: amounts that Stripe finds too small (it carries them over to the next invoice) or too large (it refuses
them): those limits are Stripe's own.
"""

from __future__ import annotations

from fly_billing.money import THREE_DECIMAL

# Stripe's units in one of ours.
HUNDREDTHS = frozenset({"ISK", "UGX"})

AMOUNT_NOT_CHARGEABLE = "amount_not_chargeable"


def chargeable_step(currency: str) -> int:
    """Return the smallest difference between two totals that Stripe can charge, in our minor units."""
    return 10 if currency in THREE_DECIMAL else 1


def charging_problem(total_cents: int, currency: str) -> str | None:
    """Return the failure code of a total that Stripe would refuse to charge, or None. `total_cents`: minor units.

    Only the total is looked at: the lines are not charged by themselves.
    """
    return AMOUNT_NOT_CHARGEABLE if total_cents % chargeable_step(currency) else None


def to_stripe(cents: int, currency: str) -> int:
    """Return our minor units as Stripe's API has them."""
    return cents * _units(currency)


def from_stripe(amount: int, currency: str) -> tuple[int, int]:
    """Return an amount of Stripe's API in our minor units, and what is left of it that we have no unit for."""
    return divmod(amount, _units(currency))


def _units(currency: str) -> int:
    return 100 if currency in HUNDREDTHS else 1
