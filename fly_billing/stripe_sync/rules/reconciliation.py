"""Compares the invoices in Stripe with ours and returns the discrepancies. Pure.

Not here: repairing them (`stripe_sync.rules.repair_plan`).
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from fly_billing.invoicing.rules.chargeable_amounts import from_stripe
from fly_billing.money import counted, format_cents
from fly_billing.stripe_sync.rules.line_taxes import TaxAmounts

KINDS = ("missing", "duplicate", "differing", "edited", "stuck", "orphaned")
FINAL = frozenset({"open", "paid", "uncollectible"})


@dataclass(frozen=True)
class ExpectedInvoice:
    """A finalized invoice of ours that Stripe should have exactly once.

    Totals are in our unit (cents), lines in Stripe's unit (`invoicing.rules.chargeable_amounts`).

    Attributes:
        lines: (item id, amount), each id once. Their order is not compared, because Stripe guarantees none.
        state, stripe_id: From our journal.
        metadata: Our metadata on the Stripe invoice, which nobody else should change.
        taxes: The amounts of its tax rates, in Stripe's unit.
    """

    id: str
    organization_id: str
    currency: str
    total_cents: int
    lines: tuple[tuple[str, int], ...]
    state: str | None = None
    stripe_id: str | None = None
    metadata: tuple[tuple[str, str], ...] = ()
    taxes: TaxAmounts = ()

    def has_settled(self, theirs: FoundInvoice) -> bool:
        """Return True if our journal verified this very invoice, so that a difference is a later change."""
        return theirs.stripe_id == self.stripe_id and self.state in ("verified", "finalized")


@dataclass(frozen=True)
class FoundInvoice:
    """An invoice in Stripe that is marked as ours (`metadata.fly_billing_invoice`) or that our journal knows by id.

    Attributes:
        lines: (item id, amount); empty if they were not read.
        unread_lines: The number of lines that were not read.
        metadata: None if it was not read.
        odd: The rest of the total below our smallest unit, in Stripe's unit (half a króna is 50).
    """

    stripe_id: str
    invoice_id: str
    organization_id: str
    status: str
    currency: str
    total_cents: int
    lines: tuple[tuple[str, int], ...]
    unread_lines: int = 0
    metadata: tuple[tuple[str, str], ...] | None = None
    odd: int = 0
    taxes: TaxAmounts = ()

    @property
    def line_count(self) -> int:
        return self.unread_lines or len(self.lines)

    @property
    def is_marked_as_ours(self) -> bool:
        """Return True if it is marked as ours. An invoice without the mark is never changed."""
        return self.metadata is None or "fly_billing_invoice" in dict(self.metadata)


@dataclass(frozen=True)
class LineDifference:
    """A line that differs. An amount is None if that side does not have the line."""

    item_id: str
    ours_cents: int | None
    theirs_cents: int | None


@dataclass(frozen=True)
class Discrepancy:
    """One discrepancy, and the way to fix it. `kind` is one of KINDS; `ours` is None for an orphan."""

    kind: str
    organization_id: str
    invoice_id: str
    stripe_ids: tuple[str, ...]
    message: str
    what_to_do: str
    ours: ExpectedInvoice | None = None
    theirs: tuple[FoundInvoice, ...] = ()
    lines: tuple[LineDifference, ...] = ()
    is_known_here: bool = True


def reconcile(
    expected: Iterable[ExpectedInvoice], found: Iterable[FoundInvoice], known: Collection[str] = ()
) -> list[Discrepancy]:
    """Return all discrepancies. No discrepancy means that count, currency, lines and totals are equal.

    Voided invoices don't count. Lines that were not read are not compared.

    Args:
        known: Ids of invoices that we have and that Stripe should not have.
    """
    ours = {invoice.id: invoice for invoice in expected}
    theirs: Mapping[str, list[FoundInvoice]] = defaultdict(list)
    for invoice in found:
        theirs[invoice.invoice_id].append(invoice)
    discrepancies = [d for invoice in ours.values() for d in _compare(invoice, theirs.get(invoice.id, []))]
    orphans = [
        invoice for key, many in theirs.items() if key not in ours for invoice in many if invoice.status != "void"
    ]
    return discrepancies + [_orphaned(invoice, invoice.invoice_id in known) for invoice in orphans]


def agree_at_a_glance(ours: ExpectedInvoice, theirs: FoundInvoice) -> bool:
    """Return True if currency, total, taxes and number of lines are equal. Needs no lines."""
    return (ours.currency, ours.total_cents, 0, ours.taxes, len(ours.lines)) == (
        theirs.currency,
        theirs.total_cents,
        theirs.odd,
        theirs.taxes,
        theirs.line_count,
    )


def _compare(ours: ExpectedInvoice, theirs: Sequence[FoundInvoice]) -> list[Discrepancy]:
    final = [invoice for invoice in theirs if invoice.status in FINAL]
    drafts = [invoice for invoice in theirs if invoice.status == "draft"]
    if not final and not drafts:
        return [_missing(ours, theirs)]
    found = [_stuck(ours, invoice) for invoice in drafts]
    if len(final) > 1:
        found.append(_duplicate(ours, final))
    return found + [d for invoice in final for d in _difference(ours, invoice)]


def _missing(ours: ExpectedInvoice, voided: Sequence[FoundInvoice]) -> Discrepancy:
    message = f"{_money(ours)} was billed, Stripe has no invoice"
    taken_back = _taken_back(ours, voided)
    if ours.stripe_id is not None:
        message += f": {ours.stripe_id} of ours was {'voided' if taken_back else 'deleted'} there"
    elif taken_back:
        message += f": {taken_back[0].stripe_id}, which our journal does not know, was voided there"
    what_to_do = "sync the month again or run `fly-billing repair`: both send it"
    if ours.state == "finalized" or taken_back:
        what_to_do = (
            "was that intended? If so, void it here too; if not, `fly-billing repair` recreates it after asking"
        )
    return _of(ours, "missing", taken_back, message, what_to_do)


def _taken_back(ours: ExpectedInvoice, voided: Sequence[FoundInvoice]) -> list[FoundInvoice]:
    """Return the invoices that somebody voided in Stripe, without those that a repair voided to recreate them."""
    if ours.stripe_id is None:
        return list(voided) if ours.state == "needs_attention" else []
    return [invoice for invoice in voided if invoice.stripe_id == ours.stripe_id]


def _duplicate(ours: ExpectedInvoice, final: Sequence[FoundInvoice]) -> Discrepancy:
    message = f"Stripe has {len(final)} invoices for this one: the customer is asked to pay {len(final)} times"
    what_to_do = (
        "`fly-billing repair` keeps the one in our journal and voids the others after asking; refund what was paid"
        " twice"
    )
    return _of(ours, "duplicate", final, message, what_to_do)


def _difference(ours: ExpectedInvoice, theirs: FoundInvoice) -> list[Discrepancy]:
    lines = () if theirs.unread_lines else _line_differences(ours, theirs)
    difference = _money_difference(ours, theirs) or _line_difference(ours, theirs, lines)
    if difference is None:
        return _changed_metadata(ours, theirs)
    kind, message = difference
    what_to_do = "find out who changed it; `fly-billing repair` voids it and recreates it after asking"
    return [_of(ours, kind, [theirs], message, what_to_do, lines)]


def _money_difference(ours: ExpectedInvoice, theirs: FoundInvoice) -> tuple[str, str] | None:
    if ours.currency != theirs.currency:
        return "differing", f"currency {theirs.currency} in Stripe, {ours.currency} here"
    if (ours.total_cents, 0) != (theirs.total_cents, theirs.odd):
        total = format_cents(theirs.total_cents, theirs.currency) + (f" and {theirs.odd}/100" if theirs.odd else "")
        return "differing", f"total {total} in Stripe, {_money(ours)} here"
    if ours.taxes != theirs.taxes:
        there, here = (_tax(invoice.taxes, ours.currency) for invoice in (theirs, ours))
        return "edited" if ours.has_settled(theirs) else "differing", f"tax {there} in Stripe, {here} here"
    return None


def _tax(taxes: TaxAmounts, currency: str) -> str:
    """Write the amounts of the tax rates: `$5.00 and $2.10`."""
    amounts = (format_cents(from_stripe(amount, currency)[0], currency) for _, amount in taxes)
    return " and ".join(amounts) or "none"


def _line_difference(
    ours: ExpectedInvoice, theirs: FoundInvoice, lines: Sequence[LineDifference]
) -> tuple[str, str] | None:
    kind = "edited" if ours.has_settled(theirs) else "differing"
    if len(ours.lines) != theirs.line_count:
        return kind, f"{counted(theirs.line_count, 'line')} in Stripe, {len(ours.lines)} here"
    unequal = [line for line in lines if line.ours_cents is not None]
    return (kind, f"differs in {counted(len(unequal), 'line')}, first item {unequal[0].item_id}") if unequal else None


def _line_differences(ours: ExpectedInvoice, theirs: FoundInvoice) -> tuple[LineDifference, ...]:
    """List the lines that only one side has or whose amounts differ, by item."""
    here, there = Counter(ours.lines), Counter(theirs.lines)
    only_here, only_there = dict((here - there).keys()), dict((there - here).keys())
    ids = sorted({*only_here, *only_there})
    return tuple(LineDifference(item, only_here.get(item), only_there.get(item)) for item in ids)


def _changed_metadata(ours: ExpectedInvoice, theirs: FoundInvoice) -> list[Discrepancy]:
    if theirs.metadata is None or not ours.has_settled(theirs):
        return []
    there = dict(theirs.metadata)
    changed = [(name, value) for name, value in ours.metadata if there.get(name) != value]
    if not changed:
        return []
    message = "metadata: " + ", ".join(f"{name} is {there.get(name, 'gone')}, not {value}" for name, value in changed)
    what_to_do = "restore it in Stripe's dashboard: " + ", ".join(f"{name}={value}" for name, value in changed)
    return [_of(ours, "edited", [theirs], message, what_to_do)]


def _stuck(ours: ExpectedInvoice, theirs: FoundInvoice) -> Discrepancy:
    message = "Stripe has it as a draft: the customer has not been asked to pay"
    return _of(
        ours, "stuck", [theirs], message, "`fly-billing repair` finishes it, or removes it if there is another one"
    )


def _orphaned(theirs: FoundInvoice, is_known: bool) -> Discrepancy:
    money = format_cents(theirs.total_cents, theirs.currency)
    why = "Stripe should not have it" if is_known else "we have no such invoice"
    by_hand = "find out who made it; delete the draft or void it in Stripe"
    is_removed = theirs.status == "draft" and not is_known
    return Discrepancy(
        "orphaned", theirs.organization_id, theirs.invoice_id, (theirs.stripe_id,),
        f"Stripe has an invoice over {money} that is marked as ours, but {why}",
        "`fly-billing repair` removes the draft" if is_removed else by_hand,
        theirs=(theirs,), is_known_here=is_known,
    )  # fmt: skip


def _of(
    ours: ExpectedInvoice,
    kind: str,
    theirs: Sequence[FoundInvoice],
    message: str,
    what_to_do: str,
    lines: tuple[LineDifference, ...] = (),
) -> Discrepancy:
    ids = tuple(invoice.stripe_id for invoice in theirs)
    return Discrepancy(kind, ours.organization_id, ours.id, ids, message, what_to_do, ours, tuple(theirs), lines)


def _money(invoice: ExpectedInvoice) -> str:
    return format_cents(invoice.total_cents, invoice.currency)
