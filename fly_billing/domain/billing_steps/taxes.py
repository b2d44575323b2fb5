"""Taxes: given rates on what the invoice comes to, added to it or contained in it.

The rules, for a reader to argue with:
  - The base is the invoice's subtotal, rounded to the cent: what a person sees there, and can redo with a calculator.
    Each rate's tax is rounded once per invoice, half-up, not per item.
  - Added taxes (exclusive) are worked out from the same subtotal each, never one on top of another: GST and QST in
    Quebec.
  - Contained taxes (inclusive) are what the subtotal holds of them: at 19 %, 19/119 of it. Each tax is rounded by
    itself, as it is owed by itself; the net amount is the rest, so it bears the odd cent, and all add up to the
    subtotal.
  - A subtotal of zero or below is not taxed: nothing is to be paid that a tax could be a part of.
Keeps out: the law. Which rates hold for whom is given; an exemption or a reverse charge is a rate of 0 %, and is shown.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction

from fly_billing.domain.account import Account, TaxRate
from fly_billing.domain.billing_steps.term_items import term_item
from fly_billing.domain.draft import Draft, InvoiceTax
from fly_billing.domain.errors import BillingError, not_computable
from fly_billing.domain.invoice_items import InvoiceItem
from fly_billing.domain.money import exact_sum, from_cents, plain, to_cents


def add_taxes(draft: Draft) -> None:
    """Note each rate's tax in `draft.taxes`; add an item for each that is not contained in the prices.

    The item's `detail`: `percent` and `base`, the subtotal. Raises BillingError `mixed_taxes`.
    """
    rates, currency = draft.account.taxes, draft.account.currency
    is_inclusive = any(rate.is_inclusive for rate in rates)
    if is_inclusive and not all(rate.is_inclusive for rate in rates):
        raise _mixed(draft.account)
    subtotal_cents = to_cents(exact_sum([item.amount for item in draft.items]), currency)
    if subtotal_cents <= 0:
        return
    taxes = _contained(rates, subtotal_cents) if is_inclusive else _added(rates, subtotal_cents)
    draft.taxes.extend(taxes)
    if not is_inclusive:
        for tax in taxes:
            draft.charge(_item(draft, tax))


def _mixed(account: Account) -> BillingError:
    named = ", ".join(f"{rate.name} ({'inclusive' if rate.is_inclusive else 'exclusive'})" for rate in account.taxes)
    return not_computable(
        "mixed_taxes",
        f"the tax rates of {account.organization_id} in {account.month} are {named}: prices have their taxes in them or"
        " have not. Make all of these rates inclusive or all exclusive, then bill the month again",
    )


def _added(rates: Sequence[TaxRate], subtotal_cents: int) -> list[InvoiceTax]:
    return [_tax(rate, subtotal_cents, _half_up(subtotal_cents * Fraction(rate.percent) / 100)) for rate in rates]


def _contained(rates: Sequence[TaxRate], subtotal_cents: int) -> list[InvoiceTax]:
    whole = 100 + sum(Fraction(rate.percent) for rate in rates)
    cents = [_half_up(subtotal_cents * Fraction(rate.percent) / whole) for rate in rates]
    return [_tax(rate, subtotal_cents - sum(cents), one) for rate, one in zip(rates, cents, strict=True)]


def _half_up(cents: Fraction) -> int:
    """Round an amount above zero."""
    return math.floor(cents + Fraction(1, 2))


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
