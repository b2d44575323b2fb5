"""The fields of an invoice item and the calculation of its amount, for lines and /v1/invoiceitems.

An item belongs to a customer and, once it is on an invoice, to that invoice. A line is such an item, as its invoice
shows it. Not here: endpoints, and the invoice's totals.
"""

from decimal import ROUND_HALF_UP, Decimal

from fly_billing.stripe_sandbox import params, taxes
from fly_billing.stripe_sandbox.errors import StripeError, exclusive_params, missing_param
from fly_billing.stripe_sandbox.params import decimal, integer, merged_metadata, metadata, required, string
from fly_billing.stripe_sandbox.store import Json, Store, new_id

PERIOD = params.hash_of({"start": required(integer()), "end": required(integer())})
PRICE: params.Spec = {
    "currency": required(params.currency()),
    "tax_behavior": params.choice("exclusive", "inclusive", "unspecified"),
    "unit_amount": integer(),
    "unit_amount_decimal": decimal(),
}
PRODUCT: params.Spec = {
    "description": string(40000),
    "images": params.array_of(string()),
    "metadata": metadata(unsettable=False),
    "name": required(string(unsettable=False)),
    "tax_code": string(),
    "unit_label": string(12),
}
# A line may name its product or describe a new one; an invoice item names one.
LINE_PRICE = params.hash_of({**PRICE, "product": string(), "product_data": params.hash_of(PRODUCT)})
ITEM_PRICE = params.hash_of({**PRICE, "product": required(string(unsettable=False))})
PRICED: params.Spec = {
    "amount": integer(),
    "description": string(),
    "discountable": params.boolean(),
    "metadata": metadata(),
    "period": PERIOD,
    "quantity": integer(0),
    "quantity_decimal": decimal(),
    **params.unsupported("discounts", "pricing", "tax_rates"),
}


def new_item(store: Store, customer: str, currency: str, wanted: Json, *, param: str = "amount") -> Json:
    """Return the body of a new item with its amount. `param` is the amount's name in error messages."""
    now = store.now()
    body: Json = {
        "id": new_id("ii"),
        "object": "invoiceitem",
        "amount": 0,
        "currency": currency,
        "customer": customer,
        "customer_account": None,
        "date": now,
        "description": wanted.get("description"),
        "discountable": wanted.get("discountable", True),
        "discounts": [],
        "invoice": None,
        "livemode": False,
        "metadata": merged_metadata({}, wanted.get("metadata")),
        "net_amount": 0,
        "parent": None,
        "period": wanted.get("period", {"start": now, "end": now}),
        "pricing": None,
        "proration": False,
        "proration_details": {"discount_amounts": []},
        "quantity": 1,
        "quantity_decimal": "1",
        "tax_rates": [],
        "test_clock": None,
    }
    return {**body, **_taxes(wanted), **_price(body, wanted, param)}


def _taxes(wanted: Json) -> Json:
    return {"tax_amounts": taxes.checked(wanted["tax_amounts"])} if "tax_amounts" in wanted else {}


def shown(item: Json) -> Json:
    """Return an item as /v1/invoiceitems shows it: without the tax amounts, which only its line has."""
    return {name: value for name, value in item.items() if name != "tax_amounts"}


def _price(body: Json, wanted: Json, param: str) -> Json:
    """Return the fields for an amount, or for a unit amount and a quantity. Cents are rounded half up."""
    if "amount" in wanted and ("quantity" in wanted or "quantity_decimal" in wanted):
        raise exclusive_params("amount", "quantity", param=param)
    if "amount" in wanted:
        return {"quantity": 1, "quantity_decimal": "1", **_amounts(body, wanted["amount"], Decimal(wanted["amount"]))}
    unit = _unit_amount(body, wanted)
    if unit is None:
        raise missing_param(param)
    name = "quantity_decimal" if "quantity_decimal" in wanted else "quantity"
    quantity = Decimal(wanted[name] if name in wanted else body["quantity_decimal"])
    amount = int((unit * quantity).quantize(Decimal(1), ROUND_HALF_UP))
    return {"quantity": int(quantity), "quantity_decimal": f"{quantity:f}", **_amounts(body, amount, unit)}


REPRICING = {"amount", "quantity", "quantity_decimal", "price_data", "unit_amount_decimal"}


def edit(item: Json, wanted: Json) -> None:
    """Apply a request's changes to an item, including its price."""
    if REPRICING & set(wanted):
        item.update(_price(item, wanted, "amount"))
    item.update({name: wanted[name] for name in ("description", "discountable", "period") if name in wanted})
    item.update(_taxes(wanted))
    if "metadata" in wanted:
        item["metadata"] = merged_metadata(item["metadata"], wanted["metadata"])


def _unit_amount(body: Json, wanted: Json) -> Decimal | None:
    given = wanted.get("price_data", wanted)
    if "price_data" in wanted and given["currency"] != body["currency"]:
        raise StripeError(
            f"The price's currency ({given['currency']}) does not match the invoice's ({body['currency']}).",
            param="price_data[currency]",
        )
    unit = given.get("unit_amount_decimal", given.get("unit_amount"))
    if unit is None and body["pricing"]:
        unit = body["pricing"]["unit_amount_decimal"]
    return Decimal(unit) if unit is not None else None


def _amounts(body: Json, amount: int, unit: Decimal) -> Json:
    suffix = body["id"].removeprefix("ii_")
    details = {"price": f"price_{suffix}", "product": f"prod_{suffix[:14]}"}
    pricing = {"price_details": details, "type": "price_details", "unit_amount_decimal": f"{unit:f}"}
    return {"amount": amount, "net_amount": amount, "pricing": pricing}


def note(invoice: Json, wanted: Json) -> None:
    """Merge the `invoice_metadata` of a request into the invoice."""
    if "invoice_metadata" in wanted:
        invoice["metadata"] = merged_metadata(invoice["metadata"], wanted["invoice_metadata"])
