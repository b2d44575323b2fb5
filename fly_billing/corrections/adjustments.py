"""Corrects months whose invoices are final: finds what they would be now, and books the difference once.

A difference becomes adjustments, which go on the next open invoice, or a credit note, whose amount is credit. Keeps
out: what is compared, and why it differs (`corrections.rules.differences`); voiding an invoice and making it anew
(`reissue`).
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import Connection

from fly_billing.corrections.approvals import (
    Judged,
    NotApproved,
    demand_total,
    judge,
    record,
    write_approval,
)
from fly_billing.corrections.returned_credits import find_returned_credits, paid_by_credit
from fly_billing.corrections.rules.adjusted import kept_item
from fly_billing.corrections.rules.differences import (
    CORRECTED_ROWS,
    EARLIER_MONTH,
    LATE_LEVEL,
    LATE_ROWS,
    Charge,
    Difference,
    adjustment_text,
    charges_of,
    differences,
    differences_by_usage,
    recalculate,
)
from fly_billing.corrections.rules.guard import CorrectionGuard, Held, Proposal, total_to_approve
from fly_billing.corrections.rules.taxes import Split
from fly_billing.corrections.taxes_reader import BilledTaxes, read_billed_taxes
from fly_billing.errors import ActionableError, BillingError, not_computable
from fly_billing.invoicing.inputs_reader import (
    BillingRecords,
    Payer,
    UsageToBill,
    account_of,
    read_books,
    read_each,
    read_payers,
    read_records,
    read_rollups,
    refuse_damaged_usage,
)
from fly_billing.invoicing.rules.draft import InvoiceInProgress
from fly_billing.invoicing.rules.inputs import InvoiceInputs
from fly_billing.invoicing.rules.items import InvoiceItem
from fly_billing.money import exact_sum, from_cents, plain, to_cents
from fly_billing.periods import BillingMonth
from fly_billing.postgres.database import BillingDatabase, Row, copy_rows, lock_until_commit, rows
from fly_billing.postgres.isolation import ABOUT_A_VALUE, each_alone, unreadable, unwritable
from fly_billing.postgres.statements import sql
from fly_billing.pricing.negotiated_prices import PriceBooks
from fly_billing.usage.landing_ledger import open_against_ledger
from fly_billing.usage.usage_table import UsageTable, UsageTableVersion, UsageVersionGone, open_duckdb

ChangedUsage = Mapping[tuple[str, str], tuple[str, ...]]
ADJUSTMENT_COLUMNS = (
    "id", "organization_id", "month", "invoice_id", "item_key", "product", "description", "amount", "currency",
    "causes", "detail", "credit_note_id", "credit_grant_id", "made_at", "made_by", "why",
)  # fmt: skip


@dataclass(frozen=True)
class Correction:
    """What one final invoice would be now: its differences, exact; none where it is right.

    `counted`: what of it counts towards each commitment then. `taxed`: by the charge's key, how much of its difference
    is taxed at which rates, where that differs by item.
    `terms`: differences that wait for a person's decision, as they come from terms of the month that changed since.
    `usage_waits`: changed usage waits with them, as it can't be told apart (a price changed inside the stretches that
    its usage was added up in; credits paid the invoice, or a minimum counts it).
    """

    payer: Payer
    invoice_id: UUID
    month: BillingMonth
    differences: Sequence[Difference]
    counted: Mapping[UUID, Decimal]
    taxed: Mapping[str, Split] = field(default_factory=dict)
    terms: Sequence[Difference] = ()
    usage_waits: bool = False

    @property
    def amount(self) -> Decimal:
        return exact_sum([one.amount for one in self.differences])

    @property
    def proposal(self) -> Proposal:
        """It as the guard judges it, without what the invoice charged.

        A top-up that falls as earlier months came to more is left out: what it gives back, those were charged.
        """
        return Proposal(
            self.invoice_id, self.payer.organization_id, self.payer.currency, (),
            {
                one.charge.key: (one.charge.organization_id, one.charge.kind, one.amount)
                for one in self.differences if not (one.causes == (EARLIER_MONTH,) and one.amount < 0)
            },
            causes=tuple(dict.fromkeys(cause for one in self.differences for cause in one.causes)),
        )  # fmt: skip


@dataclass(frozen=True)
class Corrections:
    """All that a run found in a month, and the payers that can't be billed any more as things stand, with why.

    `held`: corrections that give back so much that they wait for a person; nothing of them is booked.
    """

    found: Sequence[Correction]
    failures: Sequence[tuple[str, BillingError]] = field(default_factory=tuple)
    held: Sequence[Held] = field(default_factory=tuple)

    @property
    def wrong(self) -> list[Correction]:
        return [one for one in self.found if one.differences]

    @property
    def waiting(self) -> list[Correction]:
        held = {one.proposal.invoice_id for one in self.held}
        return [one for one in self.found if one.invoice_id in held]

    @property
    def booked(self) -> list[Correction]:
        """Those that do not wait."""
        held = {one.proposal.invoice_id for one in self.held}
        return [one for one in self.found if one.invoice_id not in held and not one.usage_waits]

    @property
    def undecided(self) -> list[Correction]:
        """Those of which terms changed: a person decides whether they are corrected."""
        return [one for one in self.found if one.terms]


@dataclass(frozen=True)
class Actor:
    """Who corrects, when and why: kept with what is booked."""

    name: str
    at: datetime
    why: str | None = None


def find_corrections(
    connection: Connection,
    month: BillingMonth,
    groups: Sequence[str],
    usage_table: UsageTable,
    only: Collection[str] | None = None,
    *,
    with_terms: bool = True,
    follows: bool = False,
) -> Corrections:
    """Calculate what the final invoices of these groups (or `only` of these payers) would be now. Writes nothing.

    Without `with_terms` an invoice is looked at only if its own usage or terms changed; its differences are those that
    usage makes, and what changed terms make is in `terms`. `follows`: all of `only` are looked at, as an earlier month
    that their minimums count came to something else.
    """
    payers = [
        payer
        for payer in read_payers(connection, month, groups)
        if payer.is_final and payer.invoice_status != "void" and (only is None or payer.organization_id in only)
    ]
    changes = None if with_terms else _own_changes(connection, month, payers)
    if changes and not follows:
        payers = [payer for payer in payers if payer.organization_id in changes.payers]
    billed = _billed_items(connection, month, payers)
    payers = [payer for payer in payers if payer.organization_id in billed.ids]
    books = read_books(connection)
    readable, failures = read_each(
        payers, connection, lambda some: read_records(connection, month, some, is_final=True)
    )
    changed = _changed_usage(connection, month, list(billed.ids.values()), usage_table)
    taxes = read_billed_taxes(
        connection, [billed.ids[payer.organization_id] for payer, records in readable if records.taxes_by_item(payer)]
    )
    credited = paid_by_credit(connection, billed.ids.values())
    before = read_rollups(connection, [one for some in changes.usage.values() for one in some]) if changes else None
    found = []
    for payer, records in readable:
        try:
            invoice = billed.ids[payer.organization_id]
            again = _Again(
                connection, payer, month, records, books, invoice, billed.items[invoice],
                billed.adjusted.get(invoice, {}), taxes, invoice in credited,
            )  # fmt: skip
            if changes:
                is_changed = payer.organization_id in changes.usage
                one = _correction_by_usage(again, before if is_changed else None, changed)
            else:
                one = _correction(again, again.draft(), changed)
            _refuse_other_currency(one)
            found.append(one)
        except BillingError as error:
            failures.append((payer.organization_id, error))
        except ABOUT_A_VALUE as problem:
            failures.append((payer.organization_id, unreadable(f"{payer.organization_id} {month}", problem)))
    return Corrections(found, failures)


@dataclass(frozen=True)
class _OwnChanges:
    """What changed of final invoices themselves: `payers` whose invoice is to be looked at, and why.

    `usage`: the snapshots that are billed so far, by payer, where they are no longer what was used.
    """

    usage: Mapping[str, Sequence[UUID]]
    payers: Collection[str]


def _own_changes(connection: Connection, month: BillingMonth, payers: Sequence[Payer]) -> _OwnChanges:
    """Find whose usage or terms changed; whose correction waits for an approval, so that it may be released; and whose
    rollups are damaged, so that they fail."""
    names = [payer.organization_id for payer in payers]
    billed: dict[str, list[UUID]] = defaultdict(list)
    invoices: dict[str, UUID] = {}
    for row in rows(connection, "usage_as_billed", month=month.first_day, organizations=names):
        billed[row["payer_id"]].append(row["snapshot_id"])
        invoices[row["payer_id"]] = row["invoice_id"]
    now = {payer.organization_id: set(payer.snapshots) for payer in payers}
    usage = {name: snapshots for name, snapshots in billed.items() if set(snapshots) != now[name]}
    asks = _asking(connection, month, payers, invoices)
    held = {row["organization_id"] for row in rows(connection, "held_corrections", month=month.first_day)}
    damaged = {one.organization_id for one in payers if any(row["rollup_problem"] for row in one.members)}
    return _OwnChanges(usage, usage.keys() | asks | held | damaged)


def _asking(
    connection: Connection, month: BillingMonth, payers: Sequence[Payer], invoices: Mapping[str, UUID]
) -> set[str]:
    """List the payers on whose invoice a term or a price changed, and nobody decided on it yet."""
    newest = rows(connection, "terms_changed_since", month=month.first_day)
    if not newest:
        return set()
    of_organizations = {row["organization_id"]: row["newest"] for row in newest if row["organization_id"]}
    of_books = {row["book"]: row["newest"] for row in newest if row["book"]}
    found = rows(connection, "terms_decided", invoices=list(invoices.values()))
    decided = {row["invoice_id"]: row["up_to_change"] for row in found}
    asking = set()
    for payer in payers:
        changes = [of_organizations.get(one["id"], 0) for one in payer.members]
        changes += [of_books.get(one["price_book"], 0) for one in payer.members]
        if max(changes) > decided.get(invoices.get(payer.organization_id), 0):
            asking.add(payer.organization_id)
    return asking


def _refuse_other_currency(correction: Correction) -> None:
    """Refuse a difference that no later invoice can have: it would be taken off an amount in another currency."""
    payer, month = correction.payer, correction.month
    billed_in = payer.members[0]["currency_now"]
    if correction.differences and billed_in != payer.currency:
        raise not_computable(
            "currency_changed_since",
            f"the invoice of {payer.organization_id} for {month} is in {payer.currency} and"
            f" {plain(correction.amount)} {payer.currency} of it are to be corrected, but {payer.organization_id} is"
            f" billed in {billed_in} now. Make it anew with `fly-billing rebill {payer.organization_id} {month}"
            f" --reissue` while Stripe does not have it; afterwards, settle it with a one-off item in {billed_in}",
        )


def correct_month(
    database: BillingDatabase,
    month: BillingMonth,
    groups: Sequence[str],
    usage_table: UsageTable,
    who: Actor,
    only: Collection[str] | None = None,
    *,
    guard: CorrectionGuard,
    with_terms: bool = False,
) -> Corrections:
    """Find what is different now in the month's final invoices, and book it as adjustments: once, however often run.

    By itself only what changed usage makes is booked, for the organization whose usage changed. What changed terms of
    the month make is in `Corrections.undecided`, and is booked `with_terms`: where a person said so.

    Later final months that top up to a minimum for this month too are corrected in the same transaction: what more (or
    less) this month comes to is covered (or missing) there. What gives back more than `guard` lets pass is not booked
    but waits for a person (`approvals`).
    """
    with database.transaction() as connection:
        later = lock_for_correcting(connection, month, groups)
        done = [_correct(connection, month, groups, usage_table, who, only, guard, with_terms=with_terms)]
        done += [
            _correct(connection, one, groups, usage_table, who, payers, guard, follows=True)
            for one, payers in later.items()
        ]
    return _together(done)


def correct_later_months(
    connection: Connection, month: BillingMonth, groups: Sequence[str], usage_table: UsageTable, who: Actor, payer: str,
    *, guard: CorrectionGuard,
) -> Corrections:  # fmt: skip
    """Correct what follows for the payer from a month that was billed or corrected by hand.

    The caller has locked the month (`lock_for_correcting`).
    """
    later = _later_months(connection, month, groups)
    return _together(
        [
            _correct(connection, one, groups, usage_table, who, {payer} & set(payers), guard, follows=True)
            for one, payers in later.items()
        ]
    )


def _together(done: Sequence[Corrections]) -> Corrections:
    return Corrections(
        [one for each in done for one in each.found],
        [one for each in done for one in each.failures],
        [one for each in done for one in each.held],
    )


def _later_months(connection: Connection, month: BillingMonth, groups: Sequence[str]) -> dict[BillingMonth, list[str]]:
    """Return the final months, in order, that top up to minimums which count this month too, and whose they are."""
    found: dict[BillingMonth, list[str]] = {}
    for row in rows(connection, "later_months_that_count", month=month.first_day, groups=list(groups)):
        found.setdefault(BillingMonth(row["month"].year, row["month"].month), []).append(row["organization_id"])
    return found


def _correct(
    connection: Connection,
    month: BillingMonth,
    groups: Sequence[str],
    usage_table: UsageTable,
    who: Actor,
    only: Collection[str] | None,
    guard: CorrectionGuard,
    *,
    with_terms: bool = False,
    follows: bool = False,
) -> Corrections:
    """Find and book the month's corrections; `follows`: of these payers, as an earlier month came to something else."""
    if only is not None and not only:
        return Corrections([])
    found = find_corrections(connection, month, groups, usage_table, only, with_terms=with_terms, follows=follows)
    judged = judge(connection, month, [one.proposal for one in found.found], guard)
    corrections = replace(found, held=judged.held)
    record(connection, month, judged, who.at, who.name)
    _, refused = each_alone(connection, corrections.booked, lambda some: book_adjustments(connection, some, who))
    names = {one.payer.organization_id for one, _ in refused}
    failures = [
        (one.payer.organization_id, unwritable(f"the correction of {one.payer.organization_id} {month}", problem))
        for one, problem in refused
    ]
    return replace(
        corrections,
        found=[one for one in corrections.found if one.payer.organization_id not in names],
        failures=[*corrections.failures, *failures],
    )


