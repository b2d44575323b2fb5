"""Named actions of the control API: those of people in Stripe's dashboard, banks and cardholders.

Each action takes one id: of its own object, of an invoice (by id or number), whose charge, refund or dispute is meant,
or of a customer. Stripe's rules apply. Not here: edits against the rules (`control`).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from fly_billing.stripe_sandbox import (
    balances,
    cards,
    credit_notes,
    customers,
    disputes,
    finalizing,
    lines,
    refunds,
    taxes,
)
from fly_billing.stripe_sandbox.errors import StripeError
from fly_billing.stripe_sandbox.payments import PAID_WITH, charge_of
from fly_billing.stripe_sandbox.pipeline import Pipeline
from fly_billing.stripe_sandbox.store import Json, Store

Act = Callable[[Store, Json, Json], Json]
OBJECT = "select body from objects where id = ? or (object = 'invoice' and body ->> '$.number' = ?) limit 1"
LATEST = "select body from objects where object = ? and body ->> '$.charge' = ? order by seq desc limit 1"
NOTE = "select body from objects where +object = 'credit_note' and invoice = ? order by seq desc limit 1"
EVENTS = "select type from events where seq > ? order by seq"
PAYS_WITH = ("refund", "credit", "out_of_band")


@dataclass(frozen=True)
class DashboardAction:
    """A dashboard action.

    Attributes:
        of: The kind of object that it acts on.
        act: Called with the store, that object and the request's fields; returns the object that it made or changed.
        amount: "required", "optional" (without one: all that is left) or None.
    """

    of: str
    meaning: str
    act: Act
    amount: str | None = None


def _credit(store: Store, customer: Json, given: Json) -> Json:
    return _adjust(store, customer, -given["amount"], given)


def _debit(store: Store, customer: Json, given: Json) -> Json:
    return _adjust(store, customer, given["amount"], given)


def _adjust(store: Store, customer: Json, change: int, given: Json) -> Json:
    currency = given.get("currency") or customer["currency"] or balances.ACCOUNT_CURRENCY
    return balances.post(store, customer["id"], currency, change, "adjustment", description=given.get("description"))


def _give_card(store: Store, customer: Json, given: Json) -> Json:
    return _card(store, customer, given.get("card", customers.NEW_CARD))


def _break_card(store: Store, customer: Json, given: Json) -> Json:
    return _card(store, customer, "pm_card_chargeCustomerFail")


def _card(store: Store, customer: Json, token: str) -> Json:
    card = cards.attach(store, token, customer["id"])
    return customers.update(
        store, {"customer": customer["id"]}, {"invoice_settings": {"default_payment_method": card["id"]}}
    )


def _invoice(call: Act, **wanted: Any) -> Act:
    return lambda store, invoice, given: call(store, {"invoice": invoice["id"]}, dict(wanted))


def _overpay(store: Store, invoice: Json, given: Json) -> Json:
    return finalizing.overpay(store, invoice, given["amount"])


def _pay_part(store: Store, invoice: Json, given: Json) -> Json:
    return finalizing.pay_part(store, invoice, given["amount"], outside=bool(given.get("outside")))


def _credit_note(store: Store, invoice: Json, given: Json) -> Json:
    """Credit an amount; what was paid already goes where `to` says: refund, credit or out_of_band.

    It takes back its part of the taxes, unless the person leaves them out (`without_tax`).
    """
    to = given.get("to", "credit")
    if to not in PAYS_WITH:
        raise ValueError(f"to is one of {', '.join(PAYS_WITH)}")
    paid = given["amount"] - min(given["amount"], invoice["amount_remaining"])
    split = {f"{to}_amount": paid} if paid else {}
    what = {"amount": given["amount"]} if given.get("without_tax") else _taxed(invoice, given["amount"])
    return credit_notes.create(store, {}, {"invoice": invoice["id"], **what, **split})


def _taxed(invoice: Json, amount: int) -> Json:
    """Return a line with its part of the invoice's taxes, as the dashboard calculates it."""
    if not invoice["total_taxes"]:
        return {"amount": amount}
    found = taxes.share(invoice["total_taxes"], amount, invoice["total"])
    added = sum(tax["amount"] for tax in found if tax["tax_behavior"] == "exclusive")
    given = [
        {name: tax[name] for name in ("amount", "taxable_amount")} | {"tax_rate": tax["tax_rate_details"]["tax_rate"]}
        for tax in found
    ]
    return {"lines": [{"type": "custom_line_item", "unit_amount": amount - added, "tax_amounts": given}]}


def _refund(store: Store, charge: Json, given: Json) -> Json:
    return refunds.of_charge(store, charge, given.get("amount"), given.get("reason"))


def _dispute(store: Store, charge: Json, given: Json) -> Json:
    return disputes.open_dispute(store, charge, given.get("amount"), given.get("reason", "fraudulent"))


def _void_credit_note(store: Store, note: Json, given: Json) -> Json:
    return credit_notes.void(store, {"id": note["id"]}, {})


def _fail_refund(store: Store, refund: Json, given: Json) -> Json:
    return refunds.fail(store, refund["id"], given.get("reason", refunds.FAILURES[0]))


def _win_dispute(store: Store, dispute: Json, given: Json) -> Json:
    return disputes.win(store, dispute)


def _lose_dispute(store: Store, dispute: Json, given: Json) -> Json:
    return disputes.lose(store, dispute)


