"""Credits that pay after tax: prepaid money and deposits pay the rest of the invoice, taxes included.

The rules:
  - A grant says how it pays. `net` (a promotion) lowers the taxed amount. `gross` (prepaid money, a deposit) is the
    customer's own money and lowers no tax: 70.00 + 5.78 of tax - 5.00 = 70.78. Net credits always pay first.
  - It pays for the items of its scope and for the tax added to them, in whole cents.
  - It pays the first item first, with its tax. `taxes_of` in the detail lists the tax paid, by taxed item.
  - If a fee is given back, the part that the credit had paid goes back to it, taxes included, and lowers no tax.
Not here: credits that pay before tax, when a credit may be drawn, and the ledger (`credits`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from uuid import UUID

from fly_billing.invoicing.rules.inputs import CreditGrant, CreditPaid, FeeCharged
from fly_billing.invoicing.rules.invoice_in_progress import InvoiceInProgress
from fly_billing.invoicing.rules.items import InvoiceItem
from fly_billing.invoicing.rules.steps.credits import (
    check_currency,
    drawing_order,
    given_back,
    is_drawn_in,
    returned_item,
    returned_on,
)
from fly_billing.invoicing.rules.steps.one_offs import charge_adjustment
from fly_billing.invoicing.rules.steps.taxes import shares, taxed_parts
from fly_billing.invoicing.rules.steps.term_items import listed, term_item
from fly_billing.money import EXACT, exact_sum, from_cents, plain, to_cents
from fly_billing.pricing.rules.tax_rates import Rates

ZERO = Decimal(0)


def settle_after_tax(invoice: InvoiceInProgress) -> None:
    """Refund credits that had paid after tax for fees given back, then draw these credits.

    The items are those of `credits`. The detail of a drawn one also has `taxes_of`: its part of the taxes, by taxed
    item. Corrections of earlier months that go back to these credits are charged here, untaxed.
    """
    for member in invoice.inputs.members:
        for adjustment in member.adjustments:
            if adjustment.is_after_tax:
                charge_adjustment(invoice, adjustment, member.organization_id)
    return_after_tax(invoice)
    grants = [grant for grant in sorted(invoice.inputs.credits, key=drawing_order) if grant.pays == "gross"]
    grants = [grant for grant in grants if is_drawn_in(grant, invoice.inputs.month)]
    if not grants:
        return
    returned, taxes = returned_on(invoice), taxes_by_item(invoice)
    for grant in grants:
        available = EXACT.add(grant.available, returned.get(grant.id, ZERO))
        _draw(invoice, replace(grant, available=available), taxes)


def with_tax(amount: Decimal, rates: Rates) -> Decimal:
    """Add the taxes that the amount does not contain. Exact."""
    percent = exact_sum([rate.percent for rate in rates if not rate.is_inclusive])
    return EXACT.add(amount, EXACT.multiply(amount, percent).scaleb(-2, context=EXACT))


def whole_cents(amount: Decimal, currency: str) -> Decimal:
    return from_cents(to_cents(amount, currency), currency)


def taxes_by_item(invoice: InvoiceInProgress) -> dict[UUID, dict[UUID, Decimal]]:
    """Split the added taxes over the taxed items: item -> tax item -> exact part."""
    parts = invoice.taxed
    by_item: dict[UUID, dict[UUID, Decimal]] = {item.id: {} for item in invoice.items}
    for tax in [item for item in invoice.items if item.kind == "tax"]:
        bases = {
            item: exact_sum([amount for rates, amount in split.items() if _has(rates, tax)])
            for item, split in parts.items()
        }
        bases = {item: base for item, base in bases.items() if base}
        for item, part in zip(bases, shares(tax.amount, list(bases.values())), strict=True) if bases else ():
            by_item[item][tax.id] = part
    return by_item


def _has(rates: Rates, tax: InvoiceItem) -> bool:
    return any(rate.id == tax.tax_rate_id and not rate.is_inclusive for rate in rates)


@dataclass
class _Paid:
    """The payments of one credit.

    Attributes:
        rest: The part of the credit still to spend.
        parts: The amount paid, by item; taxes are items too.
        taxes_of: The amount of tax paid, by taxed item.
    """

    rest: Decimal
    parts: dict[UUID, Decimal]
    taxes_of: dict[UUID, Decimal]

    def pay(self, item: UUID, left: Decimal) -> Decimal:
        part = min(self.rest, left)
        if part <= 0:
            return ZERO
        self.parts[item] = EXACT.add(self.parts.get(item, ZERO), part)
        self.rest = EXACT.subtract(self.rest, part)
        return part


def _draw(invoice: InvoiceInProgress, grant: CreditGrant, taxes: Mapping[UUID, dict[UUID, Decimal]]) -> None:
    covered = list(invoice.covered(grant.scope))
    gross = exact_sum([part for item in covered for part in (invoice.left[item.id], *taxes[item.id].values())])
    to_pay = _payable(min(gross, invoice.left_in_all()), invoice.left_in_all(), invoice.inputs.currency)
    paid = _Paid(min(grant.available, to_pay), {}, {})
    for item in covered:
        paid.pay(item.id, invoice.left[item.id])
        for tax, left in taxes[item.id].items():
            part = paid.pay(tax, left)
            taxes[item.id][tax] = EXACT.subtract(left, part)
            if part:
                paid.taxes_of[item.id] = EXACT.add(paid.taxes_of.get(item.id, ZERO), part)
    if not paid.parts:
        return
    check_currency(invoice, grant)
    if paid.rest > 0:  # less than a cent: the total is rounded up by it
        last = next(reversed(paid.parts))
        paid.parts[last] = EXACT.add(paid.parts[last], paid.rest)
        if not any(item.id == last for item in covered):  # a tax, which is given back with an item that it taxes
            whose = next(reversed(paid.taxes_of))
            paid.taxes_of[whose] = EXACT.add(paid.taxes_of[whose], paid.rest)
    _add(invoice, grant, paid)


def _payable(amount: Decimal, left: Decimal, currency: str) -> Decimal:
    """Round to whole cents, unless a cent would remain unpaid: then pay the exact amount."""
    rounded = whole_cents(amount, currency)
    is_even = to_cents(EXACT.subtract(left, rounded), currency) == to_cents(left, currency) - to_cents(
        rounded, currency
    )
    return rounded if is_even else amount


def _add(invoice: InvoiceInProgress, grant: CreditGrant, paid: _Paid) -> None:
    drawn = exact_sum(list(paid.parts.values()))
    item = term_item(
        invoice,
        "credit",
        grant.id,
        "Credits",
        grant.description,
        EXACT.minus(drawn),
        {
            "pays": "after tax",
            "available": plain(grant.available),
            "drawn": plain(drawn),
            "left": plain(EXACT.subtract(grant.available, drawn)),
            "applied_to": listed(invoice, paid.parts),
            "taxes_of": listed(invoice, paid.taxes_of),
        },
    )
    invoice.take_off(replace(item, credit_grant_id=grant.id), paid.parts)


def return_after_tax(invoice: InvoiceInProgress) -> None:
    """Add an item above zero for each credit that had paid after tax for a fee given back."""
    found = given_back(invoice)
    if not any(_paid_by(charged) for _, charged in found):
        return
    rates = invoice.taxed or taxed_parts(invoice)
    for fee, charged in found:
        (at,) = rates[fee.id]
        _return(invoice, fee, charged, at)


def _paid_by(charged: FeeCharged) -> list[CreditPaid]:
    return [credit for credit in charged.credits if credit.pays == "gross"]


def _return(invoice: InvoiceInProgress, fee: InvoiceItem, charged: FeeCharged, rates: Rates) -> None:
    before_tax = exact_sum([charged.discounted, *(credit.amount for credit in charged.credits if credit.pays == "net")])
    # Paid with money or by credits after tax. The tax of a refund is rounded like that of a charge.
    paid, returned = (
        whole_cents(with_tax(amount, rates), invoice.inputs.currency)
        for amount in (EXACT.subtract(charged.amount, before_tax), EXACT.minus(invoice.left[fee.id]))
    )
    still_owed = max(ZERO, EXACT.subtract(paid, returned))
    for credit in _paid_by(charged):
        kept = min(credit.amount, still_owed)
        still_owed = EXACT.subtract(still_owed, kept)
        back = EXACT.subtract(credit.amount, kept)
        if back > 0:
            invoice.charge(returned_item(invoice, fee, credit, back))
