"""Manual tax amounts of lines: their parameters, how lines and invoices show them, and their sums.

Source: docs.stripe.com/billing/taxes/manual-tax-amounts. Not here: tax rates as objects, and Stripe Tax.
"""

import hashlib
import json
from collections.abc import Iterable
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from fly_billing.stripe_sandbox import params
from fly_billing.stripe_sandbox.errors import InvalidParamsError, StripeError, no_such
from fly_billing.stripe_sandbox.params import array_of, boolean, choice, hash_of, integer, required, string
from fly_billing.stripe_sandbox.store import Json, Store

MOST_TAXES, MOST_TAXES_OF_A_NOTE = 20, 10
RATE: params.Spec = {
    "country": string(unsettable=False),
    "description": string(),
    "display_name": required(string(100, unsettable=False)),
    "inclusive": required(boolean()),
    "jurisdiction": string(200),
    "jurisdiction_level": choice("city", "country", "county", "district", "multiple", "state"),
    "percentage": required(params.decimal()),
    "state": string(),
    "tax_type": choice(
        *"amusement_tax communications_tax gst hst igst jct lease_tax pst qst retail_delivery_fee rst".split(),
        *"sales_tax service_tax vat".split(),
    ),
}
REASONS = choice(
    *"customer_exempt not_collecting not_subject_to_tax not_supported portion_product_exempt".split(),
    *"portion_reduced_rated portion_standard_rated product_exempt product_exempt_holiday".split(),
    *"proportionally_rated reduced_rated reverse_charge standard_rated taxable_basis_reduced zero_rated".split(),
)
AMOUNT: params.Spec = {
    "amount": required(integer()),
    "tax_rate_data": required(hash_of(RATE)),
    "taxability_reason": REASONS,
    "taxable_amount": required(integer()),
}
OF_NOTE: params.Spec = {
    "amount": required(integer()),
    "tax_rate": required(string(unsettable=False)),
    "taxable_amount": required(integer()),
}
PARAM = {"tax_amounts": array_of(hash_of(AMOUNT), unsettable=True)}

OF_INVOICE = """
select body -> '$.tax_amounts' from objects
where invoice = ? and +object = 'invoiceitem' and body -> '$.tax_amounts' is not null
"""


def checked(given: list[Json] | None) -> list[Json]:
    """Return tax amounts as a line stores them. Raises StripeError for those that Stripe refuses."""
    found = given or []
    if len(found) > MOST_TAXES:
        raise InvalidParamsError(f"Array above max size of {MOST_TAXES}", param="tax_amounts")
    for number, tax in enumerate(found):
        _check(tax, f"tax_amounts[{number}]")
    return [
        {
            "amount": tax["amount"],
            "tax_behavior": "inclusive" if tax["tax_rate_data"]["inclusive"] else "exclusive",
            "tax_rate_details": {"tax_rate": _rate_id(tax["tax_rate_data"])},
            "taxability_reason": tax.get("taxability_reason", "not_available"),
            "taxable_amount": tax["taxable_amount"],
            "type": "tax_rate_details",
        }
        for tax in found
    ]


def _check(tax: Json, param: str) -> None:
    percentage = tax["tax_rate_data"]["percentage"]
    exponent = percentage.as_tuple().exponent
    if not 0 <= percentage <= 100 or exponent < -4:
        raise InvalidParamsError(
            "Invalid percentage: must be from 0 to 100, with at most 4 decimal places.",
            param=f"{param}[tax_rate_data][percentage]",
        )
    if percentage == 0 and tax["amount"]:
        raise StripeError("A tax rate of 0% has no tax.", param=f"{param}[amount]")


def _rate_id(data: Json) -> str:
    """Return the id of the tax rate with this data: Stripe finds it, or creates it."""
    known = {name: str(value.normalize()) if isinstance(value, Decimal) else value for name, value in data.items()}
    return "txr_" + hashlib.sha256(json.dumps(known, sort_keys=True).encode()).hexdigest()[:24]


def of_lines(store: Store, invoice: str) -> list[Json]:
    """Return the taxes of an invoice's lines, by rate and reason."""
    return merged(tax for row in store.db.execute(OF_INVOICE, (invoice,)) for tax in json.loads(row[0]))


def merged(taxes: Iterable[Json]) -> list[Json]:
    """Add up taxes by rate and reason."""
    by_rate: dict[tuple[str, str], Json] = {}
    for tax in taxes:
        key = (tax["tax_rate_details"]["tax_rate"], tax["taxability_reason"])
        before: Any = by_rate.get(key)
        if before:
            sums = {name: before[name] + tax[name] for name in ("amount", "taxable_amount")}
            by_rate[key] = {**tax, **sums}
        else:
            by_rate[key] = tax
    return list(by_rate.values())


def credited(invoice: Json, given: list[Json], param: str) -> list[Json]:
    """Return the tax amounts of a credit note's line, in rates that the invoice has. Raises StripeError."""
    if len(given) > MOST_TAXES_OF_A_NOTE:
        raise InvalidParamsError(f"Array above max size of {MOST_TAXES_OF_A_NOTE}", param=param)
    rates = {tax["tax_rate_details"]["tax_rate"]: tax for tax in invoice["total_taxes"]}
    for number, tax in enumerate(given):
        if tax["tax_rate"] not in rates:
            raise no_such("tax rate", tax["tax_rate"], param=f"{param}[{number}][tax_rate]")
    return [
        {**rates[tax["tax_rate"]], "amount": tax["amount"], "taxable_amount": tax["taxable_amount"]} for tax in given
    ]


def share(taxes: Iterable[Json], part: int, whole: int) -> list[Json]:
    """Return the part of these taxes that belongs to a part of their amount, each rounded half-up."""
    parts = {name: Decimal(part) / Decimal(whole) for name in ("amount", "taxable_amount")}
    return [
        {**tax, **{name: int((tax[name] * each).quantize(Decimal(1), ROUND_HALF_UP)) for name, each in parts.items()}}
        for tax in taxes
    ]
