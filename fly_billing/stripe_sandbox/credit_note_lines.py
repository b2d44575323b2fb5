"""The lines of a credit note: parts of the invoice's own lines, or lines of its own.

A line of the invoice can be credited by amount or by quantity, in all at most once; its taxes are credited in
proportion, unless the request says them. A line of its own has the taxes that the request says. Not here: what a credit
note does with its total (`credit_notes`).
"""

from decimal import ROUND_HALF_UP, Decimal

from fly_billing.stripe_sandbox import lines, params, taxes
from fly_billing.stripe_sandbox.errors import StripeError, exclusive_params, missing_param, no_such
from fly_billing.stripe_sandbox.money import written
from fly_billing.stripe_sandbox.params import merged_metadata, string
from fly_billing.stripe_sandbox.store import Json, Store, new_id

LINE: params.Spec = {
    "amount": params.integer(),
    "description": string(),
    "invoice_line_item": string(unsettable=False),
    "metadata": params.metadata(unsettable=False),
    "quantity": params.integer(0),
    "type": params.required(params.choice("custom_line_item", "invoice_line_item")),
    "unit_amount": params.integer(),
    "unit_amount_decimal": params.decimal(),
    "tax_amounts": params.array_of(params.hash_of(taxes.OF_NOTE), unsettable=True),
    **params.unsupported("tax_rates"),
}
CREDITED = """
select coalesce(sum(line.value ->> '$.amount'), 0) as amount
from objects, json_each(body -> '$.lines.data') as line
where invoice = ? and +object = 'credit_note' and status = 'issued' and line.value ->> '$.invoice_line_item' = ?
"""


def made(store: Store, invoice: Json, wanted: Json) -> list[Json]:
    """Return the lines that a request for a credit note describes; one for a request with only an amount."""
    if "amount" not in wanted and "lines" not in wanted:
        raise missing_param("amount")
    if "lines" not in wanted:
        return [_line({"unit_amount": wanted["amount"]}, wanted["amount"], Decimal(wanted["amount"]), 1)]
    found = [_credited(store, invoice, number, line) for number, line in enumerate(wanted["lines"])]
    total = total_of(found)
    if wanted.get("amount", total) != total:
        raise StripeError("The amount of the credit note must equal the sum of its lines.", param="amount")
    return found


def total_of(found: list[Json]) -> int:
    """Return the total of lines: their amounts, and taxes that are added to them."""
    added = sum(tax["amount"] for line in found for tax in line["taxes"] if tax["tax_behavior"] == "exclusive")
    return int(sum(line["amount"] for line in found) + added)


def _credited(store: Store, invoice: Json, number: int, wanted: Json) -> Json:
    if wanted["type"] == "custom_line_item":
        line = _custom(number, wanted)
    else:
        line = _of_invoice(store, invoice, number, wanted)
    if wanted.get("tax_amounts"):
        line["taxes"] = taxes.credited(invoice, wanted["tax_amounts"], f"lines[{number}][tax_amounts]")
    return line


def _custom(number: int, wanted: Json) -> Json:
    unit = wanted.get("unit_amount_decimal", wanted.get("unit_amount"))
    if unit is None:
        raise missing_param(f"lines[{number}][unit_amount]")
    if "amount" in wanted or "invoice_line_item" in wanted:
        raise StripeError("A custom line item has a unit amount and a quantity.", param=f"lines[{number}]")
    quantity = wanted.get("quantity", 1)
    return _line(wanted, _rounded(Decimal(unit) * quantity), Decimal(unit), quantity)


def _of_invoice(store: Store, invoice: Json, number: int, wanted: Json) -> Json:
    id = wanted.get("invoice_line_item", "")
    item = store.find("invoiceitem", lines.item_id(id))
    if item is None or item["invoice"] != invoice["id"]:
        raise no_such("invoice line item", id, param=f"lines[{number}][invoice_line_item]")
    if ("amount" in wanted) == ("quantity" in wanted):
        raise exclusive_params("amount", "quantity", param=f"lines[{number}]")
    unit = Decimal(item["pricing"]["unit_amount_decimal"])
    amount = wanted["amount"] if "amount" in wanted else _rounded(unit * wanted["quantity"])
    _check_left(store, invoice, item, amount, number)
    line = _line(wanted, amount, unit if "quantity" in wanted else Decimal(amount), wanted.get("quantity"))
    described = {"description": wanted.get("description") or item["description"]}
    taxed = taxes.share(item.get("tax_amounts") or (), amount, item["amount"]) if item["amount"] else []
    return {**line, **described, "taxes": taxed, "invoice_line_item": id}


def _check_left(store: Store, invoice: Json, item: Json, amount: int, number: int) -> None:
    before = store.db.execute(CREDITED, (invoice["id"], lines.line_id(item["id"]))).fetchone()["amount"]
    left = item["amount"] - before
    if abs(amount) > abs(left) or (amount < 0) != (item["amount"] < 0):
        currency = invoice["currency"]
        raise StripeError(
            f"The amount credited for the line item ({written(amount, currency)}) is more than what is left of it "
            f"({written(left, currency)}).",
            param=f"lines[{number}]",
        )


def _rounded(amount: Decimal) -> int:
    return int(amount.quantize(Decimal(1), ROUND_HALF_UP))


def _line(wanted: Json, amount: int, unit: Decimal, quantity: int | None) -> Json:
    return {
        "id": new_id("cnli"),
        "object": "credit_note_line_item",
        "amount": amount,
        "description": wanted.get("description"),
        "discount_amount": 0,
        "discount_amounts": [],
        "livemode": False,
        "metadata": merged_metadata({}, wanted.get("metadata")),
        "pretax_credit_amounts": [],
        "quantity": quantity,
        "tax_rates": [],
        "taxes": [],
        "type": wanted.get("type", "custom_line_item"),
        "unit_amount": int(unit) if unit == unit.to_integral_value() else None,
        "unit_amount_decimal": f"{unit:f}",
    }