def judge_by_hand(connection: Connection, correction: Correction, guard: CorrectionGuard) -> Judged:
    """Say whether this correction alone would wait for a person. Writes nothing."""
    return judge(connection, correction.month, [correction.proposal], guard)


def approve_by_hand(
    connection: Connection, correction: Correction, judged: Judged, who: Actor, total: Decimal | None
) -> None:
    """Write down that a person books this correction now, and that they named what it gives back, where that is much.

    Raises NotApproved where they did not, or named another amount.
    """
    approval = None
    demand_approval(correction, judged, total)
    if judged.held and total is not None:
        approval = _write_approval(connection, correction, who, total)
    record(connection, correction.month, judged, who.at, who.name, approval)


def note_approval(database: BillingDatabase, correction: Correction, who: Actor, total: Decimal) -> None:
    """Write down what a person approved of an invoice that they had made anew."""
    with database.transaction() as connection:
        _write_approval(connection, correction, who, total)


def _write_approval(connection: Connection, correction: Correction, who: Actor, total: Decimal) -> int:
    payer, why = correction.payer, who.why or "booked by hand"
    return write_approval(
        connection, correction.month, payer.currency, total, who.name, why, who.at, payer.organization_id
    )


def demand_approval(correction: Correction, judged: Judged, total: Decimal | None) -> None:
    """Raise NotApproved where the correction gives back much and `total` is not what. Writes nothing."""
    if not judged.held:
        return
    name, month, currency = correction.payer.organization_id, correction.month, correction.payer.currency
    wanted = total_to_approve([one.proposal.gives_back for one in judged.held], currency)
    if total is None:
        raise NotApproved(
            f"{judged.held[0].reason}. Nothing was booked. If it is right, repeat the command with --approve"
            f" {plain(wanted)}: what this correction gives back"
        )
    demand_total(total, wanted, currency, f"{name} {month}")


