"""Shows a reconciliation in Dagster: the totals of both sides as metadata, discrepancies as rows."""

from collections.abc import Mapping, Sequence
from typing import Any

from fly_billing.money import format_cents
from fly_billing.periods import BillingMonth
from fly_billing.stripe_sync.reconciliation import Reconciliation


def described_sides(month: BillingMonth, both: Reconciliation) -> dict[str, Any]:
    """Return the number and total of the month's invoices, here and in Stripe."""
    return {
        f"{month} billed here": _total(both.expected, both.totals_here),
        f"{month} found in Stripe": _total(both.found, both.totals_in_stripe),
        f"{month} discrepancies": len(both.discrepancies),
    }


def discrepancy_rows(month: BillingMonth, both: Reconciliation) -> list[Mapping[str, Any]]:
    """Return a row per discrepancy, with its fix."""
    return [
        {
            "month": str(month),
            "kind": one.kind,
            "organization": one.organization_id,
            "stripe": ", ".join(one.stripe_ids),
            "what": one.message,
            "what to do": one.what_to_do,
        }
        for one in both.discrepancies
    ]


def unread_row(month: BillingMonth, problem: Exception) -> Mapping[str, Any]:
    """Return the row of a month that could not be compared."""
    return {"month": str(month), "kind": "unread", "what": f"Stripe could not be read: {problem}"}


def _total(invoices: Sequence[Any], totals: Mapping[str, int]) -> str:
    money = ", ".join(format_cents(cents, name) for name, cents in totals.items())
    return f"{len(invoices)} invoices, {money or '0'}"
