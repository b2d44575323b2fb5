"""Checks that Stripe and our invoices agree: a row per difference, and none where both sides are equal.

Not here: how both sides are read (`reconciliation`), and which fix a difference needs (`rules.repair_plan`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fly_billing.periods import BillingMonth
from fly_billing.stripe_sync.reconciliation import Reconciliation


def differences_from_stripe(month: BillingMonth, reconciliation: Reconciliation) -> list[Mapping[str, Any]]:
    """Return a row per discrepancy of the month, with its fix."""
    return [
        {
            "month": str(month),
            "kind": discrepancy.kind,
            "organization": discrepancy.organization_id,
            "stripe": ", ".join(discrepancy.stripe_ids),
            "what": discrepancy.message,
            "what to do": discrepancy.what_to_do,
        }
        for discrepancy in reconciliation.discrepancies
    ]


def unread_month(month: BillingMonth, problem: Exception) -> Mapping[str, Any]:
    """Return the row of a month that could not be compared, because Stripe could not be read."""
    return {
        "month": str(month),
        "kind": "unread",
        "what": f"Stripe could not be read: {problem}",
        "what to do": "launch the month again when Stripe answers",
    }
