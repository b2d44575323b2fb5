"""Taxes: given rates on what the invoice comes to, added to it or contained in it.

The rules:
  - The base of a rate is the sum of what is left to pay of the items taxed at it, rounded to the cent: a person can
    redo it with a calculator. Each rate's tax is rounded once per invoice, halves away from zero, not per item.
  - An item is taxed at the rates of the invoice's month. A correction of an earlier month is taxed at that month's
    rates, and a fee that is given back at those of the month that charged it: what is returned is what was paid.
  - A base below zero is taxed like one above it, so that a charge and its return come to nothing, tax included. A base
    of zero has no tax.
  - Added taxes (exclusive) are each calculated from the same base, never one on top of another: GST and QST in Quebec.
  - Contained taxes (inclusive) are what the base holds of them: at 19 %, 19/119 of it. Each tax is rounded by itself;
    the net amount is the rest, so it bears the odd cent, and all add up to the base.
Keeps out: the law. Which rates hold for whom is given; an exemption or a reverse charge is a rate of 0 %, and is shown.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction
from uuid import UUID

from fly_billing.domain.account import Account, TaxRate
from fly_billing.domain.billing_steps.term_items import term_item
from fly_billing.domain.draft import Draft, InvoiceTax
from fly_billing.domain.errors import BillingError, not_computable
from fly_billing.domain.invoice_items import InvoiceItem
from fly_billing.domain.money import exact_sum, from_cents, plain, to_cents

Rates = tuple[TaxRate, ...]


def add_taxes(draft: Draft) -> None:
    """Note each rate's tax in `draft.taxes`; add an item for each that is not contained in the prices.

    The item's `detail`: `percent` and `base`, what is taxed at this rate. Raises BillingError `mixed_taxes`.
    """
    if len({rate.is_inclusive for rate in draft.account.taxes}) > 1:
        raise _mixed(draft.account)
    left = _left_by_rates(draft)
    draft.taxes.extend(_added(left, draft.account.currency))
    for tax in draft.taxes:
        draft.charge(_item(draft, tax))
    draft.taxes.extend(_contained(left, draft.account.currency))


def _left_by_rates(draft: Draft) -> Mapping[Rates, Decimal]:
    """Add up what is left to pay, by the rates that tax it; the month's own rates first."""
    amounts: dict[Rates, list[Decimal]] = defaultdict(list)
    own = tuple(draft.account.taxes)
    amounts[own] = []
    for item, amount in draft.left.items():
        amounts[draft.other_rates.get(item, own)].append(amount)
    return {rates: exact_sum(some) for rates, some in amounts.items()}


def _mixed(account: Account) -> BillingError:
    named = ", ".join(f"{rate.name} ({'inclusive' if rate.is_inclusive else 'exclusive'})" for rate in account.taxes)
    return not_computable(
        "mixed_taxes",
        f"the tax rates of {account.organization_id} in {account.month} are {named}: prices have their taxes in them or"
        " have not. Make all of these rates inclusive or all exclusive, then bill the month again",
    )


def _added(left: Mapping[Rates, Decimal], currency: str) -> list[InvoiceTax]:
    bases: dict[TaxRate, list[Decimal]] = defaultdict(list)
    for rates, amount in left.items():
        for rate in rates:
            if not rate.is_inclusive:
                bases[rate].append(amount)
    cents = {rate: to_cents(exact_sum(amounts), currency) for rate, amounts in bases.items()}
    return [_tax(rate, base, _rounded(base * Fraction(rate.percent) / 100)) for rate, base in cents.items() if base]


def _contained(left: Mapping[Rates, Decimal], currency: str) -> list[InvoiceTax]:
    taxes: dict[UUID, InvoiceTax] = {}
    for rates, amount in left.items():
        inclusive = [rate for rate in rates if rate.is_inclusive]
        for tax in _contained_in(inclusive, to_cents(amount, currency)):
            before = taxes.get(tax.rate_id)
            taxes[tax.rate_id] = tax.plus(before) if before else tax
    return list(taxes.values())


def _contained_in(rates: Sequence[TaxRate], base_cents: int) -> list[InvoiceTax]:
    if not base_cents:
        return []
    whole = 100 + sum(Fraction(rate.percent) for rate in rates)
    cents = [_rounded(base_cents * Fraction(rate.percent) / whole) for rate in rates]
    return [_tax(rate, base_cents - sum(cents), one) for rate, one in zip(rates, cents, strict=True)]


def _rounded(cents: Fraction) -> int:
    """Round to whole cents, halves away from zero: a return has the tax of its charge."""
    away = math.floor(abs(cents) + Fraction(1, 2))
    return away if cents >= 0 else -away


def _tax(rate: TaxRate, taxable_cents: int, tax_cents: int) -> InvoiceTax:
    return InvoiceTax(rate.id, rate.name, rate.percent, rate.is_inclusive, taxable_cents, tax_cents)


def _item(draft: Draft, tax: InvoiceTax) -> InvoiceItem:
    currency = draft.account.currency
    item = term_item(
        draft,
        "tax",
        tax.rate_id,
        "Taxes",
        f"{tax.name} {plain(tax.percent)} %",
        from_cents(tax.tax_cents, currency),
        {"percent": plain(tax.percent), "base": plain(from_cents(tax.taxable_cents, currency))},
    )
    return replace(item, tax_rate_id=tax.rate_id)
