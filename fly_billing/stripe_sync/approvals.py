"""Checks a month before it is sent: the planned requests, the spending guard, and approvals of totals.

Reads Postgres only, never Stripe. Not here: the rules (`stripe_sync.rules.spending_guard`).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from fly_billing.errors import ActionableError
from fly_billing.money import typed_amount
from fly_billing.periods import BillingMonth
from fly_billing.postgres.database import BillingDatabase, rows
from fly_billing.postgres.isolation import readable_rows
from fly_billing.stripe_sync.rules.spending_guard import (
    GuardResult,
    InvoiceToSend,
    OrganizationTotals,
    SendPlan,
    approve_command,
    describe_totals,
    judge_totals,
    plan_sending,
)


class UnusualTotals(ActionableError):
    """The month's total differs too much from last month's; nothing was sent. `results`: one per blocked currency."""

    def __init__(self, month: BillingMonth, results: Sequence[GuardResult]) -> None:
        self.month = month
        self.results = results
        super().__init__(
            f"The spending guard blocks {month}; nothing was sent. " + " ".join(map(self._sentence, results))
        )

    def _sentence(self, result: GuardResult) -> str:
        largest = ", ".join(map(describe_totals, result.contributors))
        total = typed_amount(max(0, result.total_cents), result.currency)
        return (
            f"{result.reason}. Largest changes: {largest}. If that is right:"
            f" `{approve_command(str(self.month), result)}`, or launch the run"
            f" with the tag fly_billing/approved_total = {result.currency}={total}."
        )


def plan_of_sync(database: BillingDatabase, month: BillingMonth) -> SendPlan:
    """Return the plan of a sync of the whole month, by our journal. Unreadable invoices are named, not counted."""
    found, bad = readable_rows(database.rows("invoices_to_send", month=month.first_day), {"state"})
    return replace(plan_sending(InvoiceToSend(**row) for row in found), unreadable=tuple(map(str, bad)))


def guard_results(database: BillingDatabase, month: BillingMonth, percent: int) -> list[GuardResult]:
    """Compare the whole month's total with last month's, one result per currency.

    The total covers all invoices of the month, sent, waiting or not finalized yet, in all partitions. An invoice
    without a currency or with an impossible amount does not count: it is never sent (`unreadable_invoice`), and it
    would distort the total of the others.
    """
    totals = _totals(database, month)
    approvals = database.records(_Approval, "approved_totals", month=month.first_day)
    return judge_totals(totals, percent, {approval.currency: approval.total_cents for approval in approvals})


def _totals(database: BillingDatabase, month: BillingMonth) -> list[OrganizationTotals]:
    months = {"month": month.first_day, "last_month": month.plus(-1).first_day}
    found, _ = readable_rows(database.rows("totals_beside_last_month", **months), {"last_cents"})
    return [OrganizationTotals(**row) for row in found]


@dataclass(frozen=True)
class _Approval:
    """The newest approval of a month's total in one currency."""

    currency: str
    total_cents: int
    approved_by: str
    approved_at: datetime


def require_usual_totals(database: BillingDatabase, month: BillingMonth, percent: int) -> list[GuardResult]:
    """Return the guard's results if all pass. Raises UnusualTotals if not: then someone must approve the total."""
    results = guard_results(database, month, percent)
    blocked = [result for result in results if not result.passes]
    if blocked:
        raise UnusualTotals(month, blocked)
    return results


def approve_totals(
    database: BillingDatabase, months: Collection[BillingMonth], totals: Mapping[str, int], by: str, now: datetime
) -> None:
    """Record that each of these months may be sent up to these totals. The newest approval counts, even if smaller.

    Args:
        totals: Cents by currency, at least 0.

    Raises:
        ActionableError: A month has no invoice in one of the currencies. Nothing is recorded.
    """
    for month in months:
        known = sorted({organization.currency for organization in _totals(database, month)})
        unknown = sorted(set(totals) - set(known))
        if unknown:
            has = f"its currencies: {', '.join(known)}" if known else f"run `fly-billing bill {month}` first"
            raise ActionableError(f"{month} has no invoice in {', '.join(unknown)}: nothing was approved; {has}")
    with database.transaction() as connection:
        for month in months:
            for currency, cents in totals.items():
                rows(
                    connection, "approve_total",
                    month=month.first_day, currency=currency, total_cents=cents, approved_by=by, now=now,
                )  # fmt: skip
