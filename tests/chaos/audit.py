"""The audit: reads Stripe's side from the sandbox's SQLite store and ours with plain SQL, and counts differences.

It shares no code with the sync or its reconciliation, so that neither can be wrong in the same way. Money is in minor
units. Keeps out: repairs.
"""

from __future__ import annotations

import sqlite3
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path

from sqlalchemy import text

from fly_billing.postgres.database import BillingDatabase

OURS = """
select
    cast(i.id as text) as id, i.organization_id as organization, lower(i.currency) as currency, i.total_cents as total,
    i.status, o.stripe_customer_id as customer, s.state, s.stripe_invoice_id as stripe_id,
    (select json_object_agg(t.id, t.amount_cents) from invoice_items as t where t.invoice_id = i.id) as items
from invoices as i
join organizations as o on o.id = i.organization_id
left join stripe_invoices as s on s.invoice_id = i.id
where i.origin = 'billed' and i.status <> 'open'
order by i.id
"""
THEIRS = """
select
    id, customer, status, currency, total,
    metadata ->> '$.fly_billing_invoice' as ours, metadata ->> '$.organization' as organization
from invoices where status <> 'void' order by id
"""
THEIR_LINES = """
select invoice, amount, currency, metadata ->> '$.fly_billing_item' as item
from invoice_lines where invoice is not null order by invoice, position
"""
CUSTOMERS = "select id, metadata ->> '$.organization' as organization from customers where not deleted"

# Our statuses -> Stripe's.
STATUSES = {"finalized": "open", "paid": "paid", "uncollectible": "uncollectible"}
# Stripe takes 250 lines on an invoice; of longer ones, the 247 largest items and the sum of the others are sent.
MOST_LINES = 248
KEPT = 247


# A line in Stripe: the item of ours that it names, amount, currency.
Line = tuple[str | None, int, str]


@dataclass(frozen=True)
class Findings:
    """The differences; 0 is right. `billable`: our finalized invoices with a total, the only count that is not a fault.

    lost: not finalized in Stripe. duplicated: copies beyond the first, including drafts; charged_twice: finalized
    ones of them. cents_off: the total of all finalized copies of an invoice, less ours, without its sign.
    """

    billable: int = 0
    lost: int = 0
    duplicated: int = 0
    charged_twice: int = 0
    cents_off: int = 0
    currencies_off: int = 0
    customers_off: int = 0
    customers_doubled: int = 0
    lines_off: int = 0
    orphans: int = 0
    drafts_left: int = 0
    zeros_sent: int = 0
    journal_off: int = 0
    statuses_off: int = 0
    examples: tuple[str, ...] = field(default=(), compare=False)

    @property
    def wrong(self) -> dict[str, int]:
        """Return the counts that are not 0."""
        return {name: count for name, count in self.counts.items() if count}

    @property
    def counts(self) -> dict[str, int]:
        return {
            count_field.name: getattr(self, count_field.name)
            for count_field in fields(self)
            if count_field.name not in ("billable", "examples")
        }


@dataclass(frozen=True)
class _Ours:
    id: str
    organization: str
    currency: str
    total: int
    status: str
    customer: str | None
    state: str | None
    stripe_id: str | None
    items: Mapping[str, int] | None


@dataclass(frozen=True)
class _Theirs:
    id: str
    customer: str
    status: str
    currency: str
    total: int
    ours: str | None
    organization: str | None
    lines: list[Line] = field(default_factory=list)

    @property
    def is_final(self) -> bool:
        return self.status != "draft"


def audit(database: BillingDatabase, store_path: Path) -> Findings:
    """Compare every finalized invoice of ours with every invoice of the store that is not void."""
    with database.transaction() as connection:
        ours = [_Ours(**row) for row in connection.execute(text(OURS)).mappings()]
    theirs, customers = _read_store(store_path)
    counts: Counter[str] = Counter(
        billable=sum(1 for billed in ours if billed.total != 0),
        drafts_left=sum(1 for copy in theirs if not copy.is_final),
        customers_doubled=sum(count - 1 for count in Counter(customers.values()).values()),
    )
    examples = []
    copies = defaultdict(list)
    for copy in theirs:
        copies[copy.ours].append(copy)
    known = {billed.id for billed in ours}
    counts["orphans"] = sum(len(copies_of_invoice) for id, copies_of_invoice in copies.items() if id not in known)
    for invoice in ours:
        wrong = Counter(dict(_judge(invoice, copies[invoice.id], customers)))
        counts += wrong  # drops counts of 0
        if +wrong:
            examples.append(f"{invoice.organization} {invoice.id}: {dict(+wrong)}")
    return Findings(**counts, examples=tuple(examples[:10]))


def _read_store(path: Path) -> tuple[list[_Theirs], dict[str, str]]:
    """Return the invoices that are not void, with their lines, and the organization of each living customer."""
    store = sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=30)
    store.row_factory = sqlite3.Row
    with store:
        store.execute("begin")
        theirs = {row["id"]: _Theirs(**dict(row)) for row in store.execute(THEIRS)}
        for row in store.execute(THEIR_LINES):
            if row["invoice"] in theirs:
                theirs[row["invoice"]].lines.append((row["item"], row["amount"], row["currency"]))
        customers = {row["id"]: row["organization"] for row in store.execute(CUSTOMERS)}
    store.close()
    return list(theirs.values()), customers


def _judge(ours: _Ours, copies: Sequence[_Theirs], customers: Mapping[str, str]) -> Iterator[tuple[str, int]]:
    """Yield the differences of one invoice."""
    final = [copy for copy in copies if copy.is_final]
    if ours.total == 0:
        yield "zeros_sent", len(copies)
        yield "journal_off", int(ours.state != "skipped_zero" or ours.stripe_id is not None)
        return
    yield "lost", int(not final)
    yield "duplicated", max(0, len(copies) - 1)
    yield "charged_twice", max(0, len(final) - 1)
    yield "cents_off", abs(sum(copy.total for copy in final) - ours.total)
    yield "currencies_off", sum(1 for copy in final if copy.currency != ours.currency)
    yield "customers_off", sum(1 for copy in final if not _is_their_customer(ours, copy, customers))
    yield "lines_off", sum(_lines_off(ours, copy) for copy in final)
    yield "journal_off", int(ours.state != "finalized" or [ours.stripe_id] != [copy.id for copy in final])
    yield "statuses_off", sum(1 for copy in final if STATUSES.get(ours.status) != copy.status)


def _is_their_customer(ours: _Ours, theirs: _Theirs, customers: Mapping[str, str]) -> bool:
    """Return True if it is the organization's customer, or was before the customer was deleted."""
    return theirs.organization == ours.organization and (
        theirs.customer == ours.customer or theirs.customer not in customers
    )


def _lines_off(ours: _Ours, theirs: _Theirs) -> int:
    """Count wrong lines: expected are all our items, or the largest ones and the sum of the others."""
    items: Counter[Line] = Counter((item, amount, ours.currency) for item, amount in (ours.items or {}).items())
    sent = Counter(theirs.lines)
    if len(items) > MOST_LINES:
        return _folded_lines_off(items, sent)
    return (sent - items).total() + (items - sent).total()


def _folded_lines_off(items: Counter[Line], sent: Counter[Line]) -> int:
    kept, others, rest = items & sent, sent - items, items - sent
    is_sum = [amount for _, amount, _ in others.elements()] == [sum(amount for _, amount, _ in rest)]
    are_largest = min(abs(amount) for _, amount, _ in kept) >= max(abs(amount) for _, amount, _ in rest)
    return abs(kept.total() - KEPT) + int(not is_sum) + int(not are_largest)
