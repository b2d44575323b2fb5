"""An invoice's amounts: subtotal and total from its items, and the amount due after the customer balance.

The rule of settlement is one pure function, `settled`. Not here: statuses, and when the balance is applied
(`finalizing`).
"""

from collections.abc import Sequence

from fly_billing.stripe_sandbox import balances, taxes
from fly_billing.stripe_sandbox.store import Json, Store

SUM = "select coalesce(sum(amount), 0) as total from objects where invoice = ? and +object = 'invoiceitem'"


def settled(total: int, balance: int, minimum: int) -> tuple[int, int]:
    """Return (amount due, ending balance) in minor units for a total and a starting balance.

    Credit (a negative balance) is used first, and debt is collected with the total. An amount below the minimum charge,
    or below zero, is carried over in the balance.
    """
    owed = total + balance
    return (owed, 0) if owed >= minimum else (0, owed)


def update_totals(store: Store, invoice: Json) -> None:
    """Update a draft's amounts from its items and its customer's balance, and save it."""
    subtotal = int(store.db.execute(SUM, (invoice["id"],)).fetchone()["total"])
    taxed = taxes.of_lines(store, invoice["id"])
    customer = store.find("customer", invoice["customer"])
    has_balance = customer and not customer.get("deleted")
    balance = balances.balance_in(customer, invoice["currency"]) if customer and has_balance else 0
    invoice.update(figures(store, invoice["currency"], subtotal, balance, taxed))
    store.save(invoice)


def figures(store: Store, currency: str, subtotal: int, balance: int, taxed: Sequence[Json] = ()) -> Json:
    """Return the amounts of a draft, with the taxes of its lines."""
    added = sum(tax["amount"] for tax in taxed if tax["tax_behavior"] == "exclusive")
    contained = sum(tax["amount"] for tax in taxed if tax["tax_behavior"] == "inclusive")
    total = subtotal + added
    due, _ = settled(total, balance, store.settings.minimum_charge(currency))
    return {
        "subtotal": subtotal,
        "subtotal_excluding_tax": subtotal - contained,
        "total": total,
        "total_excluding_tax": subtotal - contained,
        "total_taxes": list(taxed),
        "amount_due": due,
        "amount_remaining": due,
        "starting_balance": balance,
    }
