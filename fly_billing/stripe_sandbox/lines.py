"""An invoice's lines (its invoice items, as the invoice shows them), and the endpoints that edit them.

Lines keep the order in which they were added. An invoice has at most `max_invoice_lines` (250). Not here: prices
(`items`) and totals (`totals`).
"""

from fly_billing.stripe_sandbox import items, params, taxes
from fly_billing.stripe_sandbox.errors import InvalidParamsError, StripeError, missing_param, no_such, not_editable
from fly_billing.stripe_sandbox.paging import PAGE
from fly_billing.stripe_sandbox.paging import listing as list_object
from fly_billing.stripe_sandbox.params import array_of, hash_of, metadata, required, string
from fly_billing.stripe_sandbox.store import Json, Store
from fly_billing.stripe_sandbox.totals import update_totals

ON_INVOICE: params.Spec = {**items.PRICED, "price_data": items.LINE_PRICE, **taxes.PARAM}
CHANGED = {**ON_INVOICE, "id": required(string(unsettable=False))}
REMOVED: params.Spec = {
    "behavior": required(params.choice("delete", "unassign")),
    "id": required(string(unsettable=False)),
}
ENVELOPE: params.Spec = {"invoice_metadata": metadata(), **params.EXPAND}
ADD_LINES = {**ENVELOPE, "lines": required(array_of(hash_of({**ON_INVOICE, "invoice_item": string()})))}
UPDATE_LINE = {**ON_INVOICE, **params.EXPAND}
UPDATE_LINES = {**ENVELOPE, "lines": required(array_of(hash_of(CHANGED)))}
REMOVE_LINES = {**ENVELOPE, "lines": required(array_of(hash_of(REMOVED)))}
LIST = {**PAGE, **params.EXPAND}

COUNT = """
select count(*) as lines, coalesce(max(abs(position)), 0) as last
from objects where invoice = ? and +object = 'invoiceitem'
"""
FIRST = "select body from objects where invoice = ? and +object = 'invoiceitem' order by position limit ?"
AFTER = """
select body from objects where invoice = ? and +object = 'invoiceitem' and position > ? order by position limit ?
"""
BEFORE = """
select body from objects where invoice = ? and +object = 'invoiceitem' and position < ? order by position desc limit ?
"""


def view(item: Json) -> Json:
    """Return an item as Stripe's line_item."""
    details = {
        "invoice_item": item["id"],
        "proration": False,
        "proration_details": {"credited_items": None},
        "subscription": None,
    }
    shared = ("amount", "currency", "description", "discountable", "discounts", "invoice", "livemode", "metadata")
    return {
        "id": line_id(item["id"]),
        "object": "line_item",
        **{name: item[name] for name in shared},
        "discount_amounts": [],
        "parent": {
            "invoice_item_details": details,
            "subscription_item_details": None,
            "type": "invoice_item_details",
        },
        "period": item["period"],
        "pretax_credit_amounts": [],
        "pricing": item["pricing"],
        "quantity": item["quantity"],
        "quantity_decimal": item["quantity_decimal"],
        "subscription": None,
        "subtotal": item["amount"],
        "taxes": item.get("tax_amounts", []),
    }


def line_id(item_id: str) -> str:
    """Return the id of an item's line."""
    return "il_" + item_id.removeprefix("ii_")


def item_id(line: str) -> str:
    """Return the id of a line's item."""
    return "ii_" + line.removeprefix("il_")


def shown(store: Store, invoice: Json) -> Json:
    """Return an invoice as Stripe shows it, with its first ten lines."""
    first = _page(store, invoice["id"], FIRST, (), 10)
    return {**invoice, "lines": {**first, "total_count": count(store, invoice["id"])}}


def _page(store: Store, invoice: str, sql: str, cursor: tuple[int, ...], limit: int) -> Json:
    found = store.bodies(sql, (invoice, *cursor, limit + 1))
    page = found[:limit][::-1] if sql is BEFORE else found[:limit]
    url = f"/v1/invoices/{invoice}/lines"
    return list_object(url, [view(item) for item in page], len(found) > limit)


def count(store: Store, invoice: str) -> int:
    """Return the number of lines of an invoice."""
    return int(store.db.execute(COUNT, (invoice,)).fetchone()["lines"])


def every(store: Store, invoice: str) -> list[Json]:
    """Return all lines of an invoice, in order."""
    return [view(item) for item in store.bodies(FIRST, (invoice, -1))]


def listing(store: Store, ids: Json, wanted: Json) -> Json:
    """List an invoice's lines in order: 10 at a time, or up to 100 on request."""
    invoice = known(store, ids["invoice"])
    limit = wanted.get("limit", 10)
    for name, sql in (("starting_after", AFTER), ("ending_before", BEFORE)):
        if name in wanted:
            return _page(store, invoice["id"], sql, (_position(store, invoice["id"], wanted[name], name),), limit)
    return _page(store, invoice["id"], FIRST, (), limit)


