"""The taxes of a credit note at Stripe: its share of what the invoice's taxes still have. Pure.

A credit note takes back net and taxes in the proportion in which the invoice and the credit notes before it left them.
The shares are rounded by largest remainder, as in an invoice, so they add up to the amount, and the credit note that
takes back the rest takes back exactly the tax that is left. Source: docs.stripe.com/api/credit_notes. Not here: taxes
of credit notes that someone makes in the dashboard, which say them (`rules.money_objects`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from decimal import Decimal
from typing import Any

from fly_billing.invoicing.rules.chargeable_amounts import to_stripe
from fly_billing.money import divide, exact_product, from_cents, share_out_cents, to_cents
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
    return [
        {
            "type": "custom_line_item",
            "description": description,
            "quantity": 1,
            "unit_amount": to_stripe(amount_cents - added, currency),
            "tax_amounts": [tax.as_param(currency) for tax in taxes],
        }
    ]
