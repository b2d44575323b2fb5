"""Calculates what an organization owes, from its invoices and what Stripe asks for them. Pure.

Stripe keeps a balance of each customer. A negative invoice becomes credit there, a total below the smallest amount that
Stripe charges is carried over, and people credit amounts in the dashboard. The next invoice that Stripe finalizes asks
for its total with this balance, so the amounts due are what the customer pays.

Not here: changes of the balance in the dashboard since Stripe finalized the last invoice.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol


@dataclass(frozen=True)
class StripeAmounts:
    """What Stripe did with an invoice when it finalized it, in cents of the invoice's currency.

    Attributes:
        due_cents: What it asked for: the total with the customer's balance.
        balance_cents: The balance after that: negative for credit, positive for an amount that is carried over.
    """

    due_cents: int
    balance_cents: int
    finalized_at: datetime


class InvoiceAmounts(Protocol):
    """The part of an invoice that the balance is calculated from.

    Attributes:
        month: As `2026-09`.
        status: As in the table invoices.
        in_stripe: None if Stripe does not have the invoice.
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


@dataclass(frozen=True)
class Balance:
    """What an organization owes in one currency, in cents. At least one of `credit` and `carried_over` is 0.

    Attributes:
        owed: The sum of the amounts that unpaid invoices ask for.
        unpaid: The number of these invoices.
        earlier: The part of `owed` that is not in their totals: negative if credit was deducted, positive if earlier
            invoices were too small to charge.
        credit: The amount by which the next invoice is reduced.
        carried_over: The amount that the next invoice asks for in addition.
    """

    owed: int = 0
    unpaid: int = 0
    earlier: int = 0
    credit: int = 0
    carried_over: int = 0


def balances(invoices: Iterable[InvoiceAmounts]) -> dict[str, Balance]:
    """Return the balance of each currency in which the organization has a final invoice with an amount."""
    by_currency: dict[str, list[InvoiceAmounts]] = defaultdict(list)
    for invoice in sorted(invoices, key=lambda invoice: invoice.month):
        if invoice.total_cents and (invoice.status == "finalized" or invoice.in_stripe):
            by_currency[invoice.currency].append(invoice)
    return {currency: _balance(some) for currency, some in sorted(by_currency.items())}


def _balance(invoices: Sequence[InvoiceAmounts]) -> Balance:
    """Return the balance after these invoices, oldest first."""
    newest = max((invoice.in_stripe for invoice in invoices if invoice.in_stripe), key=_finalized_at, default=None)
    balance = newest.balance_cents if newest else 0
    unpaid: list[tuple[int, int]] = []
    for invoice in invoices:
        total = invoice.total_cents or 0
        if invoice.status != "finalized":
            continue
        if invoice.in_stripe:
            due = invoice.in_stripe.due_cents
        else:  # Stripe will apply the balance to it
            due, balance = max(0, total + balance), min(0, total + balance)
        if due:
            unpaid.append((due, total))
    owed, billed = sum(due for due, _ in unpaid), sum(total for _, total in unpaid)
    return Balance(owed, len(unpaid), owed - billed, credit=max(0, -balance), carried_over=max(0, balance))


def _finalized_at(amounts: StripeAmounts) -> datetime:
    return amounts.finalized_at
