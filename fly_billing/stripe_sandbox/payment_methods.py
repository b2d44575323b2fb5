"""/v1/payment_methods: a customer's cards, attached from Stripe's test tokens (`pm_card_visa`).

Not here: which tokens there are, and what a charge of a card does (`cards`).
"""

from fly_billing.stripe_sandbox import cards, customers, paging, params
from fly_billing.stripe_sandbox.events import emit
from fly_billing.stripe_sandbox.params import string
from fly_billing.stripe_sandbox.store import Json, Store

ATTACH: params.Spec = {
    **params.EXPAND,
    "customer": string(unsettable=False),
    **params.unsupported("customer_account"),
}
OF_CUSTOMER: params.Spec = {**paging.PAGE, **params.EXPAND, **params.unsupported("allow_redisplay", "type")}
LIST: params.Spec = {**OF_CUSTOMER, "customer": string(), **params.unsupported("customer_account")}


def attach(store: Store, ids: Json, wanted: Json) -> Json:
    """Attach a card to a customer."""
    customer = customers.require(store, wanted.get("customer", ""))
    body = cards.attach(store, ids["payment_method"], customer["id"])
    emit(store, "payment_method.attached", body)
    return body


def detach(store: Store, ids: Json, wanted: Json) -> Json:
    """Detach a card from its customer; the customer no longer pays with it."""
    body = retrieve(store, ids, {})
    customer = store.find("customer", body["customer"] or "")
    store.save({**body, "customer": None})
    if customer and not customer.get("deleted"):
        customers.forget_card(store, customer, body["id"])
    emit(store, "payment_method.detached", {**body, "customer": None})
    return {**body, "customer": None}


def retrieve(store: Store, ids: Json, wanted: Json) -> Json:
    """Return a card."""
    return store.known(cards.KIND, ids["payment_method"], param="payment_method", name="PaymentMethod")


def listing(store: Store, ids: Json, wanted: Json) -> Json:
    """List cards, newest first: those of the customer in the path or in the parameters."""
    customer = ids.get("customer") or wanted.get("customer")
    url = f"/v1/customers/{ids['customer']}/payment_methods" if "customer" in ids else "/v1/payment_methods"
    if customer:
        wanted = {**wanted, "customer": customers.living(store, customer)["id"]}
    return paging.listing(url, *paging.newest(store, cards.KIND, wanted))