def _position(store: Store, invoice: str, line: str, param: str) -> int:
    sql = "select position from objects where id = ? and invoice = ?"
    row = store.db.execute(sql, (item_id(line), invoice)).fetchone()
    if row is None:
        raise no_such("invoice line item", line, param=param)
    return int(row["position"])


def known(store: Store, id: str, *, param: str = "invoice", status: int = 404) -> Json:
    """Return the invoice that a path (404) or a parameter (400) names. Raises StripeError."""
    return store.known("invoice", id, param=param, status=status)


def draft(store: Store, id: str, *, status: int = 404) -> Json:
    """Return a draft invoice. Raises StripeError for an invoice that can no longer be edited."""
    invoice = known(store, id, status=status)
    if invoice["status"] != "draft":
        raise not_editable()
    return invoice


def append(store: Store, invoice: Json, fresh: list[Json], taken: list[Json]) -> None:
    """Add new items, then pending ones, to the end of an invoice. Raises StripeError if they are too many."""
    row = store.db.execute(COUNT, (invoice["id"],)).fetchone()
    limit = store.settings.max_invoice_lines
    if row["lines"] + len(fresh) + len(taken) > limit:
        raise StripeError(f"You can only add up to {limit} line items to an invoice.", param="lines")
    sign = -1 if store.settings.added_lines_come_first else 1
    placed = [
        ({**item, "invoice": invoice["id"]}, sign * (row["last"] + number))
        for number, item in enumerate([*fresh, *taken], start=1)
    ]
    store.insert_many(placed[: len(fresh)])
    for item, position in placed[len(fresh) :]:
        store.place(item, position)
    update_totals(store, invoice)


def add_lines(store: Store, ids: Json, wanted: Json) -> Json:
    """Add all lines to a draft, or none; return the invoice."""
    invoice = draft(store, ids["invoice"])
    _within_one_call(store, wanted["lines"])
    items.note(invoice, wanted)
    fresh = [
        items.new_item(store, invoice["customer"], invoice["currency"], line, param=f"lines[{number}][amount]")
        for number, line in enumerate(wanted["lines"])
        if "invoice_item" not in line
    ]
    taken = [_waiting(store, invoice, line) for line in wanted["lines"] if "invoice_item" in line]
    append(store, invoice, fresh, taken)
    return shown(store, invoice)


def _within_one_call(store: Store, lines: list[Json] | None) -> None:
    limit = store.settings.max_lines_per_call
    if not lines:
        raise missing_param("lines")
    if len(lines) > limit:
        raise InvalidParamsError(f"You can only pass up to {limit} lines in one request.", param="lines")


def _waiting(store: Store, invoice: Json, line: Json) -> Json:
    item = store.find("invoiceitem", line["invoice_item"])
    if item is None or item["invoice"] or item["customer"] != invoice["customer"]:
        raise no_such("Invoice Item", line["invoice_item"], param="lines[invoice_item]")
    items.edit(item, line)
    return item


def update_lines(store: Store, ids: Json, wanted: Json) -> Json:
    """Change all these lines of a draft, or none; return the invoice."""
    invoice = draft(store, ids["invoice"])
    _within_one_call(store, wanted["lines"])
    items.note(invoice, wanted)
    for line in wanted["lines"]:
        _edit(store, invoice, line["id"], line)
    update_totals(store, invoice)
    return shown(store, invoice)


def update_line(store: Store, ids: Json, wanted: Json) -> Json:
    """Change one line of a draft and return the line."""
    invoice = draft(store, ids["invoice"])
    item = _edit(store, invoice, ids["line_item_id"], wanted)
    update_totals(store, invoice)
    return view(item)


def _edit(store: Store, invoice: Json, line: str, wanted: Json) -> Json:
    item = _on(store, invoice, line)
    items.edit(item, wanted)
    store.save(item)
    return item


def _on(store: Store, invoice: Json, line: str) -> Json:
    item = store.find("invoiceitem", item_id(line))
    if item is None or item["invoice"] != invoice["id"]:
        raise no_such("invoice line item", line, param="lines[id]")
    return item


def remove_lines(store: Store, ids: Json, wanted: Json) -> Json:
    """Remove lines from a draft: delete them, or leave them pending on the customer."""
    invoice = draft(store, ids["invoice"])
    _within_one_call(store, wanted["lines"])
    items.note(invoice, wanted)
    for line in wanted["lines"]:
        item = _on(store, invoice, line["id"])
        if line["behavior"] == "delete":
            store.delete(item["id"])
        else:
            store.place({**item, "invoice": None}, None)
    update_totals(store, invoice)
    return shown(store, invoice)
