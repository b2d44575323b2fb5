"""/v1/credit_notes: take back a part of a finalized invoice.

A credit note first lowers what remains to be paid. What exceeds that was paid already: it is refunded, credited to the
customer balance, or settled outside of Stripe, as the request says. Not here: lines (`credit_note_lines`).
"""

from fly_billing.stripe_sandbox import balances, finalizing, lines, paging, params, payments, refunds, taxes
from fly_billing.stripe_sandbox import credit_note_lines as noted
from fly_billing.stripe_sandbox.errors import StripeError, no_such
from fly_billing.stripe_sandbox.events import emit
from fly_billing.stripe_sandbox.money import written
from fly_billing.stripe_sandbox.params import merged_metadata, string
from fly_billing.stripe_sandbox.store import Json, Store, new_id

REFUND: params.Spec = {
    "amount_refunded": params.integer(0),
    "refund": string(unsettable=False),
    "type": params.choice("payment_record_refund", "refund"),
    **params.unsupported("payment_record_refund"),
}
UPDATE: params.Spec = {**params.EXPAND, "memo": string(5000), "metadata": params.metadata(unsettable=False)}
CREATE: params.Spec = {
    **UPDATE,
    "amount": params.integer(0),
    "credit_amount": params.integer(0),
    "effective_at": params.integer(),
    "email_type": params.choice("credit_note", "none"),
    "invoice": params.required(string(unsettable=False)),
    "lines": params.array_of(params.hash_of(noted.LINE)),
    "out_of_band_amount": params.integer(0),
    "reason": params.choice("duplicate", "fraudulent", "order_change", "product_unsatisfactory"),
    "refund_amount": params.integer(0),
    "refunds": params.array_of(params.hash_of(REFUND)),
    **params.unsupported("shipping_cost"),
}
PREVIEW_LINES: params.Spec = {**CREATE, **paging.PAGE}
LIST: params.Spec = {
    **paging.PAGE,
    **params.EXPAND,
    "created": params.time_filter(),
    "customer": string(),
    "invoice": string(),
    **params.unsupported("customer_account"),
}
LIST_LINES: params.Spec = {**paging.PAGE, **params.EXPAND}
LINE = "credit note line item"
SO_FAR = """
select count(*) as notes, coalesce(sum(case when status = 'issued' then amount end), 0) as amount
from objects where invoice = ? and +object = 'credit_note'
"""


def create(store: Store, ids: Json, wanted: Json) -> Json:
    """Issue a credit note, and do what it says with the invoice, the card and the customer balance."""
    invoice = lines.known(store, wanted["invoice"], status=400)
    body = _made(store, invoice, wanted)
    store.insert(body)
    _pay_back(store, invoice, body, wanted)
    store.save(body)
    emit(store, "credit_note.created", shown(body))
    change_invoice(store, invoice, body["pre_payment_amount"], body["post_payment_amount"])
    return shown(body)


def preview(store: Store, ids: Json, wanted: Json) -> Json:
    """Return the credit note that the same request would create."""
    return shown(_made(store, lines.known(store, wanted["invoice"], status=400), wanted))


def preview_lines(store: Store, ids: Json, wanted: Json) -> Json:
    """List the lines of the credit note that the same request would create."""
    body = _made(store, lines.known(store, wanted["invoice"], status=400), wanted)
    return paging.part("/v1/credit_notes/preview/lines", body["lines"]["data"], wanted, LINE)


def _made(store: Store, invoice: Json, wanted: Json) -> Json:
    if invoice["status"] not in ("open", "paid"):
        raise StripeError("You can only create a credit note for an invoice that is open or paid.", param="invoice")
    found = noted.made(store, invoice, wanted)
    total = noted.total_of(found)
    taxed = taxes.merged(tax for line in found for tax in line["taxes"])
    net = total - sum(tax["amount"] for tax in taxed)
    so_far = store.db.execute(SO_FAR, (invoice["id"],)).fetchone()
    _check_total(invoice, total, so_far["amount"])
    before = min(total, invoice["amount_remaining"])
    _check_split(store, invoice, total - before, wanted)
    id, now = new_id("cn"), store.now()
    kind = "post_payment" if before == 0 else "pre_payment" if before == total else "mixed"
    return {
        "id": id,
        "object": "credit_note",
        "amount": total,
        "amount_shipping": 0,
        "created": now,
        "currency": invoice["currency"],
        "customer": invoice["customer"],
        "customer_account": None,
        "customer_balance_transaction": None,
        "discount_amount": 0,
        "discount_amounts": [],
        "effective_at": wanted.get("effective_at", now),
        "invoice": invoice["id"],
        "lines": paging.listing(f"/v1/credit_notes/{id}/lines", found, has_more=False),
        "livemode": False,
        "memo": wanted.get("memo"),
        "metadata": merged_metadata({}, wanted.get("metadata")),
        "number": f"{invoice['number']}-CN-{so_far['notes'] + 1:02d}",
        "out_of_band_amount": wanted.get("out_of_band_amount"),
        "pdf": f"https://pay.stripe.com/credit_notes/{id}/pdf",
        "post_payment_amount": total - before,
        "pre_payment_amount": before,
        "pretax_credit_amounts": [],
        "reason": wanted.get("reason"),
        "refunds": [],
        "shipping_cost": None,
        "status": "issued",
        "subtotal": sum(line["amount"] for line in found),
        "subtotal_excluding_tax": net,
        "total": total,
        "total_excluding_tax": net,
        "total_taxes": taxed,
        "type": kind,
        "voided_at": None,
    }


