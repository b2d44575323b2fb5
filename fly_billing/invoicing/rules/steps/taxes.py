"""Taxes: applies the given rates to an invoice. A tax is added to the amounts or included in them.

The rules:
  - An item is taxed at the rates of the invoice's month that cover it (`pricing.rules.tax_rates`). A correction has the
    rates of the corrected month, and a refunded fee those of the month that charged it, so a refund equals the payment.
  - The base of a rate is the sum of the unpaid amounts taxed at it, rounded to the cent, so that a person can
    recalculate it. Each rate's tax is rounded once per invoice, halves away from zero, not per item.
  - If items have different rates, the bases are rounded together, the largest remainders up and the others down, so
    that they add up to the unpaid amount.
  - In that case a reduction of several items (an amount off, a maximum, a credit) reduces each in proportion.
  - The shortfall charged by a minimum is taxed like the items that count towards it, in proportion. If none counts, it
    has the rates that are for every item.
  - A base below zero is taxed like one above zero, so that a charge and its refund cancel each other, tax included. A
    base of zero has no tax.
  - Exclusive taxes are added. Each is calculated from the same base, never on top of another: GST and QST in Quebec.
  - Inclusive taxes are part of the base: at 19 %, 19/119 of it. Each tax is rounded by itself, and the net amount is
    the rest, so all add up to the base. An invoice may have items with inclusive and items with exclusive taxes, but an
    item has only one of the two.
Not here: the law. The rates of each customer are given. An exemption or a reverse charge is a rate of 0 %, and shown.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction
from uuid import UUID

from fly_billing.invoicing.rules.invoice_in_progress import InvoiceInProgress, InvoiceTax, TaxShare
from fly_billing.invoicing.rules.items import InvoiceItem
from fly_billing.invoicing.rules.steps.term_items import listed, term_item
from fly_billing.money import EXACT, divide, exact_sum, from_cents, plain, share_out_cents, to_cents
from fly_billing.pricing.rules.tax_rates import Rates, TaxRate, rates_of, rates_of_anything

Parts = Mapping[Rates, Decimal]


def add_taxes(invoice: InvoiceInProgress) -> None:
    """Record each rate's tax in `invoice.taxes`, and add an item for each exclusive tax.

    The item's `detail` has `percent` and `base` (the taxed amount); `category` and `legal_text` unless the rate is a
    standard rate; and, if items have different rates, `taxed` (the taxed amount, by item).
    Raises BillingError (`mixed_taxes`, `ambiguous_tax`).
    """
    inputs = invoice.inputs
    if not (inputs.taxes or invoice.other_rates or invoice.tax_parts):
        return
    parts = invoice.taxed = taxed_parts(invoice)
    taxes = taxes_on(_bases(invoice, parts), inputs.currency)
    for tax in taxes:
        if not tax.is_inclusive:
            invoice.charge(_item(invoice, tax, parts if _is_by_item(invoice) else {}))
    invoice.taxes.extend(replace(tax, shares=_shares_of(tax, parts, inputs.currency)) for tax in taxes)


def _is_by_item(invoice: InvoiceInProgress) -> bool:
    return invoice.inputs.is_taxed_by_item or bool(invoice.tax_parts)


def taxed_parts(invoice: InvoiceInProgress) -> dict[UUID, Parts]:
    """Return the unpaid amount of each item, by tax rates. Raises BillingError as `add_taxes`."""
    inputs = invoice.inputs
    whose = f"{inputs.organization_id} in {inputs.month}"
    own = rates_of_anything(inputs.taxes, whose)
    parts: dict[UUID, Parts] = {}
    items = {item.id: item for item in invoice.items}
    for item_id, left in invoice.left.items():
        item = items[item_id]
        if item_id in invoice.tax_parts:
            parts[item_id] = _less(invoice.tax_parts[item_id], left)
        elif item_id in invoice.other_rates:
            parts[item_id] = {_of(item, invoice.other_rates[item_id], whose): left}
        elif not inputs.is_taxed_by_item:
            parts[item_id] = {own: left}
        elif item.kind == "minimum":
            parts[item_id] = like_what_counted(item, left, own, parts)
        else:
            parts[item_id] = {_of(item, inputs.taxes, whose): left}
    return parts


def _of(item: InvoiceItem, rates: Sequence[TaxRate], whose: str) -> Rates:
    if item.kind == "adjustment":  # it was split by the scopes of the corrected items: `Adjustment.taxed`
        return rates_of_anything(rates, whose)
    return rates_of(item, rates, whose)


def _less(parts: Iterable[tuple[Rates, Decimal]], left: Decimal) -> Parts:
    """Reduce the parts above zero to the unpaid amount, in proportion."""
    merged: dict[Rates, Decimal] = defaultdict(Decimal)
    for rates, amount in parts:
        merged[rates] = EXACT.add(merged[rates], amount)
    paid = EXACT.subtract(exact_sum(list(merged.values())), left)
    if not paid:
        return merged
    taken = shares(paid, [max(amount, Decimal(0)) for amount in merged.values()])
    return {rates: EXACT.subtract(amount, share) for (rates, amount), share in zip(merged.items(), taken, strict=True)}


def like_what_counted(item: InvoiceItem, left: Decimal, own: Rates, parts: Mapping[UUID, Parts]) -> Parts:
    """Split the shortfall charged by a minimum like the items above zero that count towards it."""
    counted: dict[Rates, Decimal] = defaultdict(Decimal)
    for part in item.detail["counted"]:
        split = parts[UUID(part["item"])]
        for rates, amount in zip(split, shares(Decimal(part["amount"]), list(split.values())), strict=True):
            counted[rates] = EXACT.add(counted[rates], amount)
    above = {rates: amount for rates, amount in counted.items() if amount > 0}
    if not above:
        return {own: left}
    return dict(zip(above, shares(left, list(above.values())), strict=True))


def shares(amount: Decimal, weights: Sequence[Decimal]) -> list[Decimal]:
    """Share `amount` out by weight. The last share takes the rounding error; without weights, the first gets all."""
    whole = exact_sum(list(weights))
    if not whole:
        return [amount, *(Decimal(0) for _ in weights[1:])]
    parts = [divide(EXACT.multiply(amount, weight), whole) for weight in weights]
    last = max(n for n, weight in enumerate(weights) if weight)
    parts[last] = EXACT.add(parts[last], EXACT.subtract(amount, exact_sum(parts)))
    return parts


def _bases(invoice: InvoiceInProgress, parts: Mapping[UUID, Parts]) -> dict[Rates, Decimal]:
    """Sum the unpaid amounts by their tax rates; in whole cents if items have different rates."""
    currency = invoice.inputs.currency
    amounts: dict[Rates, list[Decimal]] = defaultdict(list)
    for split in parts.values():
        for rates, amount in split.items():
            amounts[rates].append(amount)
    bases = {rates: exact_sum(some) for rates, some in amounts.items()}
    return rounded_together(bases, currency) if _is_by_item(invoice) else bases


def rounded_together(bases: Mapping[Rates, Decimal], currency: str) -> dict[Rates, Decimal]:
    """Round the bases of different rates to whole cents, so that they add up to their rounded sum."""
    together = sorted(bases, key=lambda rates: [str(rate.id) for rate in rates])
    cents = _cents_of([bases[rates] for rates in together], currency)
    return dict(bases) | {rates: from_cents(base, currency) for rates, base in zip(together, cents, strict=True)}


def _cents_of(amounts: Sequence[Decimal], currency: str) -> list[int]:
    """Round amounts so that they add up to their rounded sum; negative amounts mirror positive ones."""
    whole = exact_sum(amounts) or next((amount for amount in amounts if amount), Decimal(0))
    if whole < 0:
        return [-cents for cents in share_out_cents([EXACT.minus(amount) for amount in amounts], currency)]
    return share_out_cents(amounts, currency)


def taxes_on(bases: Mapping[Rates, Decimal], currency: str) -> list[InvoiceTax]:
    """Return each rate's tax on the amounts taxed at it, rounded once; taxes added to the prices come first."""
    return [*_added(bases, currency), *_contained(bases, currency)]


