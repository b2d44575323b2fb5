"""Changes of an invoice's status after draft: finalize, send, pay, void, mark uncollectible; and numbers.

After finalization only credit notes change an amount. Drafts with auto_advance are finalized when the clock is moved to
an hour after their creation. Not here: totals (`totals`), and edits to drafts.
"""

from fly_billing.stripe_sandbox import balances, customers, invoices, lines, params, payments, tax_id_values
from fly_billing.stripe_sandbox.errors import StripeError
from fly_billing.stripe_sandbox.events import emit
from fly_billing.stripe_sandbox.money import written
from fly_billing.stripe_sandbox.store import Json, Store
from fly_billing.stripe_sandbox.totals import settled, update_totals

FINALIZE: params.Spec = {"auto_advance": params.boolean(), **params.EXPAND}
PAY: params.Spec = {
    "off_session": params.boolean(),
    "paid_out_of_band": params.boolean(),
    "payment_method": params.string(unsettable=False),
    **params.EXPAND,
    **params.unsupported("forgive", "mandate", "source"),
}
DUE = """
select body from objects
where object = 'invoice' and status = 'draft' and body ->> '$.automatically_finalizes_at' <= ?
order by seq
"""


def finalize(store: Store, ids: Json, wanted: Json) -> Json:
    """Finalize a draft: number it, apply the customer balance, and open it, or mark it paid if nothing is due."""
    invoice = lines.known(store, ids["invoice"], param="id")
    if invoice["status"] != "draft":
        raise StripeError("This invoice is already finalized, you can't re-finalize a non-draft invoice.")
    if "auto_advance" in wanted:
        invoice["auto_advance"] = wanted["auto_advance"]
    _close(store, invoice)
    return lines.shown(store, invoice)


def finalize_overdue_drafts(store: Store) -> int:
    """Finalize all drafts whose automatic finalization is due; return their number. Refused ones stay drafts."""
    overdue = store.bodies(DUE, (store.now(),))
    return sum(_closed(store, invoice) for invoice in overdue)


def _closed(store: Store, invoice: Json) -> bool:
    try:
        _close(store, invoice)
    except StripeError as refused:
        fail_finalization(store, invoice, refused.code or refused.type, refused.message)
        return False
    return True


def _close(store: Store, invoice: Json) -> None:
    customer = customers.require(store, invoice["customer"])
    update_totals(store, invoice)
    invoice.update(invoices.of_customer(customer), customer_tax_ids=tax_id_values.of_customer(store, customer["id"]))
    minimum = store.settings.minimum_charge(invoice["currency"])
    due, ending = settled(invoice["total"], invoice["starting_balance"], minimum)
    invoice.update(
        status="open",
        amount_due=due,
        amount_remaining=due,
        ending_balance=ending,
        effective_at=invoice["effective_at"] or store.now(),
        number=invoice["number"] or _next_number(customer),
        automatically_finalizes_at=None,
        next_payment_attempt=None,
        hosted_invoice_url=f"https://invoice.stripe.com/i/acct_sandbox/{invoice['id']}",
        invoice_pdf=f"https://pay.stripe.com/invoice/{invoice['id']}/pdf",
    )
    invoice["last_finalization_error"] = None
    invoice["status_transitions"]["finalized_at"] = store.now()
    store.save({**customer, "currency": customer["currency"] or invoice["currency"]})
    balances.apply(store, invoice)
    _save_with_event(store, "invoice.finalized", invoice)
    if due > 0:
        payments.expect(store, invoice)
        return
    invoice["attempted"] = True
    mark_paid(store, invoice)


def fail_finalization(store: Store, invoice: Json, code: str, message: str) -> Json:
    """Fail Stripe's automatic finalization of a draft."""
    if invoice["status"] != "draft":
        raise ValueError("only a draft can fail to finalize")
    invoice["last_finalization_error"] = {"type": "invalid_request_error", "code": code, "message": message}
    return _save_with_event(store, "invoice.finalization_failed", invoice)


def fail_payment(store: Store, invoice: Json, error: Json, next_attempt_seconds: int | None) -> Json:
    """Fail an attempt to collect an open invoice. Without a next attempt, Stripe does not try again."""
    if invoice["status"] != "open":
        raise ValueError("only the payment of an open invoice can fail")
    again = None if next_attempt_seconds is None else store.now() + next_attempt_seconds
    payments.fail(store, invoice, error, again)
    return invoice


def _next_number(customer: Json) -> str:
    """Return the next invoice number of the customer's sequence."""
    sequence = customer["next_invoice_sequence"]
    customer["next_invoice_sequence"] = sequence + 1
    return f"{customer['invoice_prefix']}-{sequence:04d}"


def mark_paid(store: Store, invoice: Json) -> None:
    """Mark an invoice as paid: whatever was due is paid now."""
    invoice.update(status="paid", amount_paid=invoice["amount_due"], amount_remaining=0)
    invoice["next_payment_attempt"] = None
    invoice["status_transitions"]["paid_at"] = store.now()
    _save_with_event(store, "invoice.paid", invoice)


def _save_with_event(store: Store, type: str, invoice: Json) -> Json:
    """Save the invoice, and record an event for its change."""
    store.save(invoice)
    shown = lines.shown(store, invoice)
    emit(store, type, shown)
    return shown


