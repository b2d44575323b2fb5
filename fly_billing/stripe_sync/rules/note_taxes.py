"""The taxes of a credit note at Stripe: those of the items that it corrects, or a share of the invoice's. Pure.

A correction gives back the tax of its own items, which may have other rates than the rest of the invoice, or none. Any
other credit note is for no item: it takes back net and taxes in the proportion in which the invoice and the credit
notes before it left them. These shares are rounded by largest remainder, as in an invoice, so they add up to the
amount, and the credit note that takes back the rest takes back exactly the tax that is left. Source:
docs.stripe.com/api/credit_notes. Not here: taxes of credit notes that someone makes in the dashboard, which say them
(`rules.money_objects`).
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from decimal import Decimal
from typing import Any

from fly_billing.invoicing.rules.chargeable_amounts import to_stripe
from fly_billing.invoicing.rules.invoice_in_progress import InvoiceTax
from fly_billing.money import divide, exact_product, from_cents, share_out_cents, to_cents
from fly_billing.stripe_sync.rules.line_taxes import LineTax, merged_taxes
from fly_billing.stripe_sync.rules.money_objects import cents_of

Body = Mapping[str, Any]
# A line of a credit note takes no more (docs.stripe.com/api/credit_notes/create#create_credit_note-lines-tax_amounts).
MOST_TAXES_OF_A_NOTE = 10


@dataclass(frozen=True)
class NoteTax:
    """The tax of one of Stripe's rates in an invoice or a credit note, in our minor units."""

    tax_rate: str
    is_inclusive: bool
    tax_cents: int
    taxable_cents: int

    def as_data(self) -> dict[str, Any]:
        """Return it as it is recorded before it is sent."""
        return asdict(self)

    def as_param(self, currency: str) -> dict[str, Any]:
        """Return it as Stripe's credit note takes it."""
        return {
            "tax_rate": self.tax_rate,
            "amount": to_stripe(self.tax_cents, currency),
            "taxable_amount": to_stripe(self.taxable_cents, currency),
        }


def taxes_of_note(invoice: Body, notes: Iterable[Body], amount_cents: int) -> tuple[NoteTax, ...]:
    """Return the taxes of a credit note over an amount. Empty if nothing of the invoice's tax is left.

    It is also empty for an invoice with more rates than a credit note takes.

    Args:
        invoice: The invoice at Stripe.
        notes: Its credit notes at Stripe; void ones count as none.
        amount_cents: The amount of the credit note, at most what is left of the invoice.

    Raises:
        KeyError, TypeError, ValueError: Stripe sent something else.
    """
    currency = str(invoice["currency"]).upper()
    issued = [note for note in notes if note["status"] == "issued"]
    left = _taxes_left(invoice, issued, currency)
    if not left or len(left) > MOST_TAXES_OF_A_NOTE:
        return ()
    total_left = cents_of(invoice["total"], currency) - sum(cents_of(note["amount"], currency) for note in issued)
    net_left = max(0, total_left - sum(tax.tax_cents for tax in left))
    weights = [net_left, *(tax.tax_cents for tax in left)]
    _, *shares = _shared(amount_cents, weights, currency)
    taxable = [
        _proportion(tax.taxable_cents, share, tax.tax_cents, currency) for tax, share in zip(left, shares, strict=True)
    ]
    found = (
        NoteTax(tax.tax_rate, tax.is_inclusive, share, base)
        for tax, share, base in zip(left, shares, taxable, strict=True)
    )
    return tuple(tax for tax in found if tax.tax_cents)