def _added(bases: Mapping[Rates, Decimal], currency: str) -> list[InvoiceTax]:
    amounts: dict[TaxRate, list[Decimal]] = defaultdict(list)
    for rates, amount in bases.items():
        for rate in rates:
            if not rate.is_inclusive:
                amounts[rate].append(amount)
    cents = {rate: to_cents(exact_sum(some), currency) for rate, some in amounts.items()}
    return [_tax(rate, base, _rounded(base * Fraction(rate.percent) / 100)) for rate, base in cents.items() if base]


def _contained(bases: Mapping[Rates, Decimal], currency: str) -> list[InvoiceTax]:
    taxes: dict[UUID, InvoiceTax] = {}
    for rates, amount in bases.items():
        inclusive = [rate for rate in rates if rate.is_inclusive]
        for tax in _contained_in(inclusive, to_cents(amount, currency)):
            before = taxes.get(tax.rate_id)
            taxes[tax.rate_id] = tax.plus(before) if before else tax
    return list(taxes.values())


def _contained_in(rates: Sequence[TaxRate], base_cents: int) -> list[InvoiceTax]:
    if not base_cents:
        return []
    whole = 100 + sum(Fraction(rate.percent) for rate in rates)
    cents = {rate: _rounded(base_cents * Fraction(rate.percent) / whole) for rate in rates}
    return [_tax(rate, base_cents - sum(cents.values()), tax_cents) for rate, tax_cents in cents.items()]


