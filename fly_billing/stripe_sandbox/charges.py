"""/v1/charges, /v1/payment_intents and /v1/invoice_payments: reads of the payments of invoices.

Not here: charging (`payments`).
"""

from fly_billing.stripe_sandbox import paging, params
from fly_billing.stripe_sandbox.params import string
from fly_billing.stripe_sandbox.store import Json, Store

PAYMENT: params.Spec = {
    "payment_intent": string(unsettable=False),
    "type": params.required(params.choice("payment_intent", "payment_record")),
    **params.unsupported("payment_record"),
}
LIST_CHARGES: params.Spec = {
    **paging.PAGE,
    **params.EXPAND,
    "created": params.time_filter(),
    "customer": string(),
    "payment_intent": string(),
    **params.unsupported("transfer_group"),
}
LIST_INTENTS: params.Spec = {
    **paging.PAGE,
    **params.EXPAND,
    "created": params.time_filter(),
    "customer": string(),
    **params.unsupported("customer_account"),
}
INTENT: params.Spec = {**params.EXPAND, **params.unsupported("client_secret")}
LIST_PAYMENTS: params.Spec = {
    **paging.PAGE,
    **params.EXPAND,
    "created": params.time_filter(),
    "invoice": string(),
    "payment": params.hash_of(PAYMENT),
    "status": params.choice("canceled", "open", "paid"),
}


def charge(store: Store, ids: Json, wanted: Json) -> Json:
    """Return a charge."""
    return store.known("charge", ids["charge"], param="charge")


def intent(store: Store, ids: Json, wanted: Json) -> Json:
    """Return a PaymentIntent."""
    return store.known("payment_intent", ids["intent"], param="intent")


def payment(store: Store, ids: Json, wanted: Json) -> Json:
    """Return the payment of an invoice."""
    return store.known("invoice_payment", ids["invoice_payment"], param="invoice_payment")


def list_charges(store: Store, ids: Json, wanted: Json) -> Json:
    """List charges, newest first."""
    return paging.listing("/v1/charges", *paging.newest(store, "charge", wanted))


def list_intents(store: Store, ids: Json, wanted: Json) -> Json:
    """List PaymentIntents, newest first."""
    return paging.listing("/v1/payment_intents", *paging.newest(store, "payment_intent", wanted))


def list_payments(store: Store, ids: Json, wanted: Json) -> Json:
    """List payments of invoices, newest first."""
    named = wanted.pop("payment", {}).get("payment_intent")
    wanted = {**wanted, "paying_intent": named} if named else wanted
    return paging.listing("/v1/invoice_payments", *paging.newest(store, "invoice_payment", wanted))
