"""Keeps corrections that would give back too much waiting, in Postgres, until a person approves them.

Every decision is a new row of `correction_decisions`; the newest of an invoice counts. Nothing of a correction that
waits is booked. Keeps out: the rule (`corrections.rules.guard`), finding and booking corrections (`adjustments`).
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
    Held,
    HeldSum,
    Proposal,
    RestOfMonth,
    held_alert,
    held_corrections,
    total_to_approve,
)
from fly_billing.errors import ActionableError
from fly_billing.money import EXACT, format_cents, plain, to_cents
from fly_billing.periods import BillingMonth
from fly_billing.postgres.database import BillingDatabase, Row, copy_rows, lock_until_commit, rows
from fly_billing.settings import Settings

DECISION_COLUMNS = (
    "invoice_id", "organization_id", "month", "currency", "decision", "gives_back", "charges", "causes", "reason",
    "approval_id", "decided_at", "decided_by",
)  # fmt: skip


def guard_of(settings: Settings) -> CorrectionGuard:
    """Return the limits that the settings name."""
    return CorrectionGuard(
        settings.correction_guard_percent,
        settings.correction_guard_organization_percent,
        settings.correction_guard_floor,
    )


class NotApproved(ActionableError):
    """A correction gives back so much that a person has to name the amount, or the amount that was named is not it."""


@dataclass(frozen=True)
class Judged:
    """The corrections of a pass with what they need to be decided, which of them wait, and what waited before."""

    proposals: Sequence[Proposal]
    held: Sequence[Held]
    before: Mapping[UUID, Row]

    @property
    def held_invoices(self) -> set[UUID]:
        return {one.proposal.invoice_id for one in self.held}


def judge(connection: Connection, month: BillingMonth, proposals: Sequence[Proposal], guard: CorrectionGuard) -> Judged:
    """Decide which of these corrections wait. Writes nothing.

    `proposals`: all corrections of the pass with their changes (none where an invoice is right), without levels.
    """
    before = {row["invoice_id"]: row for row in rows(connection, "held_corrections", month=month.first_day)}
    changed = [replace(one, approved=_approved(before.get(one.invoice_id))) for one in proposals if one.changes]
    unchanged = [one for one in proposals if not one.changes]
    if guard.percent == 0 or not any(one.gives_back for one in changed):
        return Judged([*changed, *unchanged], [], before)  # the usual case: one small read
    levels, rest = _levels(connection, month, changed, {one.invoice_id for one in proposals}, before)
    changed = [replace(one, levels=levels[one.invoice_id]) for one in changed]
    return Judged([*changed, *unchanged], held_corrections(str(month), changed, rest, guard), before)


def _approved(row: Row | None) -> Decimal | None:
    return row["gives_back"] if row and row["approval_id"] is not None else None


def _levels(
    connection: Connection,
    month: BillingMonth,
    changed: Sequence[Proposal],
    judged: Collection[UUID],
    before: Mapping[UUID, Row],
) -> tuple[Mapping[UUID, list[ChargeLevel]], Mapping[str, RestOfMonth]]:
    """Read what these invoices charge, thing by thing, and what the month's others do, in all."""
    found = rows(
        connection, "charge_levels",
        month=month.first_day, month_end=month.end, invoices=[one.invoice_id for one in changed],
    )  # fmt: skip
    levels: dict[UUID, list[ChargeLevel]] = defaultdict(list)
    others: dict[UUID, list[Row]] = defaultdict(list)
    for row in found:
        if row["key"] is None:
            others[row["invoice_id"]].append(row)
        else:
            levels[row["invoice_id"]].append(
                ChargeLevel(row["key"], row["organization_id"], row["kind"], row["mark"], row["peak"], row["now"])
            )
    rest: dict[str, RestOfMonth] = defaultdict(RestOfMonth)
    for invoice, parts in others.items():
        waits = before.get(invoice) if invoice not in judged else None
        held = waits["gives_back"] if waits and waits["approval_id"] is None else ZERO
        charged, given_back = _of_invoice(parts)
        one = rest[parts[0]["currency"]]
        rest[parts[0]["currency"]] = RestOfMonth(
            EXACT.add(one.charged, charged), EXACT.add(one.given_back, EXACT.add(given_back, held))
        )
    return levels, rest


def _of_invoice(parts: Sequence[Row]) -> tuple[Decimal, Decimal]:
    """Return what an invoice charged at most and what it has given back, as `corrections.rules.guard.loss_of` does."""
    peak = gross = mark = now = ZERO
    for row in parts:
        mark, now = EXACT.add(mark, row["mark"]), EXACT.add(now, row["now"])
        if row["is_first_hand"]:
            peak, gross = row["peak"], row["given_back"]
    return max(peak, mark, ZERO), max(gross, EXACT.subtract(mark, now), ZERO)