ACTIONS = {
    "credit": DashboardAction("customer", "credit the customer balance", _credit, "required"),
    "debit": DashboardAction("customer", "debit the customer balance", _debit, "required"),
    "give-card": DashboardAction("customer", "give the customer a card that pays", _give_card),
    "break-card": DashboardAction("customer", "give the customer a card that declines every charge", _break_card),
    "pay": DashboardAction("invoice", "charge the customer's card", _invoice(finalizing.pay)),
    "mark-paid": DashboardAction(
        "invoice", "record a payment outside of Stripe", _invoice(finalizing.pay, paid_out_of_band=True)
    ),
    "pay-part": DashboardAction(
        "invoice",
        "charge the customer's card with a part of the invoice, or record it outside of Stripe",
        _pay_part,
        "required",
    ),
    "overpay": DashboardAction(
        "invoice", "record a payment outside of Stripe that is this much too large", _overpay, "required"
    ),
    "send": DashboardAction("invoice", "send the invoice to the customer", _invoice(finalizing.send)),
    "void": DashboardAction("invoice", "void the invoice", _invoice(finalizing.void)),
    "write-off": DashboardAction(
        "invoice", "mark the invoice as uncollectible", _invoice(finalizing.mark_uncollectible)
    ),
    "credit-note": DashboardAction("invoice", "issue a credit note", _credit_note, "required"),
    "void-credit-note": DashboardAction("credit_note", "void a credit note", _void_credit_note),
    "refund": DashboardAction("charge", "refund the charge, or a part of it", _refund, "optional"),
    "fail-refund": DashboardAction("refund", "let the bank send the refund back", _fail_refund),
    "dispute": DashboardAction(
        "charge", "let the cardholder dispute the charge, or a part of it", _dispute, "optional"
    ),
    "win-dispute": DashboardAction("dispute", "let the platform win", _win_dispute),
    "lose-dispute": DashboardAction("dispute", "let the cardholder win", _lose_dispute),
}


def list_actions(pipeline: Pipeline, ids: Json, given: Json) -> Json:
    """Return the actions: name, kind of object, meaning, and whether they take an amount."""
    return {
        "data": [
            {"name": name, "of": action.of, "meaning": action.meaning, "amount": action.amount}
            for name, action in ACTIONS.items()
        ]
    }


def act(pipeline: Pipeline, ids: Json, given: Json) -> Json:
    """Do an action to the object with this `id`; return the object that it made or changed, and the events."""
    store, action = pipeline.store, ACTIONS.get(ids["action"])
    if action is None:
        raise LookupError(f"{ids['action']}; the actions are {', '.join(ACTIONS)}")
    _check_amount(action, given)
    declined: StripeError | None = None
    last = store.db.execute("select coalesce(max(seq), 0) from events").fetchone()[0]
    with store.transaction():
        try:
            made = action.act(store, _subject(store, action.of, str(given.get("id"))), given)
        except cards.DeclinedChargeError as error:
            declined = error  # a declined charge is recorded
    if declined:
        raise declined
    return {"object": made, "events": [row["type"] for row in store.db.execute(EVENTS, (last,))]}


def _check_amount(action: DashboardAction, given: Json) -> None:
    amount = given.get("amount")
    if amount is None and action.amount == "required":
        raise ValueError("an amount is missing")
    if amount is not None and (action.amount is None or type(amount) is not int or amount <= 0):
        raise ValueError("amount is a whole number of minor units above zero, for actions that take one")


def subject(pipeline: Pipeline, ids: Json, given: Json) -> Json:
    """Return the object that an action with this id would act on."""
    return _subject(pipeline.store, ACTIONS[ids["action"]].of, str(given.get("id")))


def _subject(store: Store, kind: str, id: str) -> Json:
    """Return the object of a kind that an id means, directly or through its invoice. Raises LookupError."""
    body = next(iter(store.bodies(OBJECT, (id, id))), None)
    if body is None:
        raise LookupError(id)
    if body["object"] == kind:
        return body
    found = _of_invoice(store, body, kind) if body["object"] == "invoice" else None
    if found is None:
        raise LookupError(f"{id} has no {kind.replace('_', ' ')}")
    return found


def _of_invoice(store: Store, invoice: Json, kind: str) -> Json | None:
    if kind == "customer":
        return customers.living(store, invoice["customer"])
    if kind == "credit_note":
        return next(iter(store.bodies(NOTE, (invoice["id"],))), None)
    charges = (charge_of(store, payment) for payment in store.bodies(PAID_WITH, (invoice["id"],)))
    charge = next(filter(None, charges), None)
    if charge is None or kind == "charge":
        return charge
    return next(iter(store.bodies(LATEST, (kind, charge["id"]))), None)


def fail_payment(pipeline: Pipeline, ids: Json, given: Json) -> Json:
    """Fail the payment of an open invoice. If `next_attempt_seconds` is null, Stripe does not try again."""
    error = {"type": "card_error", "code": "card_declined", "message": cards.DECLINED}
    error |= {name: given[name] for name in ("code", "decline_code", "message") if name in given}
    with pipeline.store.transaction():
        invoice = lines.known(pipeline.store, ids["id"], param="id")
        return finalizing.fail_payment(pipeline.store, invoice, error, given.get("next_attempt_seconds", 3 * 86400))


def fail_finalization(pipeline: Pipeline, ids: Json, given: Json) -> Json:
    """Fail Stripe's automatic finalization of a draft."""
    message = given.get("message", "The customer's location isn't recognized.")
    code = given.get("code", "customer_tax_location_invalid")
    with pipeline.store.transaction():
        invoice = lines.known(pipeline.store, ids["id"], param="id")
        return finalizing.fail_finalization(pipeline.store, invoice, code, message)
