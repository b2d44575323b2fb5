"""Checks a month before it is sent: the planned requests, the spending guard, and approvals of totals.

Reads Postgres only, never Stripe. Not here: the rules (`stripe_sync.rules.spending_guard`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from fly_billing.errors import ActionableError
from fly_billing.periods import BillingMonth
from fly_billing.postgres.database import BillingDatabase
from fly_billing.postgres.isolation import readable_rows
from fly_billing.stripe_sync.rules.spending_guard import (
    GuardResult,
    InvoiceToSend,
    OrganizationTotals,
    SendPlan,
    described,
    judge_totals,
    plan_sending,
)


class OutOfLine(ActionableError):
    """The month's total is too far from last month's; nothing was sent. `verdicts`: one per failing currency."""

    def __init__(self, month: BillingMonth, verdicts: Sequence[GuardResult]) -> None:
        self.month = month
        self.verdicts = verdicts
        super().__init__(f"{month} is out of line, nothing was sent. " + " ".join(map(self._sentence, verdicts)))

    def _sentence(self, verdict: GuardResult) -> str:
        largest = ", ".join(map(described, verdict.contributors))
        currency = "" if verdict.currency == "USD" else f" --currency {verdict.currency}"
        return (
            f"{verdict.reason}. Largest changes: {largest}. If that is right:"
            f" `fly-billing approve {self.month} --by NAME --total {verdict.total_cents}{currency}`, or launch the run"
            f" with the tag fly_billing/approved_total = {verdict.currency}={verdict.total_cents}."
        )


def plan_of_sync(database: BillingDatabase, month: BillingMonth) -> SendPlan:
    """Return the plan of a sync of the whole month, by our journal. Unreadable invoices are named, not counted."""
    found, bad = readable_rows(database.rows("invoices_to_send", month=month.first_day), {"state"})
    return replace(plan_sending(InvoiceToSend(**row) for row in found), unreadable=tuple(map(str, bad)))


def verdicts_of(database: BillingDatabase, month: BillingMonth, percent: int) -> list[GuardResult]:
    """Compare the whole month's total with last month's, one verdict per currency.

    The total covers all invoices of the month, sent, waiting or not finalized yet, in all partitions. An invoice
    without a currency or with an impossible amount does not count: it is never sent (`unreadable_invoice`), and it
    would distort the total of the others.
    """
    months = {"month": month.first_day, "last_month": month.plus(-1).first_day}
    found, _ = readable_rows(database.rows("totals_beside_last_month", **months), {"last_cents"})
    totals = [OrganizationTotals(**row) for row in found]
    approvals = database.records(_Approval, "approved_totals", month=month.first_day)
    return judge_totals(totals, percent, {approval.currency: approval.total_cents for approval in approvals})


@dataclass(frozen=True)
class _Approval:
    """The newest approval of a month's total in one currency."""

    currency: str
    total_cents: int
    approved_by: str
    approved_at: datetime


def demand_in_line(database: BillingDatabase, month: BillingMonth, percent: int) -> list[GuardResult]:
    """Return the verdicts if all pass. Raises OutOfLine if not, so that somebody approves the total."""
    verdicts = verdicts_of(database, month, percent)
    stopped = [verdict for verdict in verdicts if not verdict.passes]
    if stopped:
        raise OutOfLine(month, stopped)
    return verdicts


def approve_total(
    database: BillingDatabase, month: BillingMonth, currency: str, cents: int, by: str, now: datetime
) -> None:
    """Record that the month may be sent up to this total. The newest approval counts, even if it is smaller."""
    database.rows("approve_total", month=month.first_day, currency=currency, total_cents=cents, approved_by=by, now=now)
