"""/v1/refunds: the whole or a part of a charge goes back to the customer's card, and may come back as failed.

Not here: the credit note that a refund may belong to (`credit_notes`).
"""

from fly_billing.stripe_sandbox import balance_transactions, paging, params
from fly_billing.stripe_sandbox.errors import StripeError, exclusive_params
from fly_billing.stripe_sandbox.events import emit
from fly_billing.stripe_sandbox.money import written
from fly_billing.stripe_sandbox.params import merged_metadata, string
from fly_billing.stripe_sandbox.store import Json, Store, new_id

UPDATE: params.Spec = {**params.EXPAND, "metadata": params.metadata()}
CREATE: params.Spec = {
    **UPDATE,
    "amount": params.integer(1),
    "charge": string(unsettable=False),
    "payment_intent": string(unsettable=False),
    "reason": params.choice("duplicate", "fraudulent", "requested_by_customer"),
    **params.unsupported(
        "currency", "customer", "instructions_email", "origin", "refund_application_fee", "reverse_transfer"
    ),
}
LIST: params.Spec = {
    **paging.PAGE,
    **params.EXPAND,
    "charge": string(),
    "created": params.time_filter(),
    "payment_intent": string(),
}
DISPUTED = "select 1 from objects where object = 'dispute' and body ->> '$.charge' = ? and status <> 'won'"
# Why a bank sends a refund back.
FAILURES = ("lost_or_stolen_card", "expired_or_canceled_card", "unknown")


def create(store: Store, ids: Json, wanted: Json) -> Json:
    """Refund a charge, or the part that `amount` names."""
    if "charge" in wanted and "payment_intent" in wanted:
        raise exclusive_params("charge", "payment_intent", param="payment_intent")
    charge = _charge_of(store, wanted)
    return of_charge(store, charge, wanted.get("amount"), wanted.get("reason"), wanted.get("metadata"))


def _charge_of(store: Store, wanted: Json) -> Json:
    if "charge" in wanted:
        return _charge(store, wanted["charge"], "charge")
    if "payment_intent" not in wanted:
        raise StripeError("One of the following params should be provided for this request: payment_intent or charge.")
    intent = store.known("payment_intent", wanted["payment_intent"], param="payment_intent", status=400)
    if intent["status"] != "succeeded":
        raise StripeError(
            f"This PaymentIntent ({intent['id']}) does not have a successful charge to refund.", param="payment_intent"
        )
    return _charge(store, intent["latest_charge"], "payment_intent")


def _charge(store: Store, id: str, param: str) -> Json:
    return store.known("charge", id, param=param, status=400)


def of_charge(
    store: Store, charge: Json, amount: int | None, reason: str | None, metadata: dict[str, str] | None = None
) -> Json:
    """Refund an amount of a charge, or without one the rest of it. Raises StripeError."""
    left = charge["amount"] - charge["amount_refunded"]
    _check(store, charge, left, amount)
    refund: Json = {
        "id": new_id("re"),
        "object": "refund",
        "amount": left if amount is None else amount,
        "charge": charge["id"],
        "created": store.now(),
        "currency": charge["currency"],
        "metadata": merged_metadata({}, metadata),
        "payment_intent": charge["payment_intent"],
        "reason": reason,
        "receipt_number": None,
        "source_transfer_reversal": None,
        "status": "succeeded",
        "transfer_reversal": None,
    }
    refund["balance_transaction"] = balance_transactions.record(store, "refund", refund, -refund["amount"])["id"]
    store.insert(refund)
    _change_refunded(store, charge, refund["amount"])
    emit(store, "refund.created", refund)
    emit(store, "charge.refunded", store.find("charge", charge["id"]) or charge)
    return refund


def _check(store: Store, charge: Json, left: int, amount: int | None) -> None:
    if charge["status"] != "succeeded":
        raise StripeError(f"Charge {charge['id']} failed; it cannot be refunded.", param="charge")
    if store.db.execute(DISPUTED, (charge["id"],)).fetchone():
        raise StripeError(
            f"Charge {charge['id']} has been charged back; cannot issue a refund.", code="charge_disputed"
        )
    if left == 0:
        raise StripeError(f"Charge {charge['id']} has already been refunded.", code="charge_already_refunded")
    if amount is not None and amount > left:
        currency = charge["currency"]
        raise StripeError(
            f"Refund amount ({written(amount, currency)}) is greater than unrefunded amount on charge "
            f"({written(left, currency)})",
            param="amount",
        )


def _change_refunded(store: Store, charge: Json, change: int) -> None:
    refunded = charge["amount_refunded"] + change
    store.save({**charge, "amount_refunded": refunded, "refunded": refunded == charge["amount"]})


def fail(store: Store, id: str, reason: str) -> Json:
    """Let a bank send a refund back: the money returns to the platform, and the charge counts as not refunded."""
    refund = store.known("refund", id, param="id")
    if refund["status"] != "succeeded":
        raise ValueError(f"a refund that is {refund['status']} can't fail")
    returned = balance_transactions.record(store, "refund_failure", refund, refund["amount"])
    refund |= {"status": "failed", "failure_reason": reason, "failure_balance_transaction": returned["id"]}
    store.save(refund)
    _change_refunded(store, _charge(store, refund["charge"], "charge"), -refund["amount"])
    for type in ("refund.updated", "refund.failed", "charge.refund.updated"):
        emit(store, type, refund)
    return refund


def cancel(store: Store, ids: Json, wanted: Json) -> Json:
    """Cancel a refund that waits for the customer. Refunds to cards never do, so Stripe refuses to cancel them."""
    refund = retrieve(store, ids, {})
    if refund["status"] != "requires_action":
        raise StripeError("Only refunds with the status `requires_action` can be canceled.", param="refund")
    returned = balance_transactions.record(store, "refund_failure", refund, refund["amount"])
    refund |= {"status": "canceled", "failure_balance_transaction": returned["id"]}
    store.save(refund)
    _change_refunded(store, _charge(store, refund["charge"], "charge"), -refund["amount"])
    for type in ("refund.updated", "charge.refund.updated"):
        emit(store, type, refund)
    return refund


def retrieve(store: Store, ids: Json, wanted: Json) -> Json:
    """Return a refund."""
    return store.known("refund", ids["refund"], param="refund")


def update(store: Store, ids: Json, wanted: Json) -> Json:
    """Change the metadata of a refund."""
    body = retrieve(store, ids, {})
    if "metadata" in wanted:
        body["metadata"] = merged_metadata(body["metadata"] or {}, wanted["metadata"])
        store.save(body)
        emit(store, "refund.updated", body)
    return body


def listing(store: Store, ids: Json, wanted: Json) -> Json:
    """List refunds, newest first."""
    return paging.listing("/v1/refunds", *paging.newest(store, "refund", wanted))