def record(
    connection: Connection,
    month: BillingMonth,
    judged: Judged,
    at: datetime,
    by: str,
    approval: int | None = None,
) -> None:
    """Write down what was decided, where that is new: what waits now, and what became of what waited before.

    `approval`: by which a person lets all of it pass, in person.
    """
    why = {one.proposal.invoice_id: one.reason for one in judged.held}
    written = []
    for one in judged.proposals:
        before = judged.before.get(one.invoice_id)
        if one.invoice_id in why and approval is None:
            if before and (before["gives_back"], before["charges"]) == (one.gives_back, one.charges):
                continue
            decision, reason, approved = "held", why[one.invoice_id], None
        elif before or (approval is not None and one.changes):
            decision, reason = (
                ("booked", "booked") if one.changes else ("released", "nothing is to be corrected any more")
            )
            approved = approval or (before["approval_id"] if before and one.is_approved else None)
        else:
            continue
        written.append((
            one.invoice_id, one.organization_id, month.first_day, one.currency, decision, one.gives_back, one.charges,
            list(one.causes), reason, approved, at, by,
        ))  # fmt: skip
    if written:
        copy_rows(connection, "correction_decisions", DECISION_COLUMNS, written)


def waiting(database: BillingDatabase, month: BillingMonth | None = None) -> list[Row]:
    """List the corrections that wait: a row per invoice, with the approval that lets it pass next time, if any."""
    return database.rows("held_corrections", month=month.first_day if month else None)


def months_with_held_corrections(database: BillingDatabase) -> list[BillingMonth]:
    """List months with corrections that wait: the next pass books what was approved, and drops what is right again."""
    return [BillingMonth.containing(row["month"]) for row in database.rows("months_with_held_corrections")]


def waiting_sums(found: Sequence[Row]) -> list[HeldSum]:
    """Add up what waits without an approval, per month and currency."""
    sums: dict[tuple[BillingMonth, str], list[Row]] = defaultdict(list)
    for row in found:
        if row["approval_id"] is None:
            sums[_month(row), row["currency"]].append(row)
    return [
        HeldSum(
            str(month), currency, {row["organization_id"]: row["gives_back"] for row in parts},
            tuple(dict.fromkeys(row["reason"] for row in parts)),
        )
        for (month, currency), parts in sorted(sums.items())
    ]  # fmt: skip


def tell_waiting(database: BillingDatabase, channels: Sequence[Channel], log: Log, seen: int) -> tuple[int, int]:
    """Put an alert into the outbox for each month and currency of which more waits since the decision `seen`.

    Returns the newest decision that was looked at, and how many alerts were put.
    """
    found = waiting(database)
    newest = max([seen, *(row["id"] for row in found)])
    told = 0
    for one in waiting_sums(found):
        latest = max(row["id"] for row in found if (str(_month(row)), row["currency"]) == (one.month, one.currency))
        if latest > seen:
            alert = held_alert(one)
            log(alert.text)
            with database.transaction() as connection:
                put(connection, alert, channels, f"corrections held {one.month} {one.currency} {latest}")
            told += 1
    return newest, told


def _month(row: Row) -> BillingMonth:
    return BillingMonth.containing(row["month"])


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
    """Let the corrections of the month pass that wait now, once; return how many. They are booked by the next pass.

    Raises NotApproved unless `total` is what they give back. Usage that disappears later is not approved by it.
    """
    with database.transaction() as connection:
        lock_until_commit(connection, "invoices")  # no pass decides anything meanwhile
        found = [
            row
            for row in rows(connection, "held_corrections", month=month.first_day)
            if row["approval_id"] is None
            and row["currency"] == currency
            and organization_id in (None, row["organization_id"])
        ]
        whose = f"{month}, {currency}" + (f", {organization_id}" if organization_id else "")
        if not found:
            raise NotApproved(f"{whose}: no correction waits for an approval; `fly-billing corrections` lists them")
        demand_total(total, total_to_approve([row["gives_back"] for row in found], currency), currency, whose)
        write_approval(connection, month, currency, total, by, why, now, organization_id)
    return len(found)


def demand_total(given: Decimal, wanted: Decimal, currency: str, whose: str) -> None:
    """Raise NotApproved unless the amount that a person named is what is given back."""
    if given != wanted:
        raise NotApproved(
            f"{whose}: {plain_total(wanted, currency)} would be given back, not {plain(given)}: look at"
            f" `fly-billing corrections`, and name {plain(wanted)} if that is right"
        )


def plain_total(amount: Decimal, currency: str) -> str:
    return format_cents(to_cents(amount, currency), currency)


def write_approval(
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
