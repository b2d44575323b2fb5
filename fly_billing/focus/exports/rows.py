"""Turns a final invoice into FOCUS rows. Pure: no database, no file.

The rules:
  - An item becomes one row per step of its calculation (a tier, a flat fee, the free allowance), so that each row has
    one unit price and one quantity.
  - A discount has no row. FOCUS includes it in the costs of the discounted rows (attribute DiscountHandling): it lowers
    their BilledCost and EffectiveCost, and x_Discounts names the coupon. ListCost does not change.
  - A credit is a row (ChargeCategory Credit), because it pays for other rows. So is a negative one-off item.
  - A top-up to a minimum, a cut to a maximum and an adjustment of an earlier month are Adjustments. Only the last, and
    the return of a fee that was charged in advance, correct an invoiced period: ChargeClass Correction.
  - A reservation is a Purchase with an EffectiveCost of 0, because it pays for usage of later months. Its credits are
    rows.
  - For a negotiated price, ContractedUnitPrice and ContractedCost are the negotiated ones, ListUnitPrice and ListCost
    those of the price list: step by step if both have the same steps, otherwise as an average.
  - A tax is one row per rate. Its ListCost is the rate x the ListCost of the taxed items. A tax that the prices include
    has no row.
  - An item's cents are split over its rows by largest remainder, so that the rows of an InvoiceId add up to its total.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from uuid import UUID

from fly_billing.errors import ActionableError
from fly_billing.focus.exports.charges import FocusCharge, charges_of, cut_cost
from fly_billing.focus.exports.columns import COLUMNS, Cell
from fly_billing.focus.exports.exported_invoice import BilledItem, ExportedInvoice
from fly_billing.focus.exports.service_categories import service_category, service_subcategory
from fly_billing.focus.exports.units import focus_unit
from fly_billing.money import EXACT, divide, exact_product, exact_sum, from_cents, share_out_cents

Row = dict[str, Cell]

# FOCUS requires a prefix on tags that the provider defines. Ours are the dimensions of the usage.
TAG_PREFIX = "fly_billing/"
_FREQUENCIES = {"usage": "Usage-Based", "subscription": "Recurring", "minimum": "Recurring", "maximum": "Recurring"}


class UnequalRows(ActionableError):
    """The rows of an invoice don't add up to its total, so it can't be exported."""


@dataclass
class _Discounted:
    """The discounts of one item.

    Attributes:
        amount: Their exact sum, as a positive number.
        cents: Their share of the invoice's cents, as a positive number.
    """

    amount: Decimal = Decimal(0)
    cents: int = 0
    coupons: list[str] = field(default_factory=list)


def focus_rows(invoice: ExportedInvoice, provider: str) -> list[Row]:
    """Return the invoice's rows in its order, taxes last. Raises UnequalRows if they don't add up to its total."""
    discounts = _discounts(invoice)
    rows: list[Row] = []
    for item in invoice.items:
        if item.kind not in ("discount", "tax"):
            rows += _rows(invoice, item, discounts[item.id], provider)
    taxes = [item for item in invoice.items if item.kind == "tax"]
    rows += [_tax_row(invoice, item, rows, provider) for item in taxes]
    billed = exact_sum([row["BilledCost"] for row in rows if isinstance(row["BilledCost"], Decimal)])
    if billed != from_cents(invoice.total_cents, invoice.currency):
        raise UnequalRows(
            f"the rows of invoice {invoice.number} add up to {billed} {invoice.currency}, but its total is"
            f" {from_cents(invoice.total_cents, invoice.currency)}, so the invoice is left out. Check its items with"
            " `fly-billing explain`"
        )
    return rows


def _discounts(invoice: ExportedInvoice) -> dict[UUID, _Discounted]:
    discounts: dict[UUID, _Discounted] = defaultdict(_Discounted)
    for discount in (item for item in invoice.items if item.kind == "discount"):
        applied = [(UUID(part["item"]), Decimal(part["amount"])) for part in discount.detail["applied_to"]]
        amounts = [EXACT.minus(amount) for _, amount in applied]
        shares = share_out_cents(amounts, invoice.currency, discount.amount_cents)
        for (item, amount), cents in zip(applied, shares, strict=True):
            discounted = discounts[item]
            discounted.amount = EXACT.add(discounted.amount, amount)
            discounted.cents += cents
            discounted.coupons.append(discount.detail["code"])
    return discounts


def _rows(invoice: ExportedInvoice, item: BilledItem, discounted: _Discounted, provider: str) -> list[Row]:
    charges = charges_of(item)
    amounts = _deduct([charge.amount for charge in charges], discounted.amount)
    cents = share_out_cents(amounts, invoice.currency, item.amount_cents + discounted.cents)
    return [
        _row(invoice, item, charge, amount, from_cents(share, invoice.currency), discounted.coupons, provider)
        for charge, amount, share in zip(charges, amounts, cents, strict=True)
    ]


def _deduct(amounts: Sequence[Decimal], discount: Decimal) -> list[Decimal]:
    """Deduct the discount from the amounts in proportion. The last amount takes the rest that does not divide."""
    if not discount:
        return list(amounts)
    total = exact_sum(amounts)
    parts = [divide(EXACT.multiply(discount, amount), total) if total else Decimal(0) for amount in amounts[:-1]]
    parts.append(EXACT.subtract(discount, exact_sum(parts)))
    return [EXACT.subtract(amount, part) for amount, part in zip(amounts, parts, strict=True)]


def _row(
    invoice: ExportedInvoice,
    item: BilledItem,
    charge: FocusCharge,
    amount: Decimal,
    billed: Decimal,
    coupons: Sequence[str],
    provider: str,
) -> Row:
    list_cost = billed if charge.list_cost is None else charge.list_cost
    contracted_cost = billed if charge.contracted_cost is None else charge.contracted_cost
    is_priced = charge.unit_price is not None
    region = item.dimensions.get("region") or _only(item.match.get("region", ()))
    tags = {f"{TAG_PREFIX}{name}": value for name, value in item.dimensions.items() if name not in item.match}
    tags.pop(f"{TAG_PREFIX}region", None)
    details = {_pascal(name): values[0] for name, values in item.match.items() if len(values) == 1}
    return _base_row(invoice, item, provider) | {
        "BilledCost": billed,
        "ChargeCategory": charge.category,
        "ChargeClass": "Correction" if charge.is_correction else None,
        "ChargeDescription": f"{item.description}: {charge.label}" if charge.label else item.description,
        "ConsumedQuantity": charge.consumed,
        "ConsumedUnit": None if charge.consumed is None else focus_unit(item.unit),
        "ContractedCost": contracted_cost,
        "ContractedUnitPrice": charge.unit_price,
        "EffectiveCost": Decimal(0) if item.is_prepaid else cut_cost(amount) if is_priced else billed,
        "ListCost": list_cost,
        "ListUnitPrice": charge.at_list,
        "PricingCategory": "Standard" if is_priced else None,
        "PricingQuantity": charge.quantity,
        "PricingUnit": charge.unit,
        "RegionId": region,
        "RegionName": region,  # regions have no other name than their id
        "SkuId": item.price_key or charge.sku_price,
        "SkuMeter": _meter(item) if charge.sku_price else None,
        "SkuPriceDetails": _json(details) if charge.sku_price else None,
        "SkuPriceId": charge.sku_price,
        "Tags": _json(tags),
        "x_Discounts": ", ".join(coupons) or None,
    }


def _cost_of_taxed(invoice: ExportedInvoice, tax: BilledItem, rows: Sequence[Row], column: str) -> Decimal:
    """Return the ListCost (or ContractedCost) that a tax applies to.

    That is the cost of all rows, or of the items that the tax names, minus the credits and caps on those items.
    """
    costs = [(row["x_InvoiceItemId"], cost) for row in rows if isinstance(cost := row[column], Decimal)]
    if "taxed" not in tax.detail:
        return exact_sum([cost for _, cost in costs])
    taxed = {part["item"]: Decimal(part["amount"]) for part in tax.detail["taxed"]}
    # A top-up to a minimum and an adjustment may be taxed at several rates, in parts.
    in_parts = {str(item.id) for item in invoice.items if item.kind in ("minimum", "adjustment")}
    whole = [cost for item, cost in costs if item in taxed and item not in in_parts]
    parts = [amount for item, amount in taxed.items() if item in in_parts]
    paid = [
        EXACT.minus(Decimal(part["amount"]))
        for item in invoice.items
        if item.kind in ("credit", "maximum")
        for part in item.detail["applied_to"]
        if part["item"] in taxed and part["item"] not in in_parts
    ]
    return exact_sum([*whole, *parts, *paid])


def _tax_row(invoice: ExportedInvoice, item: BilledItem, rows: Sequence[Row], provider: str) -> Row:
    billed = from_cents(item.amount_cents, invoice.currency)
    contracted_cost, list_cost = (
        cut_cost(
            exact_product(_cost_of_taxed(invoice, item, rows, column), Decimal(item.detail["percent"]), Decimal(100))
        )
        for column in ("ContractedCost", "ListCost")
    )
    return _base_row(invoice, item, provider) | {
        "BilledCost": billed,
        "ChargeCategory": "Tax",
        "ChargeDescription": item.description,
        "ContractedCost": contracted_cost,
        "EffectiveCost": billed,
        "ListCost": list_cost,
    }


def _base_row(invoice: ExportedInvoice, item: BilledItem, provider: str) -> Row:
    """Return the cells that all rows of an item share. The other cells are null."""
    return dict.fromkeys((column.name for column in COLUMNS), None) | {
        "BillingAccountId": invoice.organization_id,
        "BillingAccountName": invoice.organization_name,
        "BillingCurrency": invoice.currency,
        "BillingPeriodEnd": invoice.month.end,
        "BillingPeriodStart": invoice.month.start,
        "ChargeFrequency": _FREQUENCIES.get(item.kind, "One-Time"),
        "ChargePeriodEnd": item.period_end,
        "ChargePeriodStart": item.period_start,
        "InvoiceId": invoice.number,
        "InvoiceIssuerName": provider,
        "ProviderName": provider,
        "PublisherName": provider,
        "ServiceCategory": service_category(item.product),
        "ServiceName": item.product,
        "ServiceSubcategory": service_subcategory(item.product),
        "SubAccountId": item.organization_id,
        "SubAccountName": item.organization_name,
        "x_InvoiceItemId": str(item.id),
        "x_InvoiceItemKind": item.kind,
    }


def _meter(item: BilledItem) -> str:
    return item.meter_name or ("Recurring fee" if item.kind == "subscription" else "One-off charge")


def _only(values: Sequence[str]) -> str | None:
    return values[0] if len(values) == 1 else None


def _pascal(name: str) -> str:
    return "".join(part[:1].upper() + part[1:] for part in re.split(r"[^a-zA-Z0-9]+", name))


def _json(values: dict[str, str]) -> str | None:
    return json.dumps(values, ensure_ascii=False, sort_keys=True) if values else None
