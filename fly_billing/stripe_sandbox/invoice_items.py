"""/v1/invoiceitems: amounts that are pending on a customer until an invoice includes them, or go directly onto a draft.

Not here: the item's fields and prices (`items`), and edits through an invoice (`lines`).
"""

from fly_billing.stripe_sandbox import customers, items, lines, paging, params
from fly_billing.stripe_sandbox.errors import StripeError, missing_param, not_editable
from fly_billing.stripe_sandbox.params import decimal, required, string
from fly_billing.stripe_sandbox.store import Json, Store
from fly_billing.stripe_sandbox.totals import update_totals

UPDATE = {
    **items.PRICED,
    "price_data": items.ITEM_PRICE,
    "unit_amount_decimal": decimal(),
    **params.EXPAND,
    **params.unsupported("tax_behavior", "tax_code"),
}
CREATE = {
    **UPDATE,
    "currency": params.currency(),
    "customer": required(string(unsettable=False)),
    "invoice": string(),
    **params.unsupported("customer_account", "subscription"),
}
LIST = {
    **paging.PAGE,
    "created": params.time_filter(),
    "customer": string(),
    "invoice": string(),
    "pending": params.boolean(),
    **params.EXPAND,
    **params.unsupported("customer_account"),
}


def create(store: Store, ids: Json, wanted: Json) -> Json:
    """Create an item, pending on its customer or directly on a draft invoice."""
    customer = customers.require(store, wanted["customer"])
    invoice = lines.draft(store, wanted["invoice"], status=400) if wanted.get("invoice") else None
    if invoice is None and "currency" not in wanted and "price_data" not in wanted:
        raise missing_param("currency")
    if invoice and invoice["customer"] != customer["id"]:
        raise StripeError("The specified invoice belongs to a different customer.", param="invoice")
    item = items.new_item(store, customer["id"], invoice["currency"] if invoice else _currency(wanted), wanted)
    if invoice is None:
        store.insert(item)
        return items.shown(item)
    lines.append(store, invoice, [item], [])
    return items.shown({**item, "invoice": invoice["id"]})


def _currency(wanted: Json) -> str:
    return str(wanted.get("currency") or wanted["price_data"]["currency"])


def retrieve(store: Store, ids: Json, wanted: Json) -> Json:
    """Return an item."""
    return items.shown(_known(store, ids["invoiceitem"]))


def update(store: Store, ids: Json, wanted: Json) -> Json:
    """Change an item that is pending or on a draft."""
    item = _known(store, ids["invoiceitem"])
    invoice = _draft_of(store, item)
    items.edit(item, wanted)
    store.save(item)
    if invoice:
        update_totals(store, invoice)
    return items.shown(item)


def listing(store: Store, ids: Json, wanted: Json) -> Json:
    """List items, newest first. `pending` true lists items on no invoice, false items on an invoice."""
    pending = {True: ("and invoice is null",), False: ("and invoice is not null",)}
    fixed = pending[wanted["pending"]] if "pending" in wanted else ()
    found, has_more = paging.newest(store, "invoiceitem", wanted, *fixed)
    return paging.listing("/v1/invoiceitems", [items.shown(item) for item in found], has_more)


def delete(store: Store, ids: Json, wanted: Json) -> Json:
    """Delete an item that is pending or on a draft."""
    item = _known(store, ids["invoiceitem"])
    invoice = _draft_of(store, item)
    store.delete(item["id"])
    if invoice:
        update_totals(store, invoice)
    return {"id": item["id"], "object": "invoiceitem", "deleted": True}


def _draft_of(store: Store, item: Json) -> Json | None:
    invoice = store.find("invoice", item["invoice"]) if item["invoice"] else None
    if invoice and invoice["status"] != "draft":
        raise not_editable()
    return invoice


def _known(store: Store, id: str) -> Json:
    return store.known("invoiceitem", id, param="id", name="Invoice Item")