def lock_for_correcting(
    connection: Connection, month: BillingMonth, groups: Sequence[str]
) -> dict[BillingMonth, list[str]]:
    """Keep rolling up and billing out until the transaction ends: what is found is what is booked.

    Returns the later months that are locked too, as they count this one towards a minimum; and whose they are.
    """
    later = _later_months(connection, month, groups)
    # In the order of time, and usage before invoices, as everywhere: two runs never wait for each other.
    for one in (month, *later):
        lock_until_commit(connection, f"usage_rollups {one}")
    lock_until_commit(connection, "invoices")
    return later


def book_adjustments(
    connection: Connection, corrections: Iterable[Correction], who: Actor, credit_note: UUID | None = None
) -> None:
    """Write the differences down, for the next open invoice; and what the invoices now bill and count."""
    booked = list(corrections)
    copy_rows(connection, "adjustments", ADJUSTMENT_COLUMNS, (
        _adjustment(correction, difference, who, credit_note)
        for correction in booked for difference in correction.differences
    ))  # fmt: skip
    rows(
        connection, "mark_corrected",
        invoices=[one.invoice_id for one in booked for _ in one.payer.snapshots],
        snapshots=[snapshot for one in booked for snapshot in one.payer.snapshots],
    )  # fmt: skip
    counted = [(one.invoice_id, *each) for one in booked for each in one.counted.items()]
    invoices, commitments, amounts = zip(*counted, strict=True) if counted else ((), (), ())
    rows(connection, "mark_counted", invoices=list(invoices), commitments=list(commitments), amounts=list(amounts))


