"""Converts our minor units (ISO 4217) to Stripe's amounts and back, and decides which totals Stripe can charge.

Both are the same in most currencies. The exceptions (docs.stripe.com/currencies#special-cases):
  - ISK and UGX have no minor unit. Stripe writes them with two decimals, which must be 00: 101 shillings are 10100.
  - BHD, JOD, KWD, OMR and TND have three decimals. Stripe charges a total only if the third one is 0. Before such an
    invoice is final, `steps.rounding` adds an item that rounds it to such a total.
Not here: Stripe's own limits. It carries totals that are too small over to the next invoice, and refuses totals that
are too large.
"""

from __future__ import annotations

from fly_billing.money import THREE_DECIMAL

# Currencies in which one of our units is 100 of Stripe's.
HUNDREDTHS = frozenset({"ISK", "UGX"})

AMOUNT_NOT_CHARGEABLE = "amount_not_chargeable"


def chargeable_step(currency: str) -> int:
    """Return the smallest difference between two totals that Stripe can charge, in our minor units."""
    return 10 if currency in THREE_DECIMAL else 1


def charging_problem(total_cents: int, currency: str) -> str | None:
    """Return the failure code of a total that Stripe would refuse to charge, or None. `total_cents`: minor units.

    Only the total matters, because Stripe charges no single lines.
    """
    return AMOUNT_NOT_CHARGEABLE if total_cents % chargeable_step(currency) else None


def to_stripe(cents: int, currency: str) -> int:
    """Convert our minor units to an amount of Stripe's API."""
    return cents * _units(currency)


def from_stripe(amount: int, currency: str) -> tuple[int, int]:
    """Convert an amount of Stripe's API to our minor units, and a remainder in Stripe's units that is less than one."""
    return divmod(amount, _units(currency))


def _units(currency: str) -> int:
    return 100 if currency in HUNDREDTHS else 1
