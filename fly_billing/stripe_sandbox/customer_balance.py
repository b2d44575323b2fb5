"""/v1/customers/{customer}/balance_transactions: manual credit and debit, and the reason of each change of a balance.

Not here: the balance itself (`balances`).
"""

from fly_billing.stripe_sandbox import balances, customers, paging, params
from fly_billing.stripe_sandbox.errors import no_such
from fly_billing.stripe_sandbox.params import merged_metadata, required, string
from fly_billing.stripe_sandbox.store import Json, Store

UPDATE: params.Spec = {
    "description": string(350),
    "metadata": params.metadata(),
    **params.EXPAND,
}
CREATE = {**UPDATE, "amount": required(params.integer()), "currency": required(params.currency())}
LIST = {**paging.PAGE, "created": params.time_filter(), "invoice": string(), **params.EXPAND}


def create(store: Store, ids: Json, wanted: Json) -> Json:
    """Credit (negative) or debit a customer manually."""
    customer = customers.living(store, ids["customer"])
    given = {name: wanted.get(name) for name in ("description", "metadata")}
    return balances.post(store, customer["id"], wanted["currency"], wanted["amount"], "adjustment", **given)


def listing(store: Store, ids: Json, wanted: Json) -> Json:
    """List a customer's transactions, newest first."""
    customer = customers.living(store, ids["customer"])["id"]
    found = paging.newest(store, balances.KIND, {**wanted, "customer": customer})
    return paging.listing(f"/v1/customers/{customer}/balance_transactions", *found)


def retrieve(store: Store, ids: Json, wanted: Json) -> Json:
    """Return a transaction of the customer."""
    body = store.find(balances.KIND, ids["transaction"])
    if body is None or body["customer"] != ids["customer"]:
        raise no_such("customer balance transaction", ids["transaction"], param="transaction", status=404)
    return body


def update(store: Store, ids: Json, wanted: Json) -> Json:
    """Change the description or metadata of a transaction. Its amount never changes."""
    body = retrieve(store, ids, {})
    if "description" in wanted:
        body["description"] = wanted["description"]
    if "metadata" in wanted:
        body["metadata"] = merged_metadata(body["metadata"], wanted["metadata"])
    store.save(body)
    return body
