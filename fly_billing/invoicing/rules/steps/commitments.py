"""Commitments: the minimum and maximum that an organization agreed to pay for some of its items, after discounts.

The rules:
  - Commitments apply in order of their amounts, the smallest first. A smaller one covers a part of the invoice, a
    larger one the whole, so the whole has the last word. If two contradict each other, the larger one applies.
      Machines at most $50, all at least $120. Machines cost $100, volumes $30: 50 + 30, plus 40 up to the 120.
      With the minimum first, 130 would satisfy it, and the customer would pay only 80.
      Machines at least $80, all at most $100. Machines cost $100, volumes $50: 150 - 50 is to pay.
      With the maximum first, it would take the 50 off Machines, and the minimum would charge 30 for them again.
  - A commitment that counts the charges of minimums (`minimum` among the kinds of its scope) applies after those that
    do not. So nothing is topped up twice or stays above a maximum.
  - A maximum takes off everything above it, starting with the first item of the invoice (`line_order`). It does so even
    if the rest of the invoice is below zero, because it is a price and not a payment.
  - Goodwill (a one-off item below zero) counts towards neither. With 15.00 of goodwill, both a minimum and a maximum of
    100 leave 85.00 to pay. If goodwill counted, a minimum would charge it again and a maximum would keep it.
    A fee that is given back counts below zero and so cancels its charge.
  - A commitment that ran for part of its months (`commitments.runs_from`, `runs_until`) is prorated by the second: a
    minimum of 100 for 10 of 30 days is 33.33. It is not rounded itself; the invoice is.
  - A minimum over several months charges the shortfall in the last of them.
Not here: which month of a commitment this is, and the amounts of the months before.
"""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

from fly_billing.invoicing.rules.inputs import Commitment
from fly_billing.invoicing.rules.invoice_in_progress import InvoiceInProgress
from fly_billing.invoicing.rules.items import InvoiceItem
from fly_billing.invoicing.rules.steps.currencies import same_currency
from fly_billing.invoicing.rules.steps.term_items import listed, term_item
from fly_billing.money import EXACT, exact_sum, plain

PRODUCT = "Commitments"


def apply_commitments(invoice: InvoiceInProgress) -> None:
    """Add an item below zero for each exceeded maximum, and an item for the shortfall of each minimum that is due.

    The `detail` of both has `base`, the unpaid amount of the items that count. A maximum also has `maximum` and
    `applied_to` (the amount taken off, by item); a minimum has `minimum`, `counted_before` (in earlier months) and
    `counted` (the items). `invoice.counted` records the amount that counts towards each minimum, due or not.
    """
    for commitment in sorted(invoice.inputs.commitments, key=_order):
        same_currency(
            commitment.currency, invoice.inputs.currency, f"commitment {commitment.description!r}",
            f"end it (commitments.last_month), and agree on one in {invoice.inputs.currency}",
        )  # fmt: skip
        if commitment.kind == "maximum":
            _cut_down(invoice, commitment)
        else:
            _top_up(invoice, commitment)


def _order(commitment: Commitment) -> tuple[bool, Decimal, bool, str]:
    counts_minimums = "minimum" in commitment.scope.kinds
    return counts_minimums, commitment.bound, commitment.kind == "maximum", str(commitment.id)


def _counted(invoice: InvoiceInProgress, commitment: Commitment) -> list[InvoiceItem]:
    return [item for item in invoice.covered(commitment.scope) if item.kind != "one_off" or item.amount >= 0]


def _prorated(commitment: Commitment) -> dict[str, str]:
    """Return the proration of the amount; empty if the commitment is not prorated."""
    if commitment.ran_seconds is None or commitment.whole_seconds is None:
        return {}
    ran, whole = plain(max(commitment.ran_seconds, Decimal(0))), plain(commitment.whole_seconds)
    return {"agreed": plain(commitment.amount), "ran_seconds": ran, "whole_seconds": whole}


def _cut_down(invoice: InvoiceInProgress, commitment: Commitment) -> None:
    base = exact_sum([invoice.left[item.id] for item in _counted(invoice, commitment)])
    if base <= commitment.bound:
        return
    above = EXACT.subtract(base, commitment.bound)
    parts = invoice.fill(commitment.scope, above)
    item = term_item(
        invoice,
        "maximum",
        commitment.id,
        PRODUCT,
        commitment.description,
        EXACT.minus(above),
        {"maximum": plain(commitment.bound), "base": plain(base), "applied_to": listed(invoice, parts)}
        | _prorated(commitment),
    )
    invoice.take_off(replace(item, commitment_id=commitment.id), parts)


def _top_up(invoice: InvoiceInProgress, commitment: Commitment) -> None:
    counted = {item.id: invoice.left[item.id] for item in _counted(invoice, commitment)}
    base = exact_sum(list(counted.values()))
    invoice.counted[commitment.id] = base
    missing = EXACT.subtract(commitment.bound, EXACT.add(commitment.counted_before, base))
    if not commitment.is_due or missing <= 0:
        return
    item = term_item(
        invoice,
        "minimum",
        commitment.id,
        PRODUCT,
        commitment.description,
        missing,
        {
            "minimum": plain(commitment.bound),
            "counted_before": plain(commitment.counted_before),
            "base": plain(base),
            "counted": listed(invoice, counted),
        }
        | _prorated(commitment),
    )
    invoice.charge(replace(item, commitment_id=commitment.id))
