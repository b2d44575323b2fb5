"""The accounts of an organization in one currency.

An entry has a sign: a debit is positive, a credit is negative. So a balance is a plain sum, and all balances of an
organization add up to zero. Not here: which event makes which entries (`ledger.rules.events`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from fly_billing.money import format_cents

Side = Literal["debit", "credit"]


@dataclass(frozen=True)
class LedgerAccount:
    """An account. `side` is where its balance usually is: there it is shown as a positive amount."""

    key: str
    name: str
    side: Side
    meaning: str

    def shown_cents(self, balance_cents: int) -> int:
        """Return the balance as accountants show it: positive on the account's usual side."""
        return balance_cents if self.side == "debit" else -balance_cents

    def text(self, balance_cents: int, currency: str) -> str:
        """Format the balance for people: `$12.00`, or `-$5.00` if it is on the other side."""
        return format_cents(self.shown_cents(balance_cents), currency)


# In the order of a balance sheet, then of an income statement.
ACCOUNTS = {
    account.key: account
    for account in (
        LedgerAccount("cash", "Cash", "debit", "what customers paid, less what was paid back"),
        LedgerAccount("receivable", "Receivable", "debit", "what final invoices charge and nobody has paid"),
        LedgerAccount("disputed", "Disputed", "debit", "payments that a bank holds back because of a dispute"),
        LedgerAccount(
            "stripe_balance", "Stripe customer balance", "credit",
            "the customer's credit at Stripe; below zero: an amount that Stripe carries over to the next invoice",
        ),
        LedgerAccount("tax_payable", "Tax payable", "credit", "tax that invoices charge, owed to tax offices"),
        LedgerAccount("customer_credit", "Customer credit", "credit", "prepaid credit and credit notes not used yet"),
        LedgerAccount("deferred_revenue", "Deferred revenue", "credit", "charged before it was supplied"),
        LedgerAccount("revenue", "Revenue", "credit", "what invoices charge before tax"),
        LedgerAccount("breakage", "Breakage", "credit", "prepaid credit that expired"),
        LedgerAccount("refunds", "Refunds", "debit", "money paid back to customers"),
        LedgerAccount("written_off", "Written off", "debit", "what can't be collected"),
    )
}  # fmt: skip
# The customer owes the sum of these accounts. Below zero: the customer has credit for the next invoice.
OWED = ("receivable", "stripe_balance")
