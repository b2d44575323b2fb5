"""The payment of an invoice: its PaymentIntent, charges of the customer's card, and the invoice payment between them.

Stripe makes the default payment when it finalizes an invoice with an amount due, and retries that one; it asks for all
that remains. A part of an invoice is a payment of its own. Not here: the invoice's own fields (`finalizing`), refunds
(`refunds`), reading payments (`charges`).
"""

from fly_billing.stripe_sandbox import balance_transactions, cards, lines
from fly_billing.stripe_sandbox.errors import StripeError
from fly_billing.stripe_sandbox.events import emit
from fly_billing.stripe_sandbox.store import Json, Store, new_id

OF_INVOICE = """
select body from objects
where invoice = ? and +object = 'invoice_payment' and body ->> '$.is_default'
order by seq desc limit 1
"""
PAID_WITH = """
select body from objects where invoice = ? and +object = 'invoice_payment' and status = 'paid' order by seq desc
"""
NO_CARD = (
    "This customer has no attached payment source or default payment method. Please consider adding a default payment "
    "method. For more information, visit "
    "https://stripe.com/docs/billing/subscriptions/payment-methods-setting#payment-method-priority."
)


def expect(store: Store, invoice: Json) -> Json:
    """Return the invoice's payment; make it, with its PaymentIntent, if there is none."""
    found = store.bodies(OF_INVOICE, (invoice["id"],))
    if found:
        return found[0]
    return _by_intent(store, invoice, invoice["amount_remaining"], is_default=True)


def _by_intent(store: Store, invoice: Json, amount: int, *, is_default: bool) -> Json:
    """Make a payment with its PaymentIntent."""
    intent = _intent(store, invoice, amount)
    store.insert(intent)
    return _payment(store, invoice, amount, {"type": "payment_intent", "payment_intent": intent["id"]}, is_default)


def _payment(store: Store, invoice: Json, amount: int, made_by: Json, is_default: bool) -> Json:
    payment = {
        "id": new_id("inpay"),
        "object": "invoice_payment",
        "amount_paid": None,
        "amount_requested": amount,
        "created": store.now(),
        "currency": invoice["currency"],
        "invoice": invoice["id"],
        "is_default": is_default,
        "livemode": False,
        "payment": made_by,
        "status": "open",
        "status_transitions": {"canceled_at": None, "paid_at": None},
    }
    store.insert(payment)
    return payment


def _intent(store: Store, invoice: Json, amount: int) -> Json:
    return {
        "id": new_id("pi"),
        "object": "payment_intent",
        "amount": amount,
        "amount_capturable": 0,
        "amount_received": 0,
        "canceled_at": None,
        "cancellation_reason": None,
        "capture_method": "automatic",
        "client_secret": None,
        "confirmation_method": "automatic",
        "created": store.now(),
        "currency": invoice["currency"],
        "customer": invoice["customer"],
        "description": f"Payment for Invoice {invoice['number']}",
        "last_payment_error": None,
        "latest_charge": None,
        "livemode": False,
        "metadata": {},
        "next_action": None,
        "payment_method": None,
        "payment_method_types": ["card"],
        "processing": None,
        "receipt_email": None,
        "setup_future_usage": None,
        "shipping": None,
        "status": "requires_payment_method",
    }


def intent_of(store: Store, payment: Json) -> Json:
    """Return the PaymentIntent of an invoice's payment; empty for one outside of Stripe."""
    return store.find("payment_intent", payment["payment"].get("payment_intent", "")) or {}


def charge_of(store: Store, payment: Json) -> Json | None:
    """Return the charge of a payment that was made; None if it was made outside of Stripe."""
    id = intent_of(store, payment).get("latest_charge")
    return store.find("charge", id) if id else None


def resize(store: Store, invoice: Json) -> None:
    """Ask for what remains, after a credit note changed it."""
    payment = expect(store, invoice)
    if payment["status"] == "open":
        store.save({**payment, "amount_requested": invoice["amount_remaining"]})
        store.save({**intent_of(store, payment), "amount": invoice["amount_remaining"]})


def card_for(store: Store, invoice: Json, given: str | None) -> Json:
    """Return the card that pays: the one in the request, the invoice's, or the customer's. Raises StripeError."""
    customer = store.find("customer", invoice["customer"]) or {}
    default = (customer.get("invoice_settings") or {}).get("default_payment_method")
    id = given or invoice["default_payment_method"] or default
    if id is None:
        raise StripeError(NO_CARD, code="resource_missing")
    if given in cards.CARDS:
        return cards.attach(store, given, invoice["customer"])
    return cards.of_customer(store, id, invoice["customer"], param="payment_method")


