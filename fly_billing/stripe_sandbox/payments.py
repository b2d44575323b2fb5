"""/v1/invoice_payments: the reason why an invoice's payment failed. Since API version basil it is not on the invoice.

Has one payment for each invoice whose payment failed at least once, as one PaymentIntent is retried. Not here: the
invoice's own fields (`finalizing`).
"""

from fly_billing.stripe_sandbox import lines, paging, params
from fly_billing.stripe_sandbox.events import emit
from fly_billing.stripe_sandbox.store import Json, Store, new_id

INTENT = "data.payment.payment_intent"
LIST: params.Spec = {
    **paging.PAGE,
    "invoice": params.string(),
    "status": params.choice("canceled", "open", "paid"),
    "expand": params.array_of(params.choice(INTENT)),
    **params.unsupported("created", "payment"),
}


def fail(store: Store, invoice: Json, error: Json, next_attempt_seconds: int | None) -> None:
    """Fail the payment of an open invoice. If `next_attempt_seconds` is None, Stripe does not try again."""
    now = store.now()
    again = None if next_attempt_seconds is None else now + next_attempt_seconds
    invoice.update(attempted=True, attempt_count=invoice["attempt_count"] + 1, next_payment_attempt=again)
    store.save(invoice)
    _keep(store, invoice, error)
    emit(store, "invoice.payment_failed", lines.shown(store, invoice))


def _keep(store: Store, invoice: Json, error: Json) -> None:
    payment = store.payment_of(invoice["id"]) or {
        "id": new_id("inpay"),
        "object": "invoice_payment",
        "amount_paid": None,
        "amount_requested": invoice["amount_due"],
        "created": store.now(),
        "currency": invoice["currency"],
        "invoice": invoice["id"],
        "is_default": True,
        "livemode": False,
        "payment": {"type": "payment_intent", "payment_intent": _intent(store, invoice)},
        "status": "open",
        "status_transitions": {"canceled_at": None, "paid_at": None},
    }
    payment["payment"]["payment_intent"] |= {"last_payment_error": error, "status": "requires_payment_method"}
    store.keep_payment(payment)


def _intent(store: Store, invoice: Json) -> Json:
    return {
        "id": new_id("pi"),
        "object": "payment_intent",
        "amount": invoice["amount_due"],
        "created": store.now(),
        "currency": invoice["currency"],
        "customer": invoice["customer"],
        "livemode": False,
    }


def listing(store: Store, ids: Json, wanted: Json) -> Json:
    """List payments, newest first. The PaymentIntent is an id, or an object if `expand` names it."""
    is_full = INTENT in (wanted.get("expand") or [])
    found = [_shown(body, is_full) for body in store.payments(wanted.get("invoice"), wanted.get("status"))]
    limit = wanted.get("limit", 10)
    return paging.listing("/v1/invoice_payments", found[:limit], len(found) > limit)


def _shown(body: Json, is_full: bool) -> Json:
    if is_full:
        return body
    return {**body, "payment": {**body["payment"], "payment_intent": body["payment"]["payment_intent"]["id"]}}


def settle(store: Store, invoice: Json) -> None:
    """Mark the payment as paid, if the invoice has a failed one."""
    payment = store.payment_of(invoice["id"])
    if payment:
        payment.update(status="paid", amount_paid=invoice["amount_paid"])
        payment["status_transitions"]["paid_at"] = store.now()
        payment["payment"]["payment_intent"] |= {"last_payment_error": None, "status": "succeeded"}
        store.keep_payment(payment)
