"""The amount that a correction gives back with its taxes: what a credit note at Stripe has. Pure.

Not here: a correction on the next invoice, which taxes it (`invoicing.rules.steps.taxes`).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal

from fly_billing.corrections.rules.differences import Difference
from fly_billing.corrections.rules.taxes import Split
from fly_billing.invoicing.rules.invoice_in_progress import InvoiceTax
from fly_billing.invoicing.rules.steps.taxes import rounded_together, taxes_on
from fly_billing.money import EXACT, exact_sum, to_cents
from fly_billing.pricing.rules.tax_rates import Rates


def gives_credit_back(differences: Sequence[Difference]) -> bool:
    """Return True if credit that paid the invoice gets a part back: not all of the correction is money."""
    return any(difference.charge.credit_grant_id is not None for difference in differences)


def returned_taxes(
    differences: Sequence[Difference], rates: Rates, taxed: Mapping[str, Split], currency: str
) -> list[InvoiceTax]:
    """Return the tax of each rate on the differences, rounded once, as on the invoice; below zero: it is given back.

    Args:
        rates: The rates of all of them; empty if items have different rates, or none.
        taxed: By the charge's key, how much of its difference is taxed at which rates, if items have different ones.
    """
    if rates:
        return taxes_on({rates: exact_sum([difference.amount for difference in differences])}, currency)
    bases: dict[Rates, Decimal] = defaultdict(Decimal)
    for split in taxed.values():
        for own, amount in split.items():
            bases[own] = EXACT.add(bases[own], amount)
    return taxes_on(rounded_together(bases, currency), currency)


def gross_cents(differences: Sequence[Difference], taxes: Iterable[InvoiceTax], currency: str) -> int:
    """Return what the differences give back, with the taxes added to them, in cents; below zero: they charge."""
    net = to_cents(exact_sum([difference.amount for difference in differences]), currency)
    return -net - sum(tax.tax_cents for tax in taxes if not tax.is_inclusive)