def _check_total(invoice: Json, total: int, so_far: int) -> None:
    currency = invoice["currency"]
    if total <= 0:
        raise StripeError("The total of a credit note must be greater than zero.", param="amount")
    if so_far + total > invoice["total"]:
        raise StripeError(
            f"The sum of credit notes ({written(so_far + total, currency)}) can't exceed the invoice total "
            f"({written(invoice['total'], currency)}).",
            param="amount",
        )


def _check_split(store: Store, invoice: Json, post_payment: int, wanted: Json) -> None:
    parts = [wanted.get(name, 0) for name in ("refund_amount", "credit_amount", "out_of_band_amount")]
    linked = [amount for _, amount in _linked(store, wanted)]
    if sum(parts) + sum(linked) != post_payment:
        currency = invoice["currency"]
        raise StripeError(
            f"The sum of refunds, credit amount and out of band amount ({written(sum(parts) + sum(linked), currency)}) "
            f"must equal the post payment amount ({written(post_payment, currency)})."
        )


def _linked(store: Store, wanted: Json) -> list[tuple[Json, int]]:
    """Return the refunds that a request links, each with the amount that counts for the credit note."""
    found = []
    for given in wanted.get("refunds", []):
        refund = store.find("refund", given.get("refund", ""))
        if refund is None:
            raise no_such("refund", given.get("refund", ""), param="refunds")
        found.append((refund, given.get("amount_refunded", refund["amount"])))
    return found


def _pay_back(store: Store, invoice: Json, body: Json, wanted: Json) -> None:
    """Refund, and credit the customer balance."""
    repaid = _linked(store, wanted)
    if wanted.get("refund_amount"):
        charge = _charge_of(store, invoice)
        repaid.append((refunds.of_charge(store, charge, wanted["refund_amount"], None), wanted["refund_amount"]))
    body["refunds"] = [
        {"amount_refunded": amount, "payment_record_refund": None, "refund": refund["id"], "type": "refund"}
        for refund, amount in repaid
    ]
    if wanted.get("credit_amount"):
        about = {"invoice": invoice["id"], "credit_note": body["id"]}
        credit = -wanted["credit_amount"]
        change = balances.post(store, invoice["customer"], invoice["currency"], credit, "credit_note", **about)
        body["customer_balance_transaction"] = change["id"]


def _charge_of(store: Store, invoice: Json) -> Json:
    paid_with = store.bodies(payments.PAID_WITH, (invoice["id"],))
    charges = [charge for payment in paid_with if (charge := payments.charge_of(store, payment))]
    if len(charges) == 1:
        return charges[0]
    if charges:  # not documented by Stripe: it names one charge, and `refunds` for any others
        raise StripeError(
            "This invoice has several payments: refund them, and link the refunds.", param="refund_amount"
        )
    raise StripeError("This invoice has no charge that could be refunded.", param="refund_amount")


def change_invoice(store: Store, invoice: Json, pre_payment: int, post_payment: int) -> None:
    """Lower what the invoice asks for (negative: raise it); the invoice is paid if nothing remains."""
    was_open = invoice["status"] == "open"
    invoice["amount_due"] -= pre_payment
    invoice["amount_remaining"] -= pre_payment
    invoice["pre_payment_credit_notes_amount"] += pre_payment
    invoice["post_payment_credit_notes_amount"] += post_payment
    if was_open and invoice["amount_remaining"] == 0:
        payments.cancel(store, invoice, None)
        finalizing.mark_paid(store, invoice)
        return
    store.save(invoice)
    if was_open:
        payments.resize(store, invoice)
    emit(store, "invoice.updated", lines.shown(store, invoice))


def shown(body: Json) -> Json:
    """Return a credit note as Stripe shows it, with its first ten lines."""
    return {**body, "lines": paging.part(body["lines"]["url"], body["lines"]["data"], {}, LINE)}


def _known(store: Store, id: str) -> Json:
    return store.known("credit_note", id, param="id", name="credit note")


def retrieve(store: Store, ids: Json, wanted: Json) -> Json:
    """Return a credit note with its first ten lines."""
    return shown(_known(store, ids["id"]))


def list_lines(store: Store, ids: Json, wanted: Json) -> Json:
    """List the lines of a credit note."""
    body = _known(store, ids["credit_note"])
    return paging.part(body["lines"]["url"], body["lines"]["data"], wanted, LINE)


def listing(store: Store, ids: Json, wanted: Json) -> Json:
    """List credit notes, newest first."""
    found, has_more = paging.newest(store, "credit_note", wanted)
    return paging.listing("/v1/credit_notes", [shown(body) for body in found], has_more)


def update(store: Store, ids: Json, wanted: Json) -> Json:
    """Change the memo or metadata of a credit note."""
    body = _known(store, ids["id"])
    if "memo" in wanted:
        body["memo"] = wanted["memo"]
    if "metadata" in wanted:
        body["metadata"] = merged_metadata(body["metadata"], wanted["metadata"])
    store.save(body)
    emit(store, "credit_note.updated", shown(body))
    return shown(body)


def void(store: Store, ids: Json, wanted: Json) -> Json:
    """Void a credit note of an open invoice: the invoice asks for the amount again."""
    body = _known(store, ids["id"])
    invoice = lines.known(store, body["invoice"])
    if body["status"] == "void":
        raise StripeError("This credit note has already been voided.")
    if invoice["status"] != "open":
        raise StripeError("You can only void a credit note if the associated invoice is open.")
    body |= {"status": "void", "voided_at": store.now()}
    store.save(body)
    emit(store, "credit_note.voided", shown(body))
    change_invoice(store, invoice, -body["pre_payment_amount"], -body["post_payment_amount"])
    return shown(body)