def book_credit_note(connection: Connection, correction: Correction, who: Actor) -> int:
    """Give the difference back as credit for the next invoices; return its cents: rounded once.

    Raises ActionableError where it is a charge.
    """
    currency = correction.payer.currency
    cents = -to_cents(correction.amount, currency)
    if cents <= 0:
        raise ActionableError(
            f"{correction.payer.organization_id} {correction.month}: nothing is to be given back, a credit note can't"
            " charge; leave out --credit-note, and the difference goes on the next invoice"
        )
    note, grant = uuid4(), uuid4()
    rows(
        connection, "add_credit_note",
        id=note, grant_id=grant, invoice_id=correction.invoice_id, organization_id=correction.payer.organization_id,
        amount=from_cents(cents, currency), amount_cents=cents, currency=currency, made_at=who.at, made_by=who.name,
        why=who.why, description=f"Credit note for {correction.month}",
    )  # fmt: skip
    book_adjustments(connection, [correction], who, note)
    return cents


def keep_as_billed(connection: Connection, correction: Correction, who: Actor) -> None:
    """Write down that a person leaves this invoice as it is, although terms of its month changed.

    It is not asked about again until another term changes. Usage that changes is corrected as before.
    """
    rows(
        connection, "keep_as_billed",
        invoice_id=correction.invoice_id, who=who.name, why=who.why or "left as it was billed", at=who.at,
    )  # fmt: skip


