"""Comparing what Stripe holds with what we billed: pure functions from two lists to discrepancies."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from fly_billing.domain.money import format_cents


@dataclass(frozen=True)
class ExpectedInvoice:
    """A finalized invoice of ours that Stripe should hold exactly once. `lines`: (item id, cents), each id once.

    The order of lines is not compared: Stripe promises none.
    """

    id: str
    organization_id: str
    currency: str
    total_cents: int
    lines: tuple[tuple[str, int], ...]


@dataclass(frozen=True)
class FoundInvoice:
    """An invoice in Stripe that says it is ours (`metadata.fly_billing_invoice`). `lines`: (item id, cents)."""

    stripe_id: str
    invoice_id: str
    organization_id: str
    status: str
    currency: str
    total_cents: int
    lines: tuple[tuple[str, int], ...]


@dataclass(frozen=True)
class Discrepancy:
    """One disagreement, and what to do about it. `kind`: missing, duplicate, differing, stuck or orphaned."""

    kind: str
    organization_id: str
    invoice_id: str
    stripe_ids: tuple[str, ...]
    message: str
    what_to_do: str


FINAL = frozenset({"open", "paid", "uncollectible"})


def reconcile(expected: Iterable[ExpectedInvoice], found: Iterable[FoundInvoice]) -> list[Discrepancy]:
    """Return every discrepancy; none means: equal in count, currency, lines and totals. Voided invoices don't count."""
    ours = {invoice.id: invoice for invoice in expected}
    theirs: Mapping[str, list[FoundInvoice]] = defaultdict(list)
    for one in found:
        if one.status != "void":
            theirs[one.invoice_id].append(one)
    discrepancies = [d for invoice in ours.values() for d in _compare(invoice, theirs.get(invoice.id, []))]
    return discrepancies + [_orphaned(one) for key, many in theirs.items() if key not in ours for one in many]


def _compare(ours: ExpectedInvoice, theirs: Sequence[FoundInvoice]) -> list[Discrepancy]:
    final = [one for one in theirs if one.status in FINAL]
    drafts = [one for one in theirs if one.status not in FINAL]
    discrepancies = [_stuck(ours, one) for one in drafts]
    if not final and not drafts:
        return [_of(ours, "missing", [], f"{_money(ours)} was billed, Stripe has no invoice", _sync_again(ours))]
    if len(final) > 1:
        message = f"Stripe has {len(final)} invoices for this one: the customer is asked to pay {len(final)} times"
        discrepancies.append(_of(ours, "duplicate", final, message, "keep the one in our journal, void the others"))
    differing = [(one, message) for one in final if (message := _difference(ours, one))]
    what_to_do = f"find out who changed it and void it in Stripe; then {_sync_again(ours)}"
    return discrepancies + [_of(ours, "differing", [one], message, what_to_do) for one, message in differing]


def _difference(ours: ExpectedInvoice, theirs: FoundInvoice) -> str:
    if ours.currency != theirs.currency:
        return f"currency {theirs.currency} in Stripe, {ours.currency} at home"
    if ours.total_cents != theirs.total_cents:
        return f"total {format_cents(theirs.total_cents, theirs.currency)} in Stripe, {_money(ours)} at home"
    if len(ours.lines) != len(theirs.lines):
        return f"{len(theirs.lines)} lines in Stripe, {len(ours.lines)} at home"
    unequal = sorted(set(ours.lines) - set(theirs.lines))
    return f"{len(unequal)} lines differ, first item {unequal[0][0]}" if unequal else ""


def _stuck(ours: ExpectedInvoice, theirs: FoundInvoice) -> Discrepancy:
    message = "Stripe has it as a draft: the customer has not been asked to pay"
    return _of(ours, "stuck", [theirs], message, f"{_sync_again(ours)}; if it stays, delete the draft in Stripe")


def _sync_again(ours: ExpectedInvoice) -> str:
    """Say how to have it sent again: what our journal has as finalized is left alone until it is set back by hand."""
    return (
        # S608: a text for people; nothing runs it.
        "sync the month again; where stripe_invoices has it as finalized, set that back first: update stripe_invoices"  # noqa: S608
        f" set state = 'pending', finalized_at = null where invoice_id = '{ours.id}'"
    )


def _orphaned(theirs: FoundInvoice) -> Discrepancy:
    money = format_cents(theirs.total_cents, theirs.currency)
    return Discrepancy(
        "orphaned", theirs.organization_id, theirs.invoice_id, (theirs.stripe_id,),
        f"Stripe has an invoice over {money} that says it is ours, and we have no such invoice",
        "find out who made it; delete the draft or void it in Stripe",
    )  # fmt: skip


def _of(ours: ExpectedInvoice, kind: str, theirs: Sequence[FoundInvoice], message: str, what_to_do: str) -> Discrepancy:
    ids = tuple(one.stripe_id for one in theirs)
    return Discrepancy(kind, ours.organization_id, ours.id, ids, message, what_to_do)


def _money(invoice: ExpectedInvoice) -> str:
    return format_cents(invoice.total_cents, invoice.currency)
