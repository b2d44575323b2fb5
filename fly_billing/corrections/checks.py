"""Checks of final invoices. Each function returns a row per invoice that still needs a correction, with the fix.

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
    """Return the quantities that differ from those on the final invoice and its adjustments.

    Args:
        held: Organizations whose correction is held; `corrections_to_approve` returns those.
    """
    differing = database.rows("check_late_usage", month=month.first_day, groups=list(groups))
    return [row for row in differing if row.get("organization_id") not in held]


def corrections_to_approve(
    month: BillingMonth, corrections: Corrections, totals: Sequence[HeldTotal]
) -> list[Mapping[str, Any]]:
    """Return the held corrections of the month's invoices, the largest first, with the command that approves them.

    Args:
        totals: All held corrections of the month, also those that other runs found.
    """
    what_to_do = {total.currency: total.sentence for total in totals}
    invoices = {correction.invoice_id for correction in corrections.held if correction.month == month}
    return [
        {
            "month": str(month),
            "organization_id": proposal.organization_id,
            "returns": plain(proposal.gives_back),
            "currency": proposal.currency,
            "causes": ", ".join(proposal.causes),
            "what to do": what_to_do[proposal.currency],
        }
        for proposal in sorted([hold.proposal for hold in corrections.holds], key=lambda each: -each.gives_back)
        if proposal.invoice_id in invoices
    ]


def undecided_terms(month: BillingMonth, corrections: Corrections) -> list[Mapping[str, Any]]:
    """Return the final invoices with differences from changed terms, on which nobody has decided yet."""
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
    """Return the final invoices that can't be recalculated, with the reason."""
    return [
        {"month": str(month), "organization_id": name, "code": error.code, "what to do": error.operator_text}
        for name, error in corrections.failures
    ]
