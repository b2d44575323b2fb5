"""Calculates what an organization owes, from the ledger and what Stripe asks for its unpaid invoices. Pure.

Stripe keeps a balance of each customer. A negative invoice becomes credit there, a total below the smallest amount that
Stripe charges is carried over, and people credit amounts in the dashboard. The next invoice that Stripe finalizes asks
for its total with this balance, so the amounts due are what the customer pays. Credit notes lower them.

The ledger has the sum, whatever Stripe does with it. The journal of the sync has the part that unpaid invoices ask for;
the rest is the balance for the next invoice. Balances in different currencies are never added up.

Not here: reading the sums (`statements.statement_reader`), and the ledger itself (`ledger`).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

_CARRIED_OVER = "Carried over, because it was below the minimum charge"
_TOO_SMALL = "Below the minimum charge, added to the next invoice"


@dataclass(frozen=True)
class StripeAmounts:
    """The amounts that Stripe applied when it finalized an invoice, in cents of the invoice's currency.

    Attributes:
        due_cents: What it asked for: the total with the customer's balance.
        balance_cents: The balance after that: negative for credit, positive for an amount that is carried over.
        noted_cents: The part of `due_cents` that credit notes at Stripe have taken back since.
        part_paid_cents: The part of `due_cents` that was paid while the invoice was open.
    """

    due_cents: int
    balance_cents: int
    finalized_at: datetime
    noted_cents: int = 0
    part_paid_cents: int = 0

    @property
    def remaining_cents(self) -> int:
        """The amount that it asks for now, if it is unpaid."""
        return self.due_cents - self.noted_cents - self.part_paid_cents


@dataclass(frozen=True)
class LedgerSums:
    """An organization's sums in the ledger in one currency, in cents.

    Attributes:
        owed_cents: What it owes for all its final invoices; below zero for credit.
        disputed_cents: What it paid and its bank holds back.
        refunded_cents: What was refunded of what it paid.
        paid_cents: What it paid.
        is_charged: Someone charged its balance at Stripe by hand, at any time.
        lost_cents: The balance that Stripe deleted with the customer, in none of these sums; below zero is credit.
    """

    currency: str
    owed_cents: int
    disputed_cents: int = 0
    refunded_cents: int = 0
    paid_cents: int = 0
    is_charged: bool = False
    lost_cents: int = 0


class InvoiceAmounts(Protocol):
    """The part of an invoice that the balance is calculated from.

    Attributes:
        month: As `2026-09`.
        status: As in the table invoices.
        in_stripe: None if Stripe does not have the invoice.
        is_waiting: It is final and will be sent to Stripe.
    """

    @property
    def month(self) -> str: ...
    @property
    def status(self) -> str: ...
    @property
    def currency(self) -> str: ...
    @property
    def total_cents(self) -> int | None: ...
    @property
    def in_stripe(self) -> StripeAmounts | None: ...
    @property
    def is_waiting(self) -> bool: ...


@dataclass(frozen=True)
class Balance:
    """An organization's debt in one currency, in cents. At least one of `credit` and `carried_over` is 0.

    Attributes:
        owed: The sum of the amounts that unpaid invoices ask for.
        unpaid: The number of these invoices.
        billed: Their totals.
        noted: The part of these that credit notes at Stripe took back.
        part_paid: The part of these that was paid so far.
        earlier: The part of `owed` that is not in their totals: negative if credit was deducted, positive if earlier
            invoices were too small to charge.
        credit: The amount by which the next invoice is reduced.
        carried_over: The amount that the next invoice asks for in addition.
        waiting: The totals of unpaid invoices that are not in Stripe yet.
        disputed, refunded, paid, is_charged: See `LedgerSums`. They are no part of `owed`.
    """

    owed: int = 0
    unpaid: int = 0
    earlier: int = 0
    credit: int = 0
    carried_over: int = 0
    billed: int = 0
    noted: int = 0
    part_paid: int = 0
    waiting: int = 0
    disputed: int = 0
    refunded: int = 0
    paid: int = 0
    is_charged: bool = False

    @property
    def total(self) -> int:
        """The sum in the ledger: the amount owed, with the balance for the next invoice."""
        return self.owed - self.credit + self.carried_over

    def calculation(self) -> list[tuple[str, int]]:
        """Return the sum as lines of text and amount, with subtotals; empty if it is just the unpaid invoices."""
        due = [*self._due()]
        balance = [*self._for_the_next_invoice()]
        lines = [*due, ("Owed", self.owed)] if len(due) > 1 or (due and balance) else due
        if not balance:
            return lines if len(lines) > 1 else []
        return [*lines, *balance, *([("Balance", self.total)] if due or len(balance) > 1 else [])]

    def _due(self) -> Iterator[tuple[str, int]]:
        if self.unpaid:
            yield f"Unpaid invoices ({self.unpaid})", self.billed
        if self.noted:
            yield "Credit notes", -self.noted
        if self.earlier > 0:
            yield "Carried over" if self.is_charged else _CARRIED_OVER, self.earlier
        if self.earlier < 0:
            yield "Credit", self.earlier
        if self.part_paid:
            yield "Paid so far", -self.part_paid

    def _for_the_next_invoice(self) -> Iterator[tuple[str, int]]:
        if self.credit:
            yield "Credit for the next invoice", -self.credit
        if self.carried_over:
            yield "Added to the next invoice" if self.is_charged else _TOO_SMALL, self.carried_over


def balances(invoices: Iterable[InvoiceAmounts], ledger: Iterable[LedgerSums] = ()) -> dict[str, Balance]:
    """Return the balance of each currency in which the organization has a final invoice with an amount, or an entry.

    Args:
        ledger: The organization's sums. Without one, the balance is what it was when Stripe finalized the last invoice.
    """
    by_currency: dict[str, list[InvoiceAmounts]] = defaultdict(list)
    sums: Mapping[str, LedgerSums] = {each.currency: each for each in ledger}
    for invoice in sorted(invoices, key=lambda invoice: invoice.month):
        if invoice.total_cents and (invoice.status == "finalized" or invoice.in_stripe):
            by_currency[invoice.currency].append(invoice)
    found = {currency: _balance(by_currency[currency], sums.get(currency)) for currency in {*by_currency, *sums}}
    return {currency: found[currency] for currency in sorted(found)}


def _balance(invoices: Sequence[InvoiceAmounts], ledger: LedgerSums | None) -> Balance:
    """Return the balance after these invoices, oldest first."""
    unpaid = [invoice for invoice in invoices if invoice.status == "finalized"]
    balance = _at_stripe(invoices) if ledger is None else ledger.owed_cents - sum(map(_asked, unpaid))
    asked: list[tuple[int, InvoiceAmounts]] = []
    for invoice in unpaid:
        if invoice.in_stripe:
            due = _asked(invoice)
        else:  # Stripe will apply the balance to it
            total = _total(invoice)
            due, balance = max(0, total + balance), min(0, total + balance)
        if due:
            asked.append((due, invoice))
    owed = sum(due for due, _ in asked)
    billed = sum(_total(invoice) for _, invoice in asked)
    noted = sum(invoice.in_stripe.noted_cents for _, invoice in asked if invoice.in_stripe)
    part_paid = sum(invoice.in_stripe.part_paid_cents for _, invoice in asked if invoice.in_stripe)
    return Balance(
        owed,
        len(asked),
        owed - billed + noted + part_paid,
        credit=max(0, -balance),
        carried_over=max(0, balance),
        billed=billed,
        noted=noted,
        part_paid=part_paid,
        waiting=sum(_total(invoice) for _, invoice in asked if invoice.is_waiting),
        disputed=ledger.disputed_cents if ledger else 0,
        refunded=ledger.refunded_cents if ledger else 0,
        paid=ledger.paid_cents if ledger else 0,
        is_charged=ledger is not None and ledger.is_charged,
    )


def _at_stripe(invoices: Sequence[InvoiceAmounts]) -> int:
    newest = max((invoice.in_stripe for invoice in invoices if invoice.in_stripe), key=_finalized_at, default=None)
    return newest.balance_cents if newest else 0


def _asked(invoice: InvoiceAmounts) -> int:
    """Return what Stripe asks for an unpaid invoice, or its total if Stripe does not have it."""
    at_stripe = invoice.in_stripe
    return at_stripe.remaining_cents if at_stripe else _total(invoice)


def _total(invoice: InvoiceAmounts) -> int:
    return invoice.total_cents or 0


def _finalized_at(amounts: StripeAmounts) -> datetime:
    return amounts.finalized_at
