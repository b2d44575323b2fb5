"""/v1/invoices: create, retrieve, update, list and delete, and the fields of an invoice.

Not here: lines (`lines`), amounts (`totals`), and changes of status after draft (`finalizing`).
"""

from fly_billing.stripe_sandbox import balances, cards, customers, lines, paging, params, tax_id_values
from fly_billing.stripe_sandbox.errors import StripeError, no_such, unsupported_param
from fly_billing.stripe_sandbox.events import emit
from fly_billing.stripe_sandbox.params import array_of, boolean, choice, integer, merged_metadata, metadata, string
from fly_billing.stripe_sandbox.store import Json, Store, new_id
from fly_billing.stripe_sandbox.totals import figures

DAY = 24 * 3600
DRAFT_WINDOW = 3600
COLLECTION = choice("charge_automatically", "send_invoice")
FIELDS: params.Spec = {
    "auto_advance": boolean(),
    "automatic_tax": params.hash_of({"enabled": params.required(boolean()), **params.unsupported("liability")}),
    "collection_method": COLLECTION,
    "default_payment_method": string(),
    "custom_fields": array_of(
        params.hash_of({"name": params.required(string(40)), "value": params.required(string(140))}), unsettable=True
    ),
    "days_until_due": integer(0, 365),
    "description": string(1500),
    "due_date": integer(),
    "effective_at": integer(),
    "footer": string(5000),
    "metadata": metadata(),
    "number": string(26),
    "statement_descriptor": string(22),
    **params.EXPAND,
    **params.unsupported(
        "account_tax_ids",
        "application_fee_amount",
        "automatically_finalizes_at",
        "default_source",
        "default_tax_rates",
        "discounts",
        "issuer",
        "on_behalf_of",
        "payment_settings",
        "rendering",
        "shipping_cost",
        "shipping_details",
        "transfer_data",
    ),
}
CREATE = {
    **FIELDS,
    "currency": params.currency(),
    "customer": params.required(string(unsettable=False)),
    "pending_invoice_items_behavior": choice("exclude", "include"),
    **params.unsupported("customer_account", "from_invoice", "subscription"),
}
LIST = {
    **paging.PAGE,
    "collection_method": COLLECTION,
    "created": params.time_filter(),
    "customer": string(),
    "due_date": params.time_filter(),
    "status": choice("draft", "open", "void", "paid", "uncollectible"),
    **params.EXPAND,
    **params.unsupported("customer_account", "subscription"),
}
EDITABLE_AFTER_DRAFT = {"auto_advance", "metadata"}
WRITABLE = ("auto_advance", "collection_method", "description", "effective_at", "footer", "statement_descriptor")
PENDING = "select body from objects where customer = ? and object = 'invoiceitem' and invoice is null order by seq desc"


def create(store: Store, ids: Json, wanted: Json) -> Json:
    """Create a draft; with `include` it takes the customer's pending items of its currency, newest first."""
    customer = customers.require(store, wanted["customer"])
    currency = wanted.get("currency") or customer["currency"] or "usd"
    invoice = _blank(store, customer, currency)
    _apply(store, invoice, wanted)
    store.insert(invoice)
    if wanted.get("pending_invoice_items_behavior") == "include":
        _take_pending(store, invoice)
    shown = lines.shown(store, invoice)
    emit(store, "invoice.created", shown)
    return shown


def _take_pending(store: Store, invoice: Json) -> None:
    pending = store.bodies(PENDING, (invoice["customer"],))
    waiting = [item for item in pending if item["currency"] == invoice["currency"]]
    lines.append(store, invoice, [], waiting[: store.settings.max_invoice_lines])


def _blank(store: Store, customer: Json, currency: str) -> Json:
    now = store.now()
    return {
        "id": new_id("in"),
        "object": "invoice",
        **_empty_fields(),
        "customer_tax_ids": tax_id_values.of_customer(store, customer["id"]),
        **of_customer(customer),
        **figures(store, currency, 0, balances.balance_in(customer, currency)),
        "attempt_count": 0,
        "attempted": False,
        "auto_advance": False,
        "billing_reason": "manual",
        "collection_method": "charge_automatically",
        "created": now,
        "currency": currency,
        "issuer": {"type": "self"},
        "livemode": False,
        "metadata": {},
        "period_end": now,
        "period_start": now,
        "status": "draft",
    }


def of_customer(customer: Json) -> Json:
    """Return an invoice's copy of its customer, as Stripe makes it for a draft and again when it is finalized."""
    copied = ("address", "email", "name", "phone", "shipping", "tax_exempt")
    return {"customer": customer["id"], **{f"customer_{name}": customer[name] for name in copied}}