def taxes_of_correction(
    invoice: Body, billed: Iterable[LineTax], corrected: Iterable[InvoiceTax], amount_cents: int
) -> tuple[NoteTax, ...] | None:
    """Return the taxes that a correction gives back, in Stripe's rates; None if a credit note can't have them.

    A rate at Stripe has an id of its own, and is found by its tax on the invoice. Rates with the same tax there
    can't be told apart, unless the correction gives back the same of each.

    Args:
        invoice: The invoice at Stripe.
        billed: The tax of each rate on our invoice.
        corrected: The tax of each rate on the correction; below zero: it is given back.
        amount_cents: The amount of the correction, added taxes included.
    """
    currency = str(invoice["currency"]).upper()
    wanted = {tax.rate: tax for tax in merged_taxes(map(_given_back, corrected)) if tax.tax_cents}
    net = amount_cents - sum(tax.tax_cents for tax in wanted.values() if not tax.is_inclusive)
    if any(tax.tax_cents < 0 or not 0 < tax.taxable_cents <= net for tax in wanted.values()):
        return None
    here, there = defaultdict(list), defaultdict(list)
    for tax in merged_taxes(billed):
        here[tax.is_inclusive, tax.tax_cents].append(tax.rate)
    for (id, is_inclusive), cents in _by_rate(invoice, currency)[0].items():
        there[is_inclusive, cents].append(id)
    found = []
    for alike, rates in here.items():
        taxes = [wanted.pop(rate, rate) for rate in rates]
        if not any(tax.tax_cents for tax in taxes):
            continue
        if len(there[alike]) != len(rates) or len({tax.tax_cents for tax in taxes}) > 1:
            return None
        found += [
            NoteTax(id, tax.is_inclusive, tax.tax_cents, tax.taxable_cents)
            for id, tax in zip(there[alike], taxes, strict=True)
        ]
    return None if wanted or len(found) > MOST_TAXES_OF_A_NOTE else tuple(found)


def are_left(taxes: Iterable[NoteTax], invoice: Body, notes: Iterable[Body]) -> bool:
    """Return True if the invoice at Stripe still has these taxes after its credit notes."""
    issued = [note for note in notes if note["status"] == "issued"]
    left = {tax.tax_rate: tax.tax_cents for tax in _taxes_left(invoice, issued, str(invoice["currency"]).upper())}
    return all(tax.tax_cents <= left.get(tax.tax_rate, 0) for tax in taxes)


def _given_back(tax: InvoiceTax) -> LineTax:
    return LineTax(tax.name, tax.percent, tax.is_inclusive, tax.category, -tax.taxable_cents, -tax.tax_cents)


def _taxes_left(invoice: Body, notes: Iterable[Body], currency: str) -> list[NoteTax]:
    """Return the invoice's taxes by rate, less those of its credit notes; in Stripe's order."""
    taxes, bases = _by_rate(invoice, currency)
    for note in notes:
        noted, noted_bases = _by_rate(note, currency)
        taxes.subtract(noted)
        bases.subtract(noted_bases)
    return [NoteTax(*rate, cents, max(0, bases[rate])) for rate, cents in taxes.items() if cents > 0]


def _by_rate(body: Body, currency: str) -> tuple[Counter[tuple[str, bool]], Counter[tuple[str, bool]]]:
    taxes: Counter[tuple[str, bool]] = Counter()
    bases: Counter[tuple[str, bool]] = Counter()
    for tax in body.get("total_taxes") or ():
        rate = str((tax.get("tax_rate_details") or {}).get("tax_rate") or ""), tax["tax_behavior"] == "inclusive"
        if rate[0]:  # taxes that Stripe calculates have no rate that a request could name
            taxes[rate] += cents_of(tax["amount"], currency)
            bases[rate] += cents_of(tax.get("taxable_amount") or 0, currency)
    return taxes, bases


def _shared(amount_cents: int, weights: Sequence[int], currency: str) -> list[int]:
    whole = Decimal(sum(weights))
    exact = [exact_product(from_cents(amount_cents, currency), Decimal(weight), whole) for weight in weights]
    return share_out_cents(exact, currency, amount_cents)


def _proportion(cents: int, part: int, whole: int, currency: str) -> int:
    return to_cents(divide(from_cents(cents * part, currency), Decimal(whole)), currency)


def note_lines(taxes: Sequence[NoteTax], amount_cents: int, currency: str, description: str) -> list[dict[str, Any]]:
    """Return the one line of a credit note with these taxes. Added tax is not in its amount, contained tax is."""
    added = sum(tax.tax_cents for tax in taxes if not tax.is_inclusive)
    line = {
        "type": "custom_line_item",
        "description": description,
        "quantity": 1,
        "unit_amount": to_stripe(amount_cents - added, currency),
    }
    return [line | ({"tax_amounts": [tax.as_param(currency) for tax in taxes]} if taxes else {})]
