"""Rebills one final invoice on request: recalculates it and books the difference as the caller chooses.

Not here: how corrections are found (`recalculation`) and booked (`adjustments`, `credit_notes`), and how an invoice is
voided and issued again (`reissue`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from enum import Enum
from uuid import UUID

from sqlalchemy import Connection

from fly_billing.corrections.adjustments import book_adjustments
from fly_billing.corrections.approvals import (
    NotApproved,
    approve_manual_correction,
    check_manual_correction,
    demand_approval,
    record_reissue_approval,
)
from fly_billing.corrections.changed_terms import keep_as_billed
from fly_billing.corrections.correction import Actor, Correction, Corrections
from fly_billing.corrections.correction_run import correct_later_months, lock_for_correcting
from fly_billing.corrections.credit_notes import book_credit_note
from fly_billing.corrections.held_corrections import GuardedCorrections
from fly_billing.corrections.recalculation import find_corrections
from fly_billing.corrections.reissue import Reissued, reissue
from fly_billing.corrections.rules.guard import CorrectionGuard, Hold
from fly_billing.errors import ActionableError
from fly_billing.invoicing.month_closing import Terms
from fly_billing.money import from_cents, parse_typed_amount
from fly_billing.periods import BillingMonth
from fly_billing.postgres.database import BillingDatabase, records
from fly_billing.postgres.organizations import organization_name
from fly_billing.usage.rollups import roll_up
from fly_billing.usage.usage_table import UsageTable

AskStripe = Callable[[Connection, Correction], UUID]


class Booking(Enum):
    """The way to book the difference."""

    NEXT_INVOICE = "next_invoice"
    CREDIT_NOTE = "credit_note"
    AT_STRIPE = "at_stripe"
    REISSUE = "reissue"
    KEEP = "keep"


@dataclass(frozen=True)
class Rebill:
    """A request to rebill a final invoice.

    Attributes:
        organization_id: The organization. Its payer's invoice is rebilled.
        approved: The returned amount that the person approves, as typed (`money.parse_typed_amount`).
        is_dry_run: Find the difference and write nothing.
    """

    organization_id: str
    month: BillingMonth
    booking: Booking = Booking.NEXT_INVOICE
    approved: str | None = None
    is_dry_run: bool = False

    @property
    def reissues(self) -> bool:
        return self.booking == Booking.REISSUE and not self.is_dry_run


@dataclass(frozen=True)
class Rebilling:
    """Access to what a rebilling reads and writes, with the rules that it follows."""

    database: BillingDatabase
    usage_table: UsageTable
    terms: Terms
    guard: CorrectionGuard


@dataclass(frozen=True)
class RebillReport:
    """The outcome of a rebilling.

    Attributes:
        correction: The differences of the invoice; None if a void invoice was issued again.
        holds: The reasons why the correction needs an approval; empty if it needs none.
        later: Corrections of later months whose minimums count this month.
        reissued: The void invoice and the new billing; None if the invoice was not issued again.
    """

    payer_id: str
    correction: Correction | None
    holds: Sequence[Hold] = ()
    later: Corrections = field(default_factory=lambda: Corrections([]))
    reissued: Reissued | None = None


@dataclass(frozen=True)
class _Payer:
    """An organization's payer in a month, with its billing group and the groups of all organizations it pays for."""

    payer_id: str
    billing_group: str
    groups: list[str]


def rebill(rebilling: Rebilling, request: Rebill, actor: Actor, ask_stripe: AskStripe | None = None) -> RebillReport:
    """Roll up the month's usage again, recalculate the payer's final invoice, and book the difference.

    Args:
        ask_stripe: For Booking.AT_STRIPE: records the request for a credit note at Stripe, in the transaction that
            books the difference, and returns its id.

    Raises:
        NoSuchOrganization: No organization has this id.
        NotApproved: The correction returns so much that it needs an approval, or another amount, or none that can be
            read, was approved.
        ActionableError: There is no final invoice to correct, it can't be calculated, or it can't be issued again.
    """
    payer = _read_payer(rebilling.database, request)
    # Final invoices don't change by this: they keep the rollups that they billed.
    roll_up(rebilling.database, rebilling.usage_table, request.month, payer.groups, actor.at)
    if request.reissues:
        return _reissue(rebilling, request, payer, actor)
    with rebilling.database.transaction() as connection:
        correction = _find_correction(connection, rebilling, request, payer)
        guarded = check_manual_correction(connection, correction, rebilling.guard)
        if request.is_dry_run:
            return RebillReport(payer.payer_id, correction, guarded.holds)
        _book(connection, request, correction, guarded, actor, ask_stripe)
        later = _correct_later_months(connection, rebilling, request, payer, actor)
    return RebillReport(payer.payer_id, correction, guarded.holds, later)


