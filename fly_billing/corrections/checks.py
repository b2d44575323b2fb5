"""Checks of final invoices: each function returns a row per invoice that is not corrected yet, and what to do about it.

Not here: checks that every invoice must pass (`invoicing.checks`).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from fly_billing.corrections.correction import Corrections
from fly_billing.corrections.rules.guard import HeldTotal
from fly_billing.money import exact_sum, plain
from fly_billing.periods import BillingMonth
from fly_billing.postgres.database import BillingDatabase, Row


def unbilled_usage(
    database: BillingDatabase, month: BillingMonth, groups: Sequence[str], held: Collection[str]
) -> list[Row]:
    """Return the quantities that differ from what the final invoice and its adjustments bill.

    Organizations whose correction is `held` are left out: `corrections_to_approve` returns those.
    """
    found = database.rows("check_late_usage", month=month.first_day, groups=list(groups))
    return [row for row in found if row.get("organization_id") not in held]


def corrections_to_approve(
    month: BillingMonth, corrections: Corrections, sums: Sequence[HeldTotal]
) -> list[Mapping[str, Any]]:
    """Return the held corrections of invoices of the month, the largest first, with the command that approves them.

    `sums`: all held corrections of the month, also those that other runs found.
    """
    what_to_do = {held.currency: held.sentence for held in sums}
    invoices = {correction.invoice_id for correction in corrections.held if correction.month == month}
    return [
        {
            "month": str(month),
            "organization_id": held.proposal.organization_id,
            "gives back": plain(held.proposal.gives_back),
            "currency": held.proposal.currency,
            "causes": ", ".join(held.proposal.causes),
            "what to do": what_to_do[held.proposal.currency],
        }
        for held in sorted(corrections.holds, key=lambda held: -held.proposal.gives_back)
        if held.proposal.invoice_id in invoices
    ]


def undecided_terms(month: BillingMonth, corrections: Corrections) -> list[Mapping[str, Any]]:
    """Return the final invoices that changed terms would change, and that nobody has decided on."""
    return [
        {
            "month": str(month),
            "organization_id": correction.payer.organization_id,
            "difference": plain(exact_sum([difference.amount for difference in correction.undecided])),
            "currency": correction.payer.currency,
            "what to do": f"fly-billing rebill {correction.payer.organization_id} {month} --dry-run",
        }
        for correction in corrections.undecided
    ]


def failed_corrections(month: BillingMonth, corrections: Corrections) -> list[Mapping[str, Any]]:
    """Return the final invoices that can't be calculated again, with the reason."""
    return [
        {"month": str(month), "organization_id": name, "code": error.code, "what to do": error.operator_text}
        for name, error in corrections.failures
    ]
