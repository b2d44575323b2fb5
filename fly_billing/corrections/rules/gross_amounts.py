"""The amount that a correction gives back with its taxes: what a credit note at Stripe has. Pure.

Not here: a correction on the next invoice, which taxes it (`invoicing.rules.steps.taxes`).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from decimal import Decimal

from fly_billing.corrections.rules.differences import Difference
from fly_billing.corrections.rules.taxes import Split
from fly_billing.invoicing.rules.steps.taxes import added_taxes
from fly_billing.money import EXACT, exact_sum, to_cents
from fly_billing.pricing.rules.tax_rates import Rates


def gives_credit_back(differences: Sequence[Difference]) -> bool:
    """Return True if credit that paid the invoice gets a part back: not all of the correction is money."""
    return any(difference.charge.credit_grant_id is not None for difference in differences)


def gross_cents(differences: Sequence[Difference], rates: Rates, taxed: Mapping[str, Split], currency: str) -> int:
    """Return what the differences give back, with the taxes added to them, in cents; below zero: they charge.

    Each rate's tax is rounded once, halves away from zero, as on the invoice.

    Args:
        rates: The rates of all of them; empty if items have different rates, or none.
        taxed: By the charge's key, how much of its difference is taxed at which rates, if items have different ones.
    """
    bases: dict[Rates, Decimal] = defaultdict(Decimal)
    if rates:
        bases[rates] = exact_sum([difference.amount for difference in differences])
    for split in taxed.values():
        for own, amount in split.items():
            bases[own] = EXACT.add(bases[own], amount)
    net = to_cents(exact_sum([difference.amount for difference in differences]), currency)
    return -net - sum(tax.tax_cents for tax in added_taxes(bases, currency))
