"""Compares what organizations owe by the ledger with what Stripe asks for, and names each difference's cause. Pure.

The amount owed is the rest of our invoices in Stripe, final invoices not sent yet, and the customer balance there.
Not here: reading both sides (`ledger.owed_and_asked`), and faults inside of an invoice, which
`stripe_sync.rules.reconciliation` compares.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date

from fly_billing.money import format_cents
from fly_billing.periods import BillingMonth

STATUS, AMOUNT, FOREIGN, BALANCE, ELSEWHERE, CURRENCY, DELETED, UNEXPLAINED, TRIAL = KINDS = (
    "status", "amount", "foreign", "balance", "used_elsewhere", "other_currency", "customer_deleted", "unexplained",
    "trial_balance",
)  # fmt: skip
# The kinds that a command can fix by reading the objects at Stripe again.
READ_AGAIN = frozenset({STATUS, AMOUNT, BALANCE})


@dataclass(frozen=True)
class OwedAndAsked:
    """An organization's sums in one currency, in cents, as the statement `owed_and_asked` describes them."""

    organization_id: str
    currency: str
    receivable: int
    balance: int
    trial: int
    waiting: int
    asked: int
    balance_there: int | None
    billed_in: str
    used_elsewhere: int
    unread: int = 0
    lost: int = 0


@dataclass(frozen=True)
class InvoiceAtStripe:
    """An invoice that differs at Stripe, in cents. `month` and `status` are None if it is not ours."""

    organization_id: str
    currency: str
    stripe_invoice_id: str
    month: date | None
    status: str | None
    status_there: str
    here: int
    there: int


@dataclass(frozen=True)
class AskedDifference:
    """A difference between the amounts owed and asked for at Stripe. `kind` is one of KINDS; amounts are in cents."""

    kind: str
    organization_id: str
    currency: str
    here: int
    there: int
    cause: str
    what_to_do: str
    stripe_invoice_id: str | None = None

    def as_row(self, month: BillingMonth) -> dict[str, str]:
        """Return the row of the check that fails."""
        return {
            "month": str(month),
            "organization_id": self.organization_id,
            "kind": self.kind,
            "what": self.cause,
            "owed here": format_cents(self.here, self.currency),
            "asked in Stripe": format_cents(self.there, self.currency),
            "difference": format_cents(self.here - self.there, self.currency),
            "what to do": self.what_to_do,
        }


def compare_owed(sums: Iterable[OwedAndAsked], invoices: Iterable[InvoiceAtStripe]) -> list[AskedDifference]:
    """Return each difference with its cause. No difference means that every organization owes what Stripe asks for."""
    of_invoices = [_of_invoice(invoice) for invoice in invoices]
    named: dict[tuple[str, str], int] = defaultdict(int)
    for difference in of_invoices:
        if difference.kind != FOREIGN:
            named[difference.organization_id, difference.currency] += difference.here - difference.there
    of_sums = [each for both in sums for each in _of_sums(both, named[both.organization_id, both.currency])]
    return sorted([*of_invoices, *of_sums], key=lambda each: (each.organization_id, each.currency, each.kind))


def _of_invoice(invoice: InvoiceAtStripe) -> AskedDifference:
    kind, cause, what_to_do = _cause(invoice)
    return AskedDifference(
        kind, invoice.organization_id, invoice.currency, invoice.here, invoice.there, cause, what_to_do,
        invoice.stripe_invoice_id,
    )  # fmt: skip


def _cause(invoice: InvoiceAtStripe) -> tuple[str, str, str]:
    if invoice.month is None or invoice.status is None:
        cause = f"{invoice.stripe_invoice_id} asks for money in Stripe and is not ours"
        return FOREIGN, cause, "find out who made it; void it in Stripe, or collect it there"
    name = f"the invoice of {invoice.month:%Y-%m} ({invoice.stripe_invoice_id})"
    status = "open" if invoice.status == "finalized" else invoice.status
    if status != invoice.status_there:
        cause = f"{name} is {invoice.status_there} in Stripe and {status} here"
        return STATUS, cause, "`fly-billing repair` reads it again; it needs a decision if both are final"
    cause = f"{name} asks for another amount: a credit note or a part of a payment in Stripe is not recorded"
    return AMOUNT, cause, "`fly-billing repair` reads its credit notes again"


_DELETED = (
    "the customer was deleted in Stripe, and its balance with it: the next invoice does not use it",
    "connect the organization with its new customer (organizations.stripe_customer_id), and give or charge the amount"
    " there",
)


def _of_sums(both: OwedAndAsked, named: int) -> Iterator[AskedDifference]:
    balance_there = both.balance_there or 0
    moved = both.balance - balance_there
    rest = both.receivable - both.waiting - both.asked - named
    if moved:
        if rest == -moved:  # an invoice's use of the balance is posted with both parts
            rest = 0
        yield _sum(
            both, BALANCE, both.balance, balance_there, "the customer balance differs",
            "`fly-billing repair` reads its changes again",
        )  # fmt: skip
    if rest and rest == both.unread:
        yield _sum(
            both, BALANCE, rest, 0, "an invoice used the customer balance, and this change of it is not read yet",
            "the next poll reads it, or `fly-billing repair`",
        )  # fmt: skip
    elif rest and rest == -both.used_elsewhere:
        yield _sum(
            both, ELSEWHERE, rest, 0, "invoices in Stripe that are not ours used the customer balance",
            "give the customer the amount back in Stripe, or void these invoices there",
        )  # fmt: skip
    elif rest:
        owed = both.receivable - both.waiting - named
        yield _sum(
            both, UNEXPLAINED, owed, both.asked, "no invoice, credit note or balance explains it",
            "compare `fly-billing ledger` with the customer's page in Stripe's dashboard",
        )  # fmt: skip
    if balance_there and both.currency != both.billed_in and not both.waiting:
        yield _sum(
            both, CURRENCY, both.balance, balance_there,
            f"the customer balance is in {both.currency}, and the invoices are in {both.billed_in}: none can use it",
            f"agree with the customer on the amount in {both.billed_in}, and move it there in Stripe",
        )  # fmt: skip
    if both.lost:
        yield _sum(both, DELETED, both.lost, 0, *_DELETED)
    if both.trial:
        yield _sum(
            both, TRIAL, both.trial, 0, "the ledger's accounts do not add up to zero",
            "rows of the ledger were changed: restore them from a backup",
        )  # fmt: skip


def _sum(both: OwedAndAsked, kind: str, here: int, there: int, cause: str, what_to_do: str) -> AskedDifference:
    return AskedDifference(kind, both.organization_id, both.currency, here, there, cause, what_to_do)
