"""/v1/disputes: a cardholder takes a charge back through the bank, and the bank decides who gets the money.

The dashboard opens and decides disputes (`dashboard`); the API can only accept one. The money leaves the platform's
account when the dispute is opened, with Stripe's fee, and returns if it is won. Not here: refunds (`refunds`).
"""

from fly_billing.stripe_sandbox import balance_transactions, paging, params
from fly_billing.stripe_sandbox.errors import StripeError
from fly_billing.stripe_sandbox.events import emit
from fly_billing.stripe_sandbox.params import merged_metadata, string
from fly_billing.stripe_sandbox.store import Json, Store, new_id

DAY = 24 * 3600
LIST: params.Spec = {
    **paging.PAGE,
    **params.EXPAND,
    "charge": string(),
    "created": params.time_filter(),
    "payment_intent": string(),
}
REASONS = ("fraudulent", "duplicate", "product_not_received", "subscription_canceled", "general")
EVIDENCE = (
    "access_activity_log billing_address cancellation_policy cancellation_policy_disclosure cancellation_rebuttal "
    "customer_communication customer_email_address customer_name customer_purchase_ip customer_signature "
    "duplicate_charge_documentation duplicate_charge_explanation duplicate_charge_id product_description receipt "
    "refund_policy refund_policy_disclosure refund_refusal_explanation service_date service_documentation "
    "shipping_address shipping_carrier shipping_date shipping_documentation shipping_tracking_number "
    "uncategorized_file uncategorized_text"
)
LONG_EVIDENCE = frozenset(
    "access_activity_log cancellation_policy_disclosure cancellation_rebuttal duplicate_charge_explanation "
    "product_description refund_policy_disclosure refund_refusal_explanation uncategorized_text".split()
)
UPDATE: params.Spec = {
    **params.EXPAND,
    "evidence": params.hash_of(
        {
            **{name: string(20_000 if name in LONG_EVIDENCE else 5_000) for name in EVIDENCE.split()},
            **params.unsupported("enhanced_evidence"),
        }
    ),
    "metadata": params.metadata(),
    "submit": params.boolean(),
}
UNDECIDED = ("needs_response", "under_review")


def open_dispute(store: Store, charge: Json, amount: int | None, reason: str) -> Json:
    """Take back a charge, or a part of what was not refunded of it."""
    left = charge["amount"] - charge["amount_refunded"]
    taken = left if amount is None else amount
    if charge["status"] != "succeeded" or charge["disputed"] or not 0 < taken <= left:
        raise ValueError(f"{charge['id']} can't be disputed: it failed, is disputed or refunded, or is smaller")
    if reason not in REASONS:
        raise ValueError(f"the reason of a dispute is one of {', '.join(REASONS)}")
    body = _new(store, charge, taken, reason)
    withdrawn = balance_transactions.record(store, "dispute", body, -taken, store.settings.dispute_fee)
    body["balance_transactions"] = [withdrawn]
    store.insert(body)
    store.save({**charge, "disputed": True})
    for type in ("charge.dispute.created", "charge.dispute.funds_withdrawn"):
        emit(store, type, body)
    return body


def _new(store: Store, charge: Json, amount: int, reason: str) -> Json:
    card = charge["payment_method_details"]["card"]
    deadline = {"due_by": store.now() + 10 * DAY, "has_evidence": False, "past_due": False, "submission_count": 0}
    return {
        "id": new_id("du"),
        "object": "dispute",
        "amount": amount,
        "balance_transactions": [],
        "charge": charge["id"],
        "created": store.now(),
        "currency": charge["currency"],
        "enhanced_eligibility_types": [],
        "evidence": {**dict.fromkeys(EVIDENCE.split()), "enhanced_evidence": {}},
        "evidence_details": {**deadline, "enhanced_eligibility": {}},
        "is_charge_refundable": False,
        "livemode": False,
        "metadata": {},
        "payment_intent": charge["payment_intent"],
        "payment_method_details": {
            "card": {"brand": card["brand"], "case_type": "chargeback", "network_reason_code": None},
            "type": "card",
        },
        "reason": reason,
        "status": "needs_response",
    }


def win(store: Store, body: Json) -> Json:
    """Let the platform win: the money returns, without the fee."""
    _require_undecided(body)
    body["status"] = "won"
    body["balance_transactions"].append(balance_transactions.record(store, "dispute_reversal", body, body["amount"]))
    store.save(body)
    for type in ("charge.dispute.closed", "charge.dispute.funds_reinstated"):
        emit(store, type, body)
    return body


def lose(store: Store, body: Json) -> Json:
    """Let the cardholder win: the money stays away."""
    _require_undecided(body)
    body["status"] = "lost"
    store.save(body)
    emit(store, "charge.dispute.closed", body)
    return body


def _require_undecided(body: Json) -> None:
    if body["status"] not in UNDECIDED:
        raise StripeError("This dispute is already closed.")


def close(store: Store, ids: Json, wanted: Json) -> Json:
    """Accept a dispute, which is then lost."""
    return lose(store, retrieve(store, ids, {}))


def retrieve(store: Store, ids: Json, wanted: Json) -> Json:
    """Return a dispute."""
    return store.known("dispute", ids["dispute"], param="dispute")


def update(store: Store, ids: Json, wanted: Json) -> Json:
    """Change the metadata of a dispute, and answer it with evidence, which the bank reviews once it is submitted."""
    body = retrieve(store, ids, {})
    if "metadata" in wanted:
        body["metadata"] = merged_metadata(body["metadata"], wanted["metadata"])
    if "evidence" in wanted:
        _require_undecided(body)
        body["evidence"] |= wanted["evidence"]
        body["evidence_details"]["has_evidence"] = any(body["evidence"][name] for name in EVIDENCE.split())
    if "evidence" in wanted and wanted.get("submit", True):
        body["evidence_details"]["submission_count"] += 1
        body["status"] = "under_review"
    if {"metadata", "evidence"} & wanted.keys():
        store.save(body)
        emit(store, "charge.dispute.updated", body)
    return body


def listing(store: Store, ids: Json, wanted: Json) -> Json:
    """List disputes, newest first."""
    return paging.listing("/v1/disputes", *paging.newest(store, "dispute", wanted))