def changed_terms(database: BillingDatabase, month: BillingMonth | None = None) -> list[Row]:
    """List final invoices and changes of terms of their months on which nobody decided yet; without a month, all.

    Whether an amount changes by them is not known before the invoice is calculated again.
    """
    return database.rows("undecided_terms", month=month.first_day if month else None)


@dataclass(frozen=True)
class _Billed:
    """What final invoices charged: their ids and items by payer, and their adjustments by invoice and key."""

    ids: Mapping[str, UUID]
    items: Mapping[UUID, list[InvoiceItem]]
    adjusted: Mapping[UUID, Mapping[str, Charge]]


def _billed_items(connection: Connection, month: BillingMonth, payers: Sequence[Payer]) -> _Billed:
    names = [payer.organization_id for payer in payers]
    found = rows(connection, "billed_items", month=month.first_day, organizations=names)
    ids = {row["payer_id"]: row["invoice_id"] for row in found}
    items: dict[UUID, list[InvoiceItem]] = defaultdict(list)
    for row in found:
        if row["id"] is not None:
            items[row["invoice_id"]].append(_item(row))
    adjusted: dict[UUID, dict[str, Charge]] = defaultdict(dict)
    for row in rows(connection, "booked_adjustments", invoices=list(ids.values())):
        adjusted[row["invoice_id"]][row["key"]] = _charge(row)
    return _Billed(ids, items, adjusted)