def _shares_of(tax: InvoiceTax, parts: Mapping[UUID, Parts], currency: str) -> tuple[TaxShare, ...]:
    """Share a rate's taxed amount and tax out over its items, each by largest remainder."""
    taxable: dict[UUID, Decimal] = defaultdict(Decimal)
    taxed: dict[UUID, Decimal] = defaultdict(Decimal)
    for item, split in parts.items():
        for rates, amount in split.items():
            if amount and any(rate.id == tax.rate_id for rate in rates):
                percents = [rate.percent for rate in rates if rate.is_inclusive] if tax.is_inclusive else []
                whole = EXACT.add(Decimal(100), exact_sum(percents))
                taxable[item] = EXACT.add(taxable[item], divide(EXACT.multiply(amount, Decimal(100)), whole))
                taxed[item] = EXACT.add(taxed[item], divide(EXACT.multiply(amount, tax.percent), whole))
    bases = share_out_cents(list(taxable.values()), currency, tax.taxable_cents)
    taxes = share_out_cents(list(taxed.values()), currency, tax.tax_cents)
    found = (TaxShare(*share) for share in zip(taxable, bases, taxes, strict=True))
    return tuple(share for share in found if share.taxable_cents or share.tax_cents)


def _rounded(cents: Fraction) -> int:
    """Round to whole cents, halves away from zero, so that a refund has the tax of its charge."""
    away = math.floor(abs(cents) + Fraction(1, 2))
    return away if cents >= 0 else -away


def _tax(rate: TaxRate, taxable_cents: int, tax_cents: int) -> InvoiceTax:
    return InvoiceTax(
        rate.id, rate.name, rate.percent, rate.is_inclusive, taxable_cents, tax_cents, rate.category, rate.legal_text
    )


def _item(invoice: InvoiceInProgress, tax: InvoiceTax, parts: Mapping[UUID, Parts]) -> InvoiceItem:
    currency = invoice.inputs.currency
    detail = {"percent": plain(tax.percent), "base": plain(from_cents(tax.taxable_cents, currency))}
    if tax.category != "standard":
        detail["category"] = tax.category
    if tax.legal_text:
        detail["legal_text"] = tax.legal_text
    item = term_item(
        invoice,
        "tax",
        tax.rate_id,
        "Taxes",
        f"{tax.name} {plain(tax.percent)} %" + (f": {tax.legal_text}" if tax.legal_text else ""),
        from_cents(tax.tax_cents, currency),
        detail | ({"taxed": listed(invoice, _taxed_at(tax.rate_id, parts))} if parts else {}),
    )
    return replace(item, tax_rate_id=tax.rate_id)


def _taxed_at(rate_id: UUID, parts: Mapping[UUID, Parts]) -> dict[UUID, Decimal]:
    found = {
        item: exact_sum([amount for rates, amount in split.items() if any(rate.id == rate_id for rate in rates)])
        for item, split in parts.items()
    }
    return {item: amount for item, amount in found.items() if amount}