def _empty_fields() -> Json:
    automatic_tax = {"disabled_reason": None, "enabled": False, "liability": None, "provider": None, "status": None}
    payment = {"default_mandate": None, "payment_method_options": None, "payment_method_types": None}
    moments = dict.fromkeys(("finalized_at", "marked_uncollectible_at", "paid_at", "voided_at"))
    zeros = (
        "amount_overpaid amount_paid amount_paid_off_stripe amount_shipping post_payment_credit_notes_amount "
        "pre_payment_credit_notes_amount"
    )
    lists = (
        "customer_tax_ids default_tax_rates discounts total_discount_amounts total_pretax_credit_amounts total_taxes"
    )
    nothing = (
        "account_country account_name account_tax_ids application automatically_finalizes_at custom_fields "
        "customer_account default_payment_method default_source description due_date effective_at ending_balance "
        "footer from_invoice hosted_invoice_url invoice_pdf last_finalization_error latest_revision "
        "next_payment_attempt number on_behalf_of parent receipt_number rendering shipping_cost shipping_details "
        "statement_descriptor test_clock webhooks_delivered_at"
    )
    return {
        **dict.fromkeys(nothing.split()),
        **dict.fromkeys(zeros.split(), 0),
        **{name: [] for name in lists.split()},
        "automatic_tax": automatic_tax,
        "payment_settings": payment,
        "status_transitions": moments,
    }


def retrieve(store: Store, ids: Json, wanted: Json) -> Json:
    """Return an invoice with its first ten lines."""
    return lines.shown(store, lines.known(store, ids["invoice"]))


def update(store: Store, ids: Json, wanted: Json) -> Json:
    """Change an invoice. After finalization only metadata and auto_advance may change."""
    invoice = lines.known(store, ids["invoice"], param="id")
    frozen = [name for name in wanted if name not in EDITABLE_AFTER_DRAFT]
    if invoice["status"] != "draft" and frozen:
        raise StripeError("Finalized invoices can't be updated in this way", param=frozen[0])
    _apply(store, invoice, wanted)
    store.save(invoice)
    return lines.shown(store, invoice)


def _apply(store: Store, invoice: Json, wanted: Json) -> None:
    if wanted.get("automatic_tax", {}).get("enabled"):
        raise unsupported_param("automatic_tax")
    invoice.update({name: wanted[name] for name in WRITABLE if name in wanted})
    if "metadata" in wanted:
        invoice["metadata"] = merged_metadata(invoice["metadata"], wanted["metadata"])
    if "default_payment_method" in wanted:
        invoice["default_payment_method"] = _card(store, invoice, wanted["default_payment_method"])
    if "custom_fields" in wanted:
        invoice["custom_fields"] = _custom_fields(wanted["custom_fields"])
    if "number" in wanted:
        invoice["number"] = _free_number(store, invoice, wanted["number"])
    if invoice["status"] == "draft":
        _set_dates(invoice, wanted)


def _card(store: Store, invoice: Json, id: str | None) -> str | None:
    if id:
        cards.of_customer(store, id, invoice["customer"], param="default_payment_method")
    return id


def _custom_fields(given: list[Json] | None) -> list[Json] | None:
    if given and len(given) > 4:
        raise StripeError("You can have up to 4 custom fields on an invoice.", param="custom_fields")
    return given or None


def _free_number(store: Store, invoice: Json, number: str | None) -> str | None:
    sql = "select id from objects where object = 'invoice' and body ->> '$.number' = ? and id <> ?"
    if number and store.db.execute(sql, (number, invoice["id"])).fetchone():
        raise StripeError(f"The invoice number {number} is already in use.", param="number")
    return number


def _set_dates(invoice: Json, wanted: Json) -> None:
    sent = invoice["collection_method"] == "send_invoice"
    if "due_date" in wanted or "days_until_due" in wanted:
        if not sent:
            raise StripeError(
                "You can only specify 'due_date' or 'days_until_due' if invoice collection method is 'send_invoice'."
            )
        days = wanted.get("days_until_due")
        invoice["due_date"] = wanted["due_date"] if days is None else invoice["created"] + days * DAY
    if sent and invoice["due_date"] is None:
        raise StripeError(
            "If invoice collection method is 'send_invoice', you must specify 'due_date' or 'days_until_due'."
        )
    automatic = invoice["auto_advance"]
    invoice["automatically_finalizes_at"] = invoice["created"] + DRAFT_WINDOW + 1 if automatic else None
    invoice["next_payment_attempt"] = invoice["created"] + DRAFT_WINDOW if automatic and not sent else None


def listing(store: Store, ids: Json, wanted: Json) -> Json:
    """List invoices, newest first, each with its first ten lines."""
    if wanted.get("customer") and store.find("customer", wanted["customer"]) is None:
        raise no_such("customer", wanted["customer"], param="customer")
    found, has_more = paging.newest(store, "invoice", wanted)
    return paging.listing("/v1/invoices", [lines.shown(store, invoice) for invoice in found], has_more)


def delete(store: Store, ids: Json, wanted: Json) -> Json:
    """Delete a draft and the items on it."""
    invoice = lines.known(store, ids["invoice"])
    if invoice["status"] != "draft":
        raise StripeError("You can only delete draft invoices.")
    store.delete_items(invoice["id"])
    store.delete(invoice["id"])
    return {"id": invoice["id"], "object": "invoice", "deleted": True}