def _read_payer(database: BillingDatabase, request: Rebill) -> _Payer:
    with database.transaction() as connection:
        organization_name(connection, request.organization_id)
        (payer,) = records(
            connection, _Payer, "payer_of", organization_id=request.organization_id, month=request.month.first_day
        )
    return payer


def _find_correction(connection: Connection, rebilling: Rebilling, request: Rebill, payer: _Payer) -> Correction:
    corrections = _find_corrections(connection, rebilling, request, payer)
    if corrections.failures:
        raise ActionableError(corrections.failures[0][1].operator_text)
    if not corrections.found:
        raise ActionableError(
            f"{payer.payer_id} has no final invoice of ours for {request.month} that is owed: there is nothing to"
            " correct. Issue a void invoice again with --reissue"
        )
    return corrections.found[0]


def _find_corrections(connection: Connection, rebilling: Rebilling, request: Rebill, payer: _Payer) -> Corrections:
    groups = [payer.billing_group]
    lock_for_correcting(connection, request.month, groups)
    return find_corrections(connection, request.month, groups, rebilling.usage_table, only={payer.payer_id})


def _book(
    connection: Connection,
    request: Rebill,
    correction: Correction,
    guarded: GuardedCorrections,
    actor: Actor,
    ask_stripe: AskStripe | None,
) -> None:
    if request.booking == Booking.KEEP:
        keep_as_billed(connection, correction, actor)
    elif correction.differences:
        approve_manual_correction(connection, correction, guarded, actor, _approved(request, correction))
        if request.booking == Booking.CREDIT_NOTE:
            book_credit_note(connection, correction, actor)
        elif request.booking == Booking.AT_STRIPE:
            assert ask_stripe is not None, "Booking.AT_STRIPE needs it"
            book_adjustments(connection, [correction], actor, credit_request=ask_stripe(connection, correction))
        else:
            book_adjustments(connection, [correction], actor)


def _approved(request: Rebill, correction: Correction) -> Decimal | None:
    if request.approved is None:
        return None
    currency = correction.payer.currency
    try:
        return from_cents(parse_typed_amount(request.approved, currency), currency)
    except ValueError as problem:
        raise NotApproved(f"--approve: {problem}") from problem


def _reissue(rebilling: Rebilling, request: Rebill, payer: _Payer, actor: Actor) -> RebillReport:
    """Void the invoice, unless it is void, and issue it again. A void invoice has no correction to approve."""
    database, month = rebilling.database, request.month
    correction: Correction | None = None
    holds: Sequence[Hold] = ()
    approved: Decimal | None = None
    with database.transaction() as connection:
        found = _find_corrections(connection, rebilling, request, payer).found
        if found:
            correction = found[0]
            guarded = check_manual_correction(connection, correction, rebilling.guard)
            approved = _approved(request, correction)
            demand_approval(correction, guarded, approved)
            holds = guarded.holds
    reissued = reissue(database, payer.payer_id, month, rebilling.terms, actor.at, actor.name, actor.why)
    if reissued.billed.failures:
        reason = reissued.billed.failures[0].error.operator_text
        raise ActionableError(f"the invoice is void, but its new revision can't be billed yet: {reason}")
    if correction and holds and approved is not None:
        record_reissue_approval(database, correction, actor, approved)
    with database.transaction() as connection:
        lock_for_correcting(connection, month, [payer.billing_group])
        later = _correct_later_months(connection, rebilling, request, payer, actor)
    return RebillReport(payer.payer_id, correction, holds, later, reissued)


def _correct_later_months(
    connection: Connection, rebilling: Rebilling, request: Rebill, payer: _Payer, actor: Actor
) -> Corrections:
    return correct_later_months(
        connection, request.month, [payer.billing_group], rebilling.usage_table, actor, payer.payer_id,
        guard=rebilling.guard,
    )  # fmt: skip