def _item(row: Row) -> InvoiceItem:
    return InvoiceItem(**{name: value for name, value in row.items() if name not in ("payer_id", "invoice_id")})


def _charge(row: Row) -> Charge:
    return Charge(**{name: value for name, value in row.items() if name != "invoice_id"})


@dataclass(frozen=True)
class _Again:
    """A payer's final invoice and all that it is calculated from now. `is_credited`: credit paid something of it."""

    connection: Connection
    payer: Payer
    month: BillingMonth
    records: BillingRecords
    books: PriceBooks
    invoice_id: UUID
    items: Sequence[InvoiceItem]
    adjusted: Mapping[str, Charge]
    taxes: BilledTaxes
    is_credited: bool

    def account(self, usage: UsageToBill | None = None) -> InvoiceInputs:
        """Return its account, with other usage if it is given. Raises BillingError."""
        for member in self.payer.members:
            refuse_damaged_usage(member)
        records = self.records
        if usage:
            records = replace(records, rollups=usage.rollups, unreadable={**records.unreadable, **usage.unreadable})
        return account_of(self.payer, self.month, records, self.books)

    def draft(self, usage: UsageToBill | None = None) -> InvoiceInProgress:
        return recalculate(self.account(usage), self.items)

    def charged(self) -> dict[str, Charge]:
        return charges_of(self.items, self.month)


def _correction(again: _Again, draft: InvoiceInProgress, changed: ChangedUsage) -> Correction:
    found = differences(again.charged(), again.adjusted, charges_of(draft.items, again.month), changed)
    if found and (again.is_credited or any(item.kind == "credit" for item in draft.items)):
        found += find_returned_credits(again.connection, again.invoice_id, draft, again.month)
    taxed = again.taxes.taxed(again.invoice_id, draft.account, found, again.items, draft.items)
    return Correction(again.payer, again.invoice_id, again.month, found, draft.counted, taxed)


def _are_terms(found: Sequence[Difference]) -> bool:
    """Whether some of these differences come from terms; not from an earlier month that a minimum counts.

    What goes back to credits follows from the others.
    """
    return any(EARLIER_MONTH not in one.causes for one in found if one.charge.credit_grant_id is None)


