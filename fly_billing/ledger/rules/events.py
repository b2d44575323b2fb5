"""The entries that each event makes: a table for accountants. Pure.

The database posts an event in the transaction that causes it or records it; its function `ledger_rules()` holds the
same lines, which a test compares.

To add an event, add its lines here, to `ledger_rules()` in a migration, and to docs/ledger.md. Not here: reading the
amounts of an event from its source (the view `ledger_rebuilt`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from fly_billing.ledger.rules.accounts import ACCOUNTS, Side


@dataclass(frozen=True)
class EntryLine:
    """One entry of an event: the account, its side, and the name of the amount."""

    account: str
    side: Side
    amount: str

    def __post_init__(self) -> None:
        if self.account not in ACCOUNTS:
            raise ValueError(f"no account {self.account!r}")

    @property
    def sign(self) -> int:
        return 1 if self.side == "debit" else -1


@dataclass(frozen=True)
class LedgerEvent:
    """An event and its entries. `name` completes the sentence "posted because ..."."""

    key: str
    name: str
    lines: tuple[EntryLine, ...]


def _debit(account: str, amount: str) -> EntryLine:
    return EntryLine(account, "debit", amount)


def _credit(account: str, amount: str) -> EntryLine:
    return EntryLine(account, "credit", amount)


def _reversed(lines: tuple[EntryLine, ...]) -> tuple[EntryLine, ...]:
    """Swap the sides of the lines."""
    return tuple(EntryLine(line.account, "credit" if line.side == "debit" else "debit", line.amount) for line in lines)


# total = revenue + tax - credit. revenue: before tax, after discounts and promotions, which lower it. tax: added and
# contained. credit: what prepaid credit and credit notes paid, less what the invoice gives back to them.
_CHARGE = (
    _debit("receivable", "total"),
    _debit("customer_credit", "credit"),
    _credit("revenue", "revenue"),
    _credit("tax_payable", "tax"),
)
# noted: what credit notes at Stripe had taken back of a void invoice before; noted_tax: the tax in it.
_VOID = (
    *_reversed(_CHARGE),
    _debit("receivable", "noted"), _credit("revenue", "noted"),
    _debit("revenue", "noted_tax"), _credit("tax_payable", "noted_tax"),
)  # fmt: skip
_NOTE = (
    _debit("revenue", "unpaid"), _credit("receivable", "unpaid"),
    _debit("revenue", "repaid"), _credit("refunds", "repaid"),
    _debit("revenue", "outside"), _credit("cash", "outside"),
    _debit("tax_payable", "tax"), _credit("revenue", "tax"),
)  # fmt: skip
# asked: what Stripe asks for: the total, less credit and credit notes there, plus what was carried over.
_WRITE_OFF = (_debit("written_off", "asked"), _credit("receivable", "asked"))

EVENTS = {
    event.key: event
    for event in (
        LedgerEvent("invoice_finalized", "an invoice became final", _CHARGE),
        LedgerEvent("invoice_paid", "the customer paid an invoice", (
            _debit("cash", "asked"), _credit("receivable", "asked"),
        )),
        # part: what Stripe says is paid, less the parts before.
        LedgerEvent("invoice_part_paid", "the customer paid a part of an invoice", (
            _debit("cash", "part"), _credit("receivable", "part"),
        )),
        LedgerEvent("invoice_voided", "an invoice became void", _VOID),
        LedgerEvent("invoice_written_off", "an invoice can't be collected", _WRITE_OFF),
        LedgerEvent("written_off_invoice_paid", "an invoice was paid after it was written off", (
            _debit("cash", "asked"), _credit("written_off", "asked"),
        )),
        LedgerEvent("written_off_invoice_part_paid", "a part of an invoice was paid after it was written off", (
            _debit("cash", "part"), _credit("written_off", "part"),
        )),
        LedgerEvent("written_off_invoice_voided", "an invoice became void after it was written off", (
            *_VOID, *_reversed(_WRITE_OFF),
        )),
        # The credit note takes back revenue; the next invoice that draws it is taxed on less. returned: what it gives
        # back to credits that had paid the invoice.
        LedgerEvent("credit_note_issued", "a credit note corrected an invoice", (
            _debit("revenue", "note"), _credit("customer_credit", "note"),
            _debit("revenue", "returned"), _credit("customer_credit", "returned"),
        )),
        # Its sale is deferred revenue: the accountant defers there a sale that an invoice charged as revenue.
        LedgerEvent("prepaid_credit_granted", "prepaid credit was granted", (
            _debit("deferred_revenue", "granted"), _credit("customer_credit", "granted"),
        )),
        LedgerEvent("prepaid_credit_expired", "prepaid credit expired", (
            _debit("customer_credit", "left"), _credit("breakage", "left"),
        )),
        # applied: below zero if credit at Stripe paid a part, or if Stripe carries the amount over.
        LedgerEvent("stripe_balance_applied", "Stripe applied the customer's balance to an invoice", (
            _debit("receivable", "applied"), _credit("stripe_balance", "applied"),
        )),
        LedgerEvent("stripe_credit_given", "someone gave credit in Stripe's dashboard", (
            _debit("revenue", "given"), _credit("stripe_balance", "given"),
        )),
        LedgerEvent("stripe_credit_taken", "someone took credit or charged the balance in Stripe's dashboard", (
            _debit("stripe_balance", "taken"), _credit("revenue", "taken"),
        )),
        LedgerEvent("stripe_overpayment", "a customer paid more than an invoice asked for", (
            _debit("cash", "overpaid"), _credit("stripe_balance", "overpaid"),
        )),
        # unpaid: it lowers what an open invoice asks for. repaid: refunds pay it back, each an event of its own.
        # outside: it was paid back outside Stripe. A credit to the balance is the event after these. tax: of all of it.
        LedgerEvent("stripe_credit_note_issued", "someone issued a credit note in Stripe's dashboard", _NOTE),
        LedgerEvent("stripe_credit_note_voided", "someone voided a credit note in Stripe's dashboard",
                    _reversed(_NOTE)),
        LedgerEvent("stripe_credit_note_credited", "a credit note in Stripe's dashboard became credit there", (
            _debit("revenue", "credited"), _credit("stripe_balance", "credited"),
        )),
        LedgerEvent("payment_refunded", "a payment was refunded", (
            _debit("refunds", "refunded"), _credit("cash", "refunded"),
        )),
        LedgerEvent("refund_failed", "a refund came back", (
            _debit("cash", "refunded"), _credit("refunds", "refunded"),
        )),
        LedgerEvent("dispute_opened", "a bank took a payment back because of a dispute", (
            _debit("disputed", "disputed"), _credit("cash", "disputed"),
        )),
        LedgerEvent("dispute_won", "a dispute was won", (_debit("cash", "disputed"), _credit("disputed", "disputed"))),
        LedgerEvent("dispute_lost", "a dispute was lost", (
            _debit("written_off", "disputed"), _credit("disputed", "disputed"),
        )),
    )
}  # fmt: skip


def entries_of(event: str, amounts: Mapping[str, int]) -> dict[str, int]:
    """Return the entries of an event by account, in cents: debits are positive. Accounts with 0 are left out.

    Args:
        event: A key of `EVENTS`.
        amounts: Each amount that the event's lines name, in cents.

    Raises:
        ValueError: The entries do not sum to zero, so the amounts are wrong.
    """
    entries: dict[str, int] = {}
    for line in EVENTS[event].lines:
        entries[line.account] = entries.get(line.account, 0) + line.sign * amounts[line.amount]
    if total := sum(entries.values()):
        raise ValueError(f"the entries of {event} sum to {total} cents: {dict(amounts)}")
    return {account: cents for account, cents in entries.items() if cents}
