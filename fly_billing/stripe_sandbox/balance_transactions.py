"""/v1/balance_transactions: each movement of money on the platform's own account at Stripe.

Charges add, refunds and disputes take away; `fee` is Stripe's price for it. Not here: the customer's balance
(`balances`).
"""

from fly_billing.stripe_sandbox import paging, params
from fly_billing.stripe_sandbox.params import string
from fly_billing.stripe_sandbox.store import Json, Store, new_id

KIND = "balance_transaction"
LIST: params.Spec = {
    **paging.PAGE,
    **params.EXPAND,
    "created": params.time_filter(),
    "currency": params.currency(),
    "source": string(),
    "type": string(),
    **params.unsupported("payout"),
}
# The type of a movement -> the category under which Stripe's reports sum it up.
CATEGORIES = {
    "charge": "charge",
    "refund": "refund",
    "refund_failure": "refund_failure",
    "dispute": "dispute",
    "dispute_reversal": "dispute_reversal",
}


def record(store: Store, category: str, source: Json, amount: int, fee: int = 0) -> Json:
    """Record a movement that an object caused, and return it."""
    now = store.now()
    details = {"amount": fee, "application": None, "currency": source["currency"], "description": "Dispute fee"}
    body = {
        "id": new_id("txn"),
        "object": KIND,
        "amount": amount,
        "available_on": now,
        "balance_type": "payments",
        "created": now,
        "currency": source["currency"],
        "description": None,
        "exchange_rate": None,
        "fee": fee,
        "fee_details": [{**details, "type": "stripe_fee"}] if fee else [],
        "net": amount - fee,
        "reporting_category": CATEGORIES[category],
        "source": source["id"],
        "status": "available",
        "type": "adjustment" if category.startswith("dispute") else category,
    }
    store.insert(body)
    return body


def retrieve(store: Store, ids: Json, wanted: Json) -> Json:
    """Return a movement."""
    return store.known(KIND, ids["id"], param="id", name="balance transaction")


def listing(store: Store, ids: Json, wanted: Json) -> Json:
    """List movements, newest first."""
    return paging.listing("/v1/balance_transactions", *paging.newest(store, KIND, wanted))
