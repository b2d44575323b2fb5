"""The customer balance: one signed sum per currency, changed only by customer balance transactions.

A negative balance is credit, a positive one is debt. Finalizing an invoice applies the balance to it; voiding the
invoice returns what it used. Not here: the amount due that follows from a balance (`totals.settled`), and the endpoints
(`customer_balance`).
"""

from fly_billing.stripe_sandbox.events import emit
from fly_billing.stripe_sandbox.params import merged_metadata
from fly_billing.stripe_sandbox.store import Json, Store, new_id

KIND = "customer_balance_transaction"
# Stripe shows `balance`, in the customer's own currency. Balances in other currencies are kept in this field.
OTHERS = "_other_balances"
ACCOUNT_CURRENCY = "usd"


def shown(customer: Json) -> Json:
    """Return a customer as Stripe shows it."""
    return {name: value for name, value in customer.items() if name != OTHERS}


def balance_in(customer: Json, currency: str) -> int:
    """Return a customer's balance in one currency. A customer without a currency has the one that is asked for."""
    if customer["currency"] in (None, currency):
        return int(customer["balance"])
    return int(customer.get(OTHERS, {}).get(currency, 0))


def by_currency(customer: Json) -> dict[str, int]:
    """Return a customer's credit by currency, as `invoice_credit_balance` shows it: above zero is credit."""
    own = {customer["currency"]: customer["balance"]} if customer["currency"] else {}
    return {currency: -balance for currency, balance in {**own, **customer.get(OTHERS, {})}.items()}


def _with_balance(customer: Json, currency: str, balance: int) -> Json:
    if customer["currency"] in (None, currency):
        return {**customer, "balance": balance, "currency": currency}
    return {**customer, OTHERS: {**customer.get(OTHERS, {}), currency: balance}}


def post(
    store: Store,
    customer: str,
    currency: str,
    amount: int,
    type: str,
    *,
    invoice: str | None = None,
    credit_note: str | None = None,
    description: str | None = None,
    metadata: dict[str, str] | None = None,
) -> Json:
    """Change a customer's balance by `amount`, and return the transaction that states the reason."""
    body = store.find("customer", customer) or {}
    ending = balance_in(body, currency) + amount
    transaction = {
        "id": new_id("cbtxn"),
        "object": KIND,
        "amount": amount,
        "checkout_session": None,
        "created": store.now(),
        "credit_note": credit_note,
        "currency": currency,
        "customer": customer,
        "customer_account": None,
        "description": description,
        "ending_balance": ending,
        "invoice": invoice,
        "livemode": False,
        "metadata": merged_metadata({}, metadata),
        "type": type,
    }
    store.insert(transaction)
    changed = _with_balance(body, currency, ending)
    store.save(changed)
    emit(store, "customer.updated", shown(changed))
    return transaction


def set_to(store: Store, customer: Json, balance: int, type: str) -> None:
    """Set the balance in the customer's own currency."""
    currency = customer["currency"] or ACCOUNT_CURRENCY
    change = balance - balance_in(customer, currency)
    if change:
        post(store, customer["id"], currency, change, type)


def apply(store: Store, invoice: Json) -> None:
    """Apply the balance to an invoice that is being finalized: `starting_balance` becomes `ending_balance`.

    A total that is too small to charge is a debit of its own, after the credit is used up.
    """
    starting, ending = invoice["starting_balance"], invoice["ending_balance"]
    is_too_small = ending > 0 and invoice["total"] > 0
    too_small = ending - max(starting, 0) if is_too_small else 0
    applied = ending - starting - too_small
    for type, amount in (("applied_to_invoice", applied), ("invoice_too_small", too_small)):
        if amount:
            post(store, invoice["customer"], invoice["currency"], amount, type, invoice=invoice["id"])


def give_back(store: Store, invoice: Json) -> None:
    """Return the balance that a voided invoice used."""
    customer = store.find("customer", invoice["customer"])
    used = invoice["starting_balance"] - invoice["ending_balance"]
    if customer and not customer.get("deleted") and used:
        post(store, customer["id"], invoice["currency"], used, "unapplied_from_invoice", invoice=invoice["id"])
