"""Customers: create, retrieve, update, list and delete.

A deleted customer remains as `{id, object, deleted: true}`. Not here: the customer balance (`balances`), invoices.
"""

from fly_billing.stripe_sandbox import balances, cards, paging, params, tax_id_values
from fly_billing.stripe_sandbox.errors import no_such
from fly_billing.stripe_sandbox.events import emit
from fly_billing.stripe_sandbox.params import integer, merged_metadata, metadata, string
from fly_billing.stripe_sandbox.store import Json, Store, new_id

PLACE = {name: string() for name in ("city", "country", "line1", "line2", "postal_code", "state")}
SHIPPING: params.Spec = {
    "address": params.required(params.hash_of(PLACE)),
    "name": params.required(string(unsettable=False)),
    "phone": string(),
}
INVOICE_SETTINGS: params.Spec = {
    "default_payment_method": string(),
    "footer": string(5000),
    **params.unsupported("custom_fields", "rendering_options"),
}
FIELDS: params.Spec = {
    "address": params.hash_of(PLACE, unsettable=True),
    "balance": integer(),
    "business_name": string(150),
    "description": string(),
    "email": params.email(512),
    "individual_name": string(150),
    "invoice_prefix": string(12, unsettable=False),
    "invoice_settings": params.hash_of(INVOICE_SETTINGS),
    "metadata": metadata(),
    "name": string(256),
    "next_invoice_sequence": integer(1),
    "phone": string(20),
    "preferred_locales": params.array_of(string()),
    "shipping": params.hash_of(SHIPPING, unsettable=True),
    "tax_exempt": params.choice("none", "exempt", "reverse"),
    **params.EXPAND,
    **params.unsupported("cash_balance", "source", "tax"),
}
CREATE = {
    **FIELDS,
    "payment_method": string(),
    "tax_id_data": params.array_of(params.hash_of(tax_id_values.GIVEN)),
    **params.unsupported("test_clock"),
}
UPDATE = {
    **FIELDS,
    **params.unsupported(
        "bank_account", "card", "default_alipay_account", "default_bank_account", "default_card", "default_source"
    ),
}
LIST = {
    **paging.PAGE,
    "created": params.time_filter(),
    "email": string(512),
    **params.EXPAND,
    **params.unsupported("test_clock"),
}

# The card of a new customer, where the settings ask for one.
NEW_CARD = "pm_card_visa"

# Fields that Stripe omits from a customer if they are empty. Other empty fields are null.
OMITTED_IF_EMPTY = {"business_name", "individual_name"}


def create(store: Store, ids: Json, wanted: Json, *, id: str | None = None) -> Json:
    """Create a customer. Only the control API may choose its id."""
    balance, card = wanted.pop("balance", 0), wanted.pop("payment_method", None)
    tax_ids = wanted.pop("tax_id_data", [])
    settings = wanted.pop("invoice_settings", {})
    if card is None and store.settings.new_customers_have_a_card:
        card, settings = NEW_CARD, {"default_payment_method": NEW_CARD, **settings}
    body = _changed(_blank(store, id or new_id("cus", 14)), wanted)
    body["metadata"] = merged_metadata({}, wanted.get("metadata"))
    store.insert(body)
    for given in tax_ids:
        tax_id_values.add(store, body["id"], given)
    attached = cards.attach(store, card, body["id"])["id"] if card else None
    if card and settings.get("default_payment_method") == card:
        settings = {**settings, "default_payment_method": attached}
    _set_invoice_settings(store, body, settings)
    balances.set_to(store, body, balance, "initial")
    return _known(store, body["id"])


def _set_invoice_settings(store: Store, body: Json, settings: Json) -> None:
    """Change the defaults for a customer's invoices. The card must be the customer's. Raises StripeError."""
    card = settings.get("default_payment_method")
    if card:
        cards.of_customer(store, card, body["id"], param="invoice_settings[default_payment_method]")
    if settings:
        body["invoice_settings"] |= settings
        store.save(body)


def forget_card(store: Store, body: Json, card: str) -> None:
    """Stop paying with a card that was detached."""
    if body["invoice_settings"]["default_payment_method"] == card:
        body["invoice_settings"]["default_payment_method"] = None
        store.save(body)


def _changed(body: Json, wanted: Json) -> Json:
    changed = {**body, **wanted}
    return {name: value for name, value in changed.items() if value is not None or name not in OMITTED_IF_EMPTY}


def _blank(store: Store, id: str) -> Json:
    return {
        "id": id,
        "object": "customer",
        "address": None,
        "balance": 0,
        "created": store.now(),
        "currency": None,
        "default_source": None,
        "delinquent": False,
        "description": None,
        "discount": None,
        "email": None,
        "invoice_prefix": new_id("", 9)[1:].upper(),
        "invoice_settings": {
            "custom_fields": None,
            "default_payment_method": None,
            "footer": None,
            "rendering_options": None,
        },
        "livemode": False,
        "metadata": {},
        "name": None,
        "next_invoice_sequence": 1,
        "phone": None,
        "preferred_locales": [],
        "shipping": None,
        "tax_exempt": "none",
        "test_clock": None,
    }


def retrieve(store: Store, ids: Json, wanted: Json) -> Json:
    """Return a customer; a deleted customer as its stub."""
    return _known(store, ids["customer"])


def update(store: Store, ids: Json, wanted: Json) -> Json:
    """Change a customer that is not deleted."""
    body = living(store, ids["customer"])
    balance, settings = wanted.pop("balance", None), wanted.pop("invoice_settings", {})
    change = {"metadata": merged_metadata(body["metadata"], wanted.pop("metadata"))} if "metadata" in wanted else {}
    body = _changed(body, {**wanted, **change})
    store.save(body)
    _set_invoice_settings(store, body, settings)
    if wanted or settings or balance is None:
        emit(store, "customer.updated", balances.shown(body))
    if balance is not None:
        balances.set_to(store, body, balance, "adjustment")
    return _known(store, body["id"])


def listing(store: Store, ids: Json, wanted: Json) -> Json:
    """List customers that are not deleted, newest first."""
    found, has_more = paging.newest(store, "customer", wanted, "and body ->> '$.deleted' is null")
    return paging.listing("/v1/customers", [balances.shown(body) for body in found], has_more)


def delete(store: Store, ids: Json, wanted: Json) -> Json:
    """Delete a customer permanently. Its stub can still be read."""
    body = living(store, ids["customer"])
    stub = {"id": body["id"], "object": "customer", "deleted": True}
    store.save({**stub, "created": body["created"]})
    emit(store, "customer.deleted", balances.shown(body))
    return stub


def require(store: Store, id: str, *, param: str = "customer") -> Json:
    """Return the customer that a request names in its parameters. Raises StripeError if it does not exist."""
    body = store.find("customer", id)
    if body is None or body.get("deleted"):
        raise no_such("customer", id, param=param)
    return body


def _known(store: Store, id: str) -> Json:
    body = store.known("customer", id, param="id")
    return {key: body[key] for key in ("id", "object", "deleted")} if body.get("deleted") else balances.shown(body)


def living(store: Store, id: str) -> Json:
    """Return the customer that a path names, as it is stored. Raises StripeError if it does not exist."""
    body = _known(store, id)
    if body.get("deleted"):
        raise no_such("customer", id, param="id", status=404)
    return store.find("customer", id) or body
