"""Corrects the final invoices of a month: finds the differences, checks the guard, books each difference once.

Also corrects later final months whose minimums count the month. Not here: how corrections are found (`recalculation`),
held (`held_corrections`) and booked (`adjustments`).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import date

from sqlalchemy import Connection

from fly_billing.corrections.adjustments import book_adjustments
from fly_billing.corrections.correction import Actor, Corrections
from fly_billing.corrections.held_corrections import check_guard, record_decisions
from fly_billing.corrections.recalculation import find_corrections
from fly_billing.corrections.rules.guard import CorrectionGuard
from fly_billing.periods import BillingMonth
from fly_billing.postgres.database import BillingDatabase, lock_until_commit, records
from fly_billing.postgres.isolation import isolate_failures, unwritable
from fly_billing.usage.usage_table import UsageTable


@dataclass(frozen=True, slots=True)
class _LaterMonth:
    """A payer's later final month that counts the corrected month. `month` is its first day."""

    organization_id: str
    month: date


def correct_month(
    database: BillingDatabase,
    month: BillingMonth,
    groups: Sequence[str],
    usage_table: UsageTable,
    actor: Actor,
    only: Collection[str] | None = None,
    *,
    guard: CorrectionGuard,
    with_terms: bool = False,
) -> Corrections:
    """Book what differs now in the month's final invoices as adjustments. Running it again books nothing twice.

    Later final months with a minimum that counts this month are corrected in the same transaction: if this month is
    charged more, their top-up is smaller. Corrections that return more than `guard` allows are held.

    Args:
        only: Correct only the invoices of these payers.
        with_terms: Also book differences from changed terms, because someone decided so. If False, they are in
            `Corrections.undecided`.
    """
    with database.transaction() as connection:
        later = lock_for_correcting(connection, month, groups)
        first = _correct(connection, month, groups, usage_table, actor, only, guard, with_terms=with_terms)
        following = [
            _correct(connection, later_month, groups, usage_table, actor, payers, guard, follows=True)
            for later_month, payers in later.items()
        ]
    return Corrections.joined([first, *following])


def correct_later_months(
    connection: Connection,
    month: BillingMonth,
    groups: Sequence[str],
    usage_table: UsageTable,
    actor: Actor,
    payer: str,
    *,
    guard: CorrectionGuard,
) -> Corrections:
    """Correct the payer's later months after this month was billed or corrected manually.

    The caller has locked the month with `lock_for_correcting`.
    """
    later = _later_months(connection, month, groups)
    return Corrections.joined(
        [
            _correct(
                connection, later_month, groups, usage_table, actor, {payer} & set(payers), guard, follows=True
            )
            for later_month, payers in later.items()
        ]
    )  # fmt: skip


def lock_for_correcting(
    connection: Connection, month: BillingMonth, groups: Sequence[str]
) -> dict[BillingMonth, list[str]]:
    """Lock rollups and billing until the transaction ends, so that exactly the found differences are booked.

    Returns the later months that count this one towards a minimum, which are locked too, with their payers.
    """
    later = _later_months(connection, month, groups)
    # In order of time, and usage before invoices, as everywhere: two runs never wait for each other.
    for locked in (month, *later):
        lock_until_commit(connection, f"usage_rollups {locked}")
    lock_until_commit(connection, "invoices")
    return later


def _later_months(connection: Connection, month: BillingMonth, groups: Sequence[str]) -> dict[BillingMonth, list[str]]:
    """Return the later final months, in order, with the payers whose minimums count this month too."""
    payers: dict[BillingMonth, list[str]] = {}
    for later in records(
        connection, _LaterMonth, "later_months_that_count", month=month.first_day, groups=list(groups)
    ):
        payers.setdefault(BillingMonth(later.month.year, later.month.month), []).append(later.organization_id)
    return payers


def _correct(
    connection: Connection,
    month: BillingMonth,
    groups: Sequence[str],
    usage_table: UsageTable,
    actor: Actor,
    only: Collection[str] | None,
    guard: CorrectionGuard,
    *,
    with_terms: bool = False,
    follows: bool = False,
) -> Corrections:
    """Find the month's corrections and book those that are not held; arguments as in `find_corrections`."""
    if only is not None and not only:
        return Corrections([])
    found = find_corrections(connection, month, groups, usage_table, only, with_terms=with_terms, follows=follows)
    guarded = check_guard(connection, month, [correction.proposal for correction in found.found], guard)
    corrections = replace(found, holds=guarded.holds)
    record_decisions(connection, month, guarded, actor.at, actor.name)
    _, refused = isolate_failures(
        connection, corrections.booked, lambda some: book_adjustments(connection, some, actor)
    )
    failures = {
        correction.payer.organization_id: unwritable(
            f"the correction of {correction.payer.organization_id} {month}", problem
        )
        for correction, problem in refused
    }
    return replace(
        corrections,
        found=[each for each in corrections.found if each.payer.organization_id not in failures],
        failures=[*corrections.failures, *failures.items()],
    )