def charge(store: Store, invoice: Json, card: Json) -> None:
    """Charge the card with what remains, and mark the payment as paid. Raises DeclinedChargeError, once recorded."""
    error = cards.refusal(card)
    if error:
        fail(store, invoice, error, invoice["next_payment_attempt"], card)
        raise cards.DeclinedChargeError({**error, "charge": intent_of(store, expect(store, invoice))["latest_charge"]})
    _charge_payment(store, expect(store, invoice), invoice["amount_remaining"], card)


def charge_part(store: Store, invoice: Json, amount: int, card: Json) -> None:
    """Charge the card with a part of an invoice. Raises DeclinedChargeError, and records nothing of that."""
    error = cards.refusal(card)
    if error:
        raise cards.DeclinedChargeError(error)
    _charge_payment(store, _by_intent(store, invoice, amount, is_default=False), amount, card)


def take_part_outside(store: Store, invoice: Json, amount: int) -> None:
    """Record that a part of an invoice was paid outside of Stripe."""
    made_by = {"type": "payment_record", "payment_record": new_id("pr")}
    _mark_paid(store, _payment(store, invoice, amount, made_by, is_default=False), amount)


def _charge_payment(store: Store, payment: Json, amount: int, card: Json) -> None:
    intent = intent_of(store, payment)
    made = _charge(store, intent, amount, card)
    made["balance_transaction"] = balance_transactions.record(store, "charge", made, made["amount"])["id"]
    store.insert(made)
    received = {"amount": made["amount"], "amount_received": made["amount"], "latest_charge": made["id"]}
    ended = {"status": "succeeded", "last_payment_error": None, "payment_method": card["id"]}
    store.save({**intent, **received, **ended})
    emit(store, "charge.succeeded", made)
    emit(store, "payment_intent.succeeded", intent_of(store, payment))
    _mark_paid(store, payment, amount)


def _mark_paid(store: Store, payment: Json, amount: int) -> None:
    payment.update(status="paid", amount_paid=amount)
    payment["status_transitions"]["paid_at"] = store.now()
    store.save(payment)
    emit(store, "invoice_payment.paid", payment)


def _charge(store: Store, intent: Json, amount: int, card: Json | None, error: Json | None = None) -> Json:
    nothing = (
        "application application_fee application_fee_amount balance_transaction calculated_statement_descriptor "
        "failure_balance_transaction on_behalf_of outcome receipt_email receipt_number receipt_url review shipping "
        "source_transfer statement_descriptor statement_descriptor_suffix transfer_data transfer_group"
    )
    return {
        "id": new_id("ch"),
        "object": "charge",
        **dict.fromkeys(nothing.split()),
        "amount": amount,
        "amount_captured": 0 if error else amount,
        "amount_refunded": 0,
        "billing_details": {"address": None, "email": None, "name": None, "phone": None, "tax_id": None},
        "captured": error is None,
        "created": store.now(),
        "currency": intent["currency"],
        "customer": intent["customer"],
        "description": intent.get("description"),
        "disputed": False,
        "failure_code": error["code"] if error else None,
        "failure_message": error["message"] if error else None,
        "fraud_details": {},
        "livemode": False,
        "metadata": {},
        "paid": error is None,
        "payment_intent": intent["id"],
        "payment_method": card["id"] if card else None,
        "payment_method_details": {"card": dict(card["card"]), "type": "card"} if card else None,
        "refunded": False,
        "status": "failed" if error else "succeeded",
    }


def fail(store: Store, invoice: Json, error: Json, next_attempt_at: int | None, card: Json | None = None) -> None:
    """Record a failed attempt to collect an open invoice. If `next_attempt_at` is None, Stripe does not try again."""
    count = invoice["attempt_count"] + 1
    invoice.update(attempted=True, attempt_count=count, next_payment_attempt=next_attempt_at)
    store.save(invoice)
    intent = intent_of(store, expect(store, invoice))
    failed = _charge(store, intent, invoice["amount_remaining"], card, error)
    store.insert(failed)
    state = {"status": "requires_payment_method", "last_payment_error": error, "latest_charge": failed["id"]}
    store.save({**intent, **state})
    emit(store, "charge.failed", failed)
    emit(store, "payment_intent.payment_failed", {**intent, **state})
    emit(store, "invoice.payment_failed", lines.shown(store, invoice))


def cancel(store: Store, invoice: Json, reason: str | None) -> None:
    """Cancel the payment of an invoice that was voided, or paid in another way."""
    payment = next(iter(store.bodies(OF_INVOICE, (invoice["id"],))), None)
    if payment is None or payment["status"] != "open":
        return
    payment["status"] = "canceled"
    payment["status_transitions"]["canceled_at"] = store.now()
    store.save(payment)
    ended = {"status": "canceled", "canceled_at": store.now(), "cancellation_reason": reason}
    canceled = {**intent_of(store, payment), **ended}
    store.save(canceled)
    emit(store, "payment_intent.canceled", canceled)
