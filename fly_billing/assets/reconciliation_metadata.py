"""Shows the totals of both sides of a reconciliation as metadata in Dagster."""

from collections.abc import Mapping, Sequence
from typing import Any

from fly_billing.money import format_cents
from fly_billing.periods import BillingMonth
from fly_billing.stripe_sync.reconciliation import Reconciliation


def described_sides(month: BillingMonth, reconciliation: Reconciliation) -> dict[str, Any]:
    """Return the number and total of the month's invoices, here and in Stripe."""
    return {
        f"{month} billed here": _total(reconciliation.expected, reconciliation.totals_here),
        f"{month} found in Stripe": _total(reconciliation.found, reconciliation.totals_in_stripe),
        f"{month} discrepancies": len(reconciliation.discrepancies),
    }


def _total(invoices: Sequence[Any], totals: Mapping[str, int]) -> str:
    money = ", ".join(format_cents(cents, name) for name, cents in totals.items())
    return f"{len(invoices)} invoices, {money or '0'}"