def pay(store: Store, ids: Json, wanted: Json) -> Json:
    """Pay an invoice with a card, or record that it was paid outside of Stripe; a draft is finalized first."""
    invoice = lines.known(store, ids["invoice"], param="id")
    if invoice["status"] == "paid":
        raise StripeError("Invoice is already paid")
    if invoice["status"] == "void":
        raise StripeError("Voided invoices cannot be paid.")
    if invoice["status"] == "draft":
        _close(store, invoice)
    if invoice["status"] != "paid":
        _collect(store, invoice, wanted)
        mark_paid(store, invoice)
        if not wanted.get("paid_out_of_band"):
            emit(store, "invoice.payment_succeeded", lines.shown(store, invoice))
    return lines.shown(store, invoice)


def overpay(store: Store, invoice: Json, excess: int) -> Json:
    """Record a payment outside of Stripe that is too large; the excess becomes the customer's credit."""
    _require_open(invoice)
    _collect(store, invoice, {"paid_out_of_band": True})
    invoice["amount_overpaid"] = excess
    mark_paid(store, invoice)
    about = {"invoice": invoice["id"]}
    balances.post(store, invoice["customer"], invoice["currency"], -excess, "invoice_overpaid", **about)
    return _save_with_event(store, "invoice.overpaid", invoice)


def pay_part(store: Store, invoice: Json, amount: int, *, outside: bool = False) -> Json:
    """Charge the customer's card with a part of an invoice, or record that it was paid outside of Stripe."""
    if invoice["status"] not in ("open", "uncollectible"):
        raise StripeError(f"You can't pay a part of an invoice that is {invoice['status']}.")
    if amount > invoice["amount_remaining"]:
        remaining = written(invoice["amount_remaining"], invoice["currency"])
        raise StripeError(f"The payment can't exceed the amount remaining ({remaining}).", param="amount")
    if outside:
        payments.take_part_outside(store, invoice, amount)
        invoice["amount_paid_off_stripe"] += amount
    else:
        payments.charge_part(store, invoice, amount, payments.card_for(store, invoice, None))
    invoice["amount_paid"] += amount
    invoice["amount_remaining"] -= amount
    if not invoice["amount_remaining"]:
        payments.cancel(store, invoice, None)
        mark_paid(store, invoice)
        return lines.shown(store, invoice)
    payments.resize(store, invoice)
    return _save_with_event(store, "invoice.updated", invoice)


def _collect(store: Store, invoice: Json, wanted: Json) -> None:
    if wanted.get("paid_out_of_band"):
        invoice["amount_paid_off_stripe"] += invoice["amount_remaining"]
        payments.cancel(store, invoice, None)
        return
    card = payments.card_for(store, invoice, wanted.get("payment_method"))
    payments.charge(store, invoice, card)
    invoice.update(attempted=True, attempt_count=invoice["attempt_count"] + 1)


def send(store: Store, ids: Json, wanted: Json) -> Json:
    """Send an invoice to its customer; a draft is finalized first. No mail leaves the sandbox, only an event."""
    invoice = lines.known(store, ids["invoice"], param="id")
    if invoice["collection_method"] != "send_invoice":
        raise StripeError("You can only manually send an invoice if its collection method is 'send_invoice'.")
    if invoice["status"] == "void":
        raise StripeError("You can't send an invoice that has been voided.")
    if not customers.require(store, invoice["customer"])["email"]:
        raise StripeError(
            "Missing email. In order to create invoices that are sent to the customer, the customer must have a valid "
            "email."
        )
    if invoice["status"] == "draft":
        _close(store, invoice)
    return _save_with_event(store, "invoice.sent", invoice)


def void(store: Store, ids: Json, wanted: Json) -> Json:
    """Void an open or uncollectible invoice and return the balance that it used."""
    invoice = lines.known(store, ids["invoice"], param="id")
    if invoice["status"] == "paid" or store.bodies(payments.PAID_WITH, (invoice["id"],)):
        raise StripeError("Invoices with `paid` payments cannot be voided.")
    if invoice["status"] != "uncollectible":
        _require_open(invoice)
    balances.give_back(store, invoice)
    payments.cancel(store, invoice, "void_invoice")
    invoice.update(status="void", auto_advance=False, next_payment_attempt=None)
    invoice["status_transitions"]["voided_at"] = store.now()
    return _save_with_event(store, "invoice.voided", invoice)


def mark_uncollectible(store: Store, ids: Json, wanted: Json) -> Json:
    """Mark an open invoice as uncollectible."""
    invoice = lines.known(store, ids["invoice"], param="id")
    if invoice["status"] == "uncollectible":
        raise StripeError("This invoice has already been marked uncollectible.")
    _require_open(invoice)
    invoice.update(status="uncollectible", auto_advance=False)
    invoice["status_transitions"]["marked_uncollectible_at"] = store.now()
    return _save_with_event(store, "invoice.marked_uncollectible", invoice)


def _require_open(invoice: Json) -> None:
    if invoice["status"] != "open":
        raise StripeError("You can only pass in open invoices. This invoice isn't open.")