def _correction_by_usage(again: _Again, before: UsageToBill | None, changed: ChangedUsage) -> Correction:
    """Tell apart what changed usage and what changed terms make; `before` has what is billed, if usage changed."""
    now = again.draft()
    whole = _correction(again, now, changed)
    waiting = replace(whole, differences=(), terms=whole.differences, counted={}, taxed={}, usage_waits=True)
    if before is None:
        return replace(waiting, usage_waits=False) if _are_terms(whole.differences) else whole
    try:
        then = again.draft(before)
    except BillingError:  # a price changed inside the stretches that the billed usage was added up in
        return waiting
    owed_then, owed_now = (charges_of(draft.items, again.month) for draft in (then, now))
    by_usage, terms = differences_by_usage(again.charged(), again.adjusted, owed_then, owed_now, changed)
    if not _are_terms(terms):
        return whole
    if again.is_credited or now.counted:  # what goes back to credits, or counts towards minimums, is not told apart
        return waiting
    taxed = again.taxes.taxed(again.invoice_id, now.account, by_usage, then.items, now.items, is_adjusted=False)
    return replace(whole, differences=by_usage, terms=terms, taxed=taxed)


def _changed_usage(
    connection: Connection, month: BillingMonth, invoices: Sequence[UUID], usage_table: UsageTable
) -> Mapping[tuple[str, str], tuple[str, ...]]:
    """Tell how the usage of (organization, meter) changed since it was billed, from the usage table's own history.

    Says nothing where the version that was billed can't be read any more. Raises UsageTableMismatch.
    """
    found = rows(connection, "snapshots_changed_since", invoices=list(invoices), month=month.first_day)
    by_version: dict[tuple[int, int], list[str]] = defaultdict(list)
    for row in found:
        by_version[row["billed_version"], row["version"]].append(row["organization_id"])
    changed: dict[tuple[str, str], tuple[str, ...]] = {}
    table = open_against_ledger(connection, usage_table)
    levels = [row["key"] for row in rows(connection, "meters_of_levels")] if found else []
    for (before, after), organizations in by_version.items():
        try:
            compared = _compare_versions(table, month, before, after, organizations)
        except UsageVersionGone:
            continue
        # In a meter of levels, a change that no event of the month explains comes from an earlier month.
        changed |= {(name, meter): (LATE_LEVEL,) for name in organizations for meter in levels} | compared
    return changed


def _compare_versions(
    table: UsageTableVersion, month: BillingMonth, before: int, after: int, organizations: Sequence[str]
) -> dict[tuple[str, str], tuple[str, ...]]:
    with open_duckdb(table.memory_mb) as duck:
        table.open_view(duck, "billed", month, version=before, by_meter=True)
        table.open_view(duck, "now", month, version=after, by_meter=True)
        found = duck.execute(sql("compare_usage_versions"), {"organizations": list(organizations)}).fetchall()
    causes: dict[tuple[str, str], tuple[str, ...]] = {}
    for organization, meter, late, corrected in found:
        told = [(LATE_ROWS, late), (CORRECTED_ROWS, corrected)]
        causes[organization, meter] = tuple(name for name, count in told if count)
    return causes


def _adjustment(
    correction: Correction, difference: Difference, who: Actor, credit_note: UUID | None
) -> tuple[object, ...]:
    charge = difference.charge
    detail: dict[str, Any] = {
        **difference.detail,
        "billed": str(difference.billed),
        "adjusted_before": str(difference.adjusted),
        "owed": str(difference.owed),
        **({"waits": str(difference.waits)} if difference.waits else {}),
        "kind": charge.kind,
        "description": charge.description,
        "unit": charge.unit,
        "meter": charge.meter,
        "calculations": {
            "billed": [kept_item(item) for item in difference.billed_items],
            "owed": [kept_item(item) for item in difference.owed_items],
        },
    }
    if correction.taxed:
        detail["taxed"] = [
            {"rates": [str(rate.id) for rate in rates], "amount": str(amount)}
            for rates, amount in correction.taxed[charge.key].items()
        ]
    return (
        uuid4(), charge.organization_id, correction.month.first_day, correction.invoice_id, charge.key, charge.product,
        adjustment_text(difference, correction.month), difference.amount, correction.payer.currency,
        list(difference.causes), json.dumps(detail), credit_note, charge.credit_grant_id, who.at, who.name, who.why,
    )  # fmt: skip
