"""Holds corrections that would return too much money, in Postgres, until someone approves them.

Every decision is a new row of `correction_decisions`; the newest one of an invoice is valid. A held correction is not
booked. Not here: the rule (`corrections.rules.guard`), approvals (`approvals`), finding and booking corrections
(`recalculation`, `adjustments`).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from sqlalchemy import Connection

from fly_billing.alerting.channel import Channel
from fly_billing.alerting.outbox import Log, put
from fly_billing.corrections.rules.guard import (
    ZERO,
    ChargeLevel,
    CorrectionGuard,
    HeldTotal,
    Hold,
    Proposal,
    RestOfMonth,
    corrections_to_hold,
    held_alert,
)
from fly_billing.money import EXACT
from fly_billing.periods import BillingMonth
from fly_billing.postgres.database import BillingDatabase, copy_rows, records

DECISION_COLUMNS = (
    "invoice_id", "organization_id", "month", "currency", "decision", "gives_back", "charges", "causes", "reason",
    "approval_id", "decided_at", "decided_by",
)  # fmt: skip


@dataclass(frozen=True)
class HeldCorrection:
    """A correction that waits for an approval, or for the next run to book it if it is approved.

    Attributes:
        id: The decision to hold it.
        organization_id: The payer.
        month: The start of the month.
        gives_back, charges: Exact amounts in `currency`.
        approval_id, approved_by, why: The approval; None if there is none.
    """

    id: int
    invoice_id: UUID
    organization_id: str
    month: datetime
    currency: str
    gives_back: Decimal
    charges: Decimal
    causes: Sequence[str]
    reason: str
    decided_at: datetime
    decided_by: str
    approval_id: int | None
    approved_by: str | None
    why: str | None

    @property
    def billing_month(self) -> BillingMonth:
        return BillingMonth.containing(self.month)

    @property
    def is_approved(self) -> bool:
        return self.approval_id is not None


@dataclass(frozen=True)
class GuardedCorrections:
    """The corrections of a run after the guard has checked them.

    Attributes:
        proposals: All corrections, with everything that the decision needs.
        holds: The corrections to hold.
        held_before: By invoice, the corrections that were held before this run.
    """

    proposals: Sequence[Proposal]
    holds: Sequence[Hold]
    held_before: Mapping[UUID, HeldCorrection]


@dataclass(frozen=True, slots=True)
class _LevelRow:
    """A row of `charge_levels`: one charge of an invoice, or all charges of an invoice that has no proposal."""

    invoice_id: UUID
    currency: str
    payer_id: str
    key: str | None
    organization_id: str | None
    kind: str | None
    is_first_hand: bool
    baseline: Decimal
    peak: Decimal
    current: Decimal
    given_back: Decimal


def check_guard(
    connection: Connection, month: BillingMonth, proposals: Sequence[Proposal], guard: CorrectionGuard
) -> GuardedCorrections:
    """Decide which of these corrections to hold. Writes nothing.

    Args:
        proposals: All corrections of the run, also those without changes; without levels.
    """
    held_before = {held.invoice_id: held for held in read_held_corrections(connection, month)}
    changed = [
        replace(proposal, approved=_approved_amount(held_before.get(proposal.invoice_id)))
        for proposal in proposals
        if proposal.changes
    ]
    unchanged = [proposal for proposal in proposals if not proposal.changes]
    if guard.percent == 0 or not any(proposal.gives_back for proposal in changed):
        return GuardedCorrections([*changed, *unchanged], [], held_before)  # the usual case: one small read
    invoices = {proposal.invoice_id for proposal in proposals}
    levels, rest = _read_levels(connection, month, changed, invoices, held_before)
    changed = [replace(proposal, levels=levels[proposal.invoice_id]) for proposal in changed]
    holds = corrections_to_hold(str(month), changed, rest, guard)
    return GuardedCorrections([*changed, *unchanged], holds, held_before)


def _approved_amount(held: HeldCorrection | None) -> Decimal | None:
    return held.gives_back if held and held.is_approved else None


def _read_levels(
    connection: Connection,
    month: BillingMonth,
    changed: Sequence[Proposal],
    invoices: Collection[UUID],
    held_before: Mapping[UUID, HeldCorrection],
) -> tuple[Mapping[UUID, list[ChargeLevel]], Mapping[str, RestOfMonth]]:
    """Read the levels of each charge of the changed invoices, and the totals of the month's other invoices.

    Args:
        invoices: The invoices that the run has a proposal for.

    Returns:
        The levels by invoice, and the totals of the others by currency.
    """
    levels: dict[UUID, list[ChargeLevel]] = defaultdict(list)
    others: dict[UUID, list[_LevelRow]] = defaultdict(list)
    for row in records(
        connection, _LevelRow, "charge_levels",
        month=month.first_day, month_end=month.end, invoices=[proposal.invoice_id for proposal in changed],
    ):  # fmt: skip
        if row.key is None or row.organization_id is None or row.kind is None:
            others[row.invoice_id].append(row)
        else:
            level = ChargeLevel(row.key, row.organization_id, row.kind, row.baseline, row.peak, row.current)
            levels[row.invoice_id].append(level)
    rest: dict[str, RestOfMonth] = defaultdict(RestOfMonth)
    for invoice, parts in others.items():
        held = held_before.get(invoice) if invoice not in invoices else None
        waiting = held.gives_back if held and not held.is_approved else ZERO
        charged, given_back = _invoice_totals(parts)
        currency = parts[0].currency
        rest[currency] = RestOfMonth(
            EXACT.add(rest[currency].charged, charged),
            EXACT.add(rest[currency].given_back, EXACT.add(given_back, waiting)),
        )
    return levels, rest


def _invoice_totals(parts: Sequence[_LevelRow]) -> tuple[Decimal, Decimal]:
    """Return the most that an invoice charged and what it has given back, as `corrections.rules.guard.loss_of` does."""
    peak = gross = baseline = current = ZERO
    for row in parts:
        baseline, current = EXACT.add(baseline, row.baseline), EXACT.add(current, row.current)
        if row.is_first_hand:
            peak, gross = row.peak, row.given_back
    return max(peak, baseline, ZERO), max(gross, EXACT.subtract(baseline, current), ZERO)


def record_decisions(
    connection: Connection,
    month: BillingMonth,
    guarded: GuardedCorrections,
    at: datetime,
    by: str,
    approval: int | None = None,
) -> None:
    """Record the new decisions: corrections that are held now, and the outcome of those that were held before.

    Args:
        approval: Approves all of these corrections; none of them is held.
    """
    reasons = {hold.proposal.invoice_id: hold.reason for hold in guarded.holds}
    decisions = []
    for proposal in guarded.proposals:
        before = guarded.held_before.get(proposal.invoice_id)
        if proposal.invoice_id in reasons and approval is None:
            if before and (before.gives_back, before.charges) == (proposal.gives_back, proposal.charges):
                continue
            decision, reason, approved = "held", reasons[proposal.invoice_id], None
        elif before or (approval is not None and proposal.changes):
            decision, reason = (
                ("booked", "booked") if proposal.changes else ("released", "the invoice needs no correction any more")
            )
            approved = approval or (before.approval_id if before and proposal.is_approved else None)
        else:
            continue
        decisions.append((
            proposal.invoice_id, proposal.organization_id, month.first_day, proposal.currency, decision,
            proposal.gives_back, proposal.charges, list(proposal.causes), reason, approved, at, by,
        ))  # fmt: skip
    if decisions:
        copy_rows(connection, "correction_decisions", DECISION_COLUMNS, decisions)


def read_held_corrections(connection: Connection, month: BillingMonth) -> list[HeldCorrection]:
    """List the held corrections of the month, in this transaction."""
    return records(connection, HeldCorrection, "held_corrections", month=month.first_day)


def list_held_corrections(database: BillingDatabase, month: BillingMonth | None = None) -> list[HeldCorrection]:
    """List the held corrections of a month, or of all months, also the approved ones that the next run books."""
    return database.records(HeldCorrection, "held_corrections", month=month.first_day if month else None)


def months_with_held_corrections(database: BillingDatabase) -> list[BillingMonth]:
    """List the months with held corrections. Their next run books approved ones and releases those no longer needed."""
    return database.records(lambda month: BillingMonth.containing(month), "months_with_held_corrections")


def held_totals(corrections: Sequence[HeldCorrection]) -> list[HeldTotal]:
    """Add up the corrections without an approval, per month and currency."""
    groups: dict[tuple[BillingMonth, str], list[HeldCorrection]] = defaultdict(list)
    for correction in corrections:
        if not correction.is_approved:
            groups[correction.billing_month, correction.currency].append(correction)
    return [
        HeldTotal(
            str(month), currency, {correction.organization_id: correction.gives_back for correction in group},
            tuple(dict.fromkeys(correction.reason for correction in group)),
        )
        for (month, currency), group in sorted(groups.items())
    ]  # fmt: skip


def queue_held_correction_alerts(
    database: BillingDatabase, channels: Sequence[Channel], log: Log, last_decision: int
) -> tuple[int, int]:
    """Queue an alert for each month and currency with corrections held since the decision `last_decision`.

    Returns the newest decision read, and the number of alerts.
    """
    corrections = list_held_corrections(database)
    newest = max([last_decision, *(correction.id for correction in corrections)])
    queued = 0
    for total in held_totals(corrections):
        latest = max(
            correction.id
            for correction in corrections
            if (str(correction.billing_month), correction.currency) == (total.month, total.currency)
        )
        if latest > last_decision:
            alert = held_alert(total)
            log(alert.text)
            with database.transaction() as connection:
                put(connection, alert, channels, f"corrections held {total.month} {total.currency} {latest}")
            queued += 1
    return newest, queued
