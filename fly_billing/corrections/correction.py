"""A correction: the differences between what a final invoice charged and what it should have charged.

Not here: finding corrections (`recalculation`), holding them for an approval (`held_corrections`), booking them
(`adjustments`, `credit_notes`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from fly_billing.corrections.rules.causes import EARLIER_MONTH
from fly_billing.corrections.rules.differences import Difference
from fly_billing.corrections.rules.gross_amounts import gross_cents, returned_taxes
from fly_billing.corrections.rules.guard import Hold, Proposal
from fly_billing.corrections.rules.taxes import Split
from fly_billing.errors import BillingError
from fly_billing.invoicing.payers import Payer
from fly_billing.invoicing.rules.invoice_in_progress import InvoiceTax
from fly_billing.money import exact_sum
from fly_billing.periods import BillingMonth
from fly_billing.pricing.rules.tax_rates import Rates


@dataclass(frozen=True)
class Correction:
    """The correction of one final invoice.

    Attributes:
        differences: Exact differences that may be booked; empty if the invoice is right.
        counted: By commitment, the amount that counts towards it after the correction.
        taxed: By the charge's key, how much of its difference is taxed at which rates; empty if all rates are the same.
        rates: The rates of every difference; empty if they differ by item, or there are none.
        undecided: Differences from changed terms of the month, which wait until someone decides.
        is_usage_undecided: Differences from changed usage wait too, because they can't be separated from those of
            changed terms: a price changed inside a period that the usage was aggregated over, credits paid the invoice,
            or a minimum counts it.
    """

    payer: Payer
    invoice_id: UUID
    month: BillingMonth
    differences: Sequence[Difference]
    counted: Mapping[UUID, Decimal]
    taxed: Mapping[str, Split] = field(default_factory=dict)
    undecided: Sequence[Difference] = ()
    is_usage_undecided: bool = False
    rates: Rates = ()

    @property
    def gross_cents(self) -> int:
        """The cents that it gives back with its taxes; below zero: it charges."""
        return gross_cents(self.differences, self.taxes, self.payer.currency)

    @property
    def taxes(self) -> list[InvoiceTax]:
        """The tax of each rate on the differences; below zero: it is given back."""
        return returned_taxes(self.differences, self.rates, self.taxed, self.payer.currency)

    @property
    def amount(self) -> Decimal:
        return exact_sum([difference.amount for difference in self.differences])

    @property
    def proposal(self) -> Proposal:
        """The correction as the guard checks it, without the levels of the invoice's charges.

        Not part of it: a minimum's top-up that shrinks because earlier months were charged more. Those charges
        already offset it.
        """
        checked = [each for each in self.differences if each.causes != (EARLIER_MONTH,) or each.amount >= 0]
        return Proposal(
            self.invoice_id, self.payer.organization_id, self.payer.currency, (),
            {
                difference.charge.key: (difference.charge.organization_id, difference.charge.kind, difference.amount)
                for difference in checked
            },
            causes=tuple(dict.fromkeys(cause for difference in self.differences for cause in difference.causes)),
        )  # fmt: skip


@dataclass(frozen=True)
class Corrections:
    """The corrections of a run.

    Attributes:
        found: A correction per final invoice that was recalculated, also those without differences.
        failures: Payers whose invoice can't be recalculated or whose correction can't be booked, with the error.
        holds: Corrections that return so much money that they wait for an approval. Nothing of them is booked.
    """

    found: Sequence[Correction]
    failures: Sequence[tuple[str, BillingError]] = ()
    holds: Sequence[Hold] = ()

    @property
    def needed(self) -> list[Correction]:
        """The corrections with differences."""
        return [correction for correction in self.found if correction.differences]

    @property
    def held(self) -> list[Correction]:
        """The corrections that wait for an approval."""
        held = {hold.proposal.invoice_id for hold in self.holds}
        return [correction for correction in self.found if correction.invoice_id in held]

    @property
    def booked(self) -> list[Correction]:
        """The corrections that don't wait."""
        held = {hold.proposal.invoice_id for hold in self.holds}
        return [
            correction
            for correction in self.found
            if correction.invoice_id not in held and not correction.is_usage_undecided
        ]

    @property
    def undecided(self) -> list[Correction]:
        """The corrections with differences from changed terms, which wait for a decision."""
        return [correction for correction in self.found if correction.undecided]

    @classmethod
    def joined(cls, parts: Sequence[Corrections]) -> Corrections:
        """Return the corrections of several months as one."""
        return cls(
            [correction for part in parts for correction in part.found],
            [failure for part in parts for failure in part.failures],
            [hold for part in parts for hold in part.holds],
        )


@dataclass(frozen=True)
class Actor:
    """The person or run that books a correction, with the time and the reason. Stored with the adjustments."""

    name: str
    at: datetime
    why: str | None = None
