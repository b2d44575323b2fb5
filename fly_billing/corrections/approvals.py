"""Approvals of held corrections: someone names the amount that they return, so that they are booked.

`approve` covers all held corrections of a month; the next run books them. The manual approvals cover one correction
booked with `fly-billing rebill`. Not here: which corrections are held (`held_corrections`).
"""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

from sqlalchemy import Connection

from fly_billing.corrections.correction import Actor, Correction
from fly_billing.corrections.held_corrections import (
    GuardedCorrections,
    check_guard,
    read_held_corrections,
    record_decisions,
)
from fly_billing.corrections.rules.guard import CorrectionGuard, total_to_approve
from fly_billing.errors import ActionableError
from fly_billing.money import format_cents, to_cents
from fly_billing.periods import BillingMonth
from fly_billing.postgres.database import BillingDatabase, lock_until_commit, rows
from fly_billing.settings import Settings


class NotApproved(ActionableError):
    """A correction returns so much that someone must name the amount, or the amount named is another one."""


def guard_of(settings: Settings) -> CorrectionGuard:
    """Return the limits that the settings name."""
    return CorrectionGuard(
        settings.correction_guard_percent,
        settings.correction_guard_organization_percent,
        settings.correction_guard_floor,
    )


def approve(
    database: BillingDatabase,
    month: BillingMonth,
    currency: str,
    total: Decimal,
    by: str,
    why: str,
    now: datetime,
    organization_id: str | None = None,
) -> int:
    """Approve the corrections of the month that are held now; the next run books them.

    Corrections that are held later are not approved.

    Args:
        total: The amount that these corrections return in all, rounded up to a minor unit.
        organization_id: Approves only this payer's corrections.

    Returns:
        The number of approved corrections.

    Raises:
        NotApproved: No correction is held, or they return another amount than `total`.
    """
    with database.transaction() as connection:
        lock_until_commit(connection, "invoices")  # no run decides anything meanwhile
        held = [
            correction
            for correction in read_held_corrections(connection, month)
            if not correction.is_approved
            and correction.currency == currency
            and organization_id in (None, correction.organization_id)
        ]
        subject = f"{month}, {currency}" + (f", {organization_id}" if organization_id else "")
        if not held:
            raise NotApproved(f"{subject}: no correction waits for an approval; `fly-billing corrections` lists them")
        wanted = total_to_approve([correction.gives_back for correction in held], currency)
        _demand_total(total, wanted, currency, subject)
        _record_approval(connection, month, currency, total, by, why, now, organization_id)
    return len(held)


def check_manual_correction(
    connection: Connection, correction: Correction, guard: CorrectionGuard
) -> GuardedCorrections:
    """Check one correction on its own against the guard. Writes nothing."""
    return check_guard(connection, correction.month, [correction.proposal], guard)


def demand_approval(correction: Correction, guarded: GuardedCorrections, total: Decimal | None) -> None:
    """Raise NotApproved if the guard holds the correction and `total` is not the amount that it returns."""
    if not guarded.holds:
        return
    currency = correction.payer.currency
    wanted = total_to_approve([hold.proposal.gives_back for hold in guarded.holds], currency)
    if total is None:
        raise NotApproved(
            f"{guarded.holds[0].reason}. Nothing was booked. If the correction is right, repeat the command with"
            f" --approve {wanted:f}, the amount that it returns"
        )
    _demand_total(total, wanted, currency, f"{correction.payer.organization_id} {correction.month}")


def approve_manual_correction(
    connection: Connection, correction: Correction, guarded: GuardedCorrections, actor: Actor, total: Decimal | None
) -> None:
    """Record that someone books this correction now, and the approval if the guard holds it.

    Raises NotApproved if the guard holds it and `total` is not the amount that it returns.
    """
    demand_approval(correction, guarded, total)
    approval = None
    if guarded.holds and total is not None:
        approval = _record_manual_approval(connection, correction, actor, total)
    record_decisions(connection, correction.month, guarded, actor.at, actor.name, approval)


def record_reissue_approval(database: BillingDatabase, correction: Correction, actor: Actor, total: Decimal) -> None:
    """Record the approval of a correction whose invoice was reissued."""
    with database.transaction() as connection:
        _record_manual_approval(connection, correction, actor, total)


def _record_manual_approval(connection: Connection, correction: Correction, actor: Actor, total: Decimal) -> int:
    payer = correction.payer
    return _record_approval(
        connection, correction.month, payer.currency, total, actor.name, actor.why or "booked manually", actor.at,
        payer.organization_id,
    )  # fmt: skip


def _demand_total(given: Decimal, wanted: Decimal, currency: str, subject: str) -> None:
    if given != wanted:
        raise NotApproved(
            f"{subject}: {format_cents(to_cents(wanted, currency), currency)} would be returned, not {given:f}."
            f" Check `fly-billing corrections`; if the amount is right, approve {wanted:f}"
        )


def _record_approval(
    connection: Connection,
    month: BillingMonth,
    currency: str,
    total: Decimal,
    by: str,
    why: str,
    now: datetime,
    organization_id: str | None,
) -> int:
    (row,) = rows(
        connection, "approve_corrections",
        month=month.first_day, currency=currency, organization_id=organization_id, total=total, approved_by=by,
        why=why, now=now,
    )  # fmt: skip
    return int(row["id"])
